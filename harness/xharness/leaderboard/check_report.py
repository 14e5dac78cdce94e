"""A verdict as people read it: on a terminal, and as a comment on a pull request."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from xharness.leaderboard.check import Checked, means
from xharness.leaderboard.verdict import REFUSED, Verdict
from xharness.strict_json import shown
from xharness.version import __version__

_MOST_LINES = 60


def text(checked: Checked) -> str:
    """Return a verdict for the terminal."""
    return "\n".join(_lines(checked))


def comment(checked: Checked, sha: str, *, for_now: bool = False) -> str:
    """Return the verdict on a commit as markdown for a pull request, with a mark by which it is known again.

    What others wrote stands in a block of code, where nothing is markup and nobody is called by name. The mark is the
    last line, and nobody else's text stands there.

    Args:
        checked: the verdict.
        sha: the commit.
        for_now: it is refused for what is on the board beside it, which can change.
    """
    verdict = checked.verdict
    inside = "\n".join(_lines(checked)).replace("`", "'").replace("<!--", "<! --")
    said = "The numbers of this submission were recomputed from its predictions."
    if not verdict.accepted:
        said = "This submission cannot be merged as it is. Correct what is listed, and submit it again."
    elif not verdict.scores:
        said = "This withdrawal may be merged."
    return f"**{verdict.verdict}** {said}\n\n```text\n{inside}\n```\n\n{mark(verdict, sha, for_now=for_now)}"


def mark(verdict: Verdict, sha: str, *, for_now: bool = False) -> str:
    """Return the last line of a comment with a verdict on a commit, and of no other; it is not shown."""
    word = f"{verdict.verdict}-for-now" if for_now else verdict.verdict
    return f"<!-- xharness {__version__} {word} {sha} {hashlib.sha256(verdict.to_bytes()).hexdigest()} -->"


def last_line(said: str) -> str:
    """Return the line of a comment in which a mark stands, if there is one."""
    return said.rstrip().rpartition("\n")[2]


def is_final_refusal(said: str, sha: str) -> bool:
    """Whether a comment has the mark of this version for a commit that is refused for what it holds itself."""
    pattern = rf"<!-- xharness {re.escape(__version__)} {REFUSED} {re.escape(sha)} [0-9a-f]{{64}} -->"
    return re.fullmatch(pattern, last_line(said)) is not None


def sentence(checked: Checked) -> str:
    """Return a verdict in one line."""
    verdict = checked.verdict
    if verdict.accepted:
        return f"{shown(verdict.id)}: accepted"
    many = len(verdict.problems)
    return f"{shown(verdict.id)}: refused, {many} problem{'' if many == 1 else 's'}."


def _lines(checked: Checked) -> Iterator[str]:
    verdict = checked.verdict
    yield sentence(checked).removesuffix(".")
    yield from (f"  problem: {shown(line)}" for line in verdict.problems[:_MOST_LINES])
    if len(verdict.problems) > _MOST_LINES:
        yield f"  ... and {len(verdict.problems) - _MOST_LINES:,} more problems."
    yield from (f"  warning: {shown(line)}" for line in verdict.warnings[:_MOST_LINES])
    for benchmark, task, score, complete in means(verdict):
        yield f"  {benchmark}  {task}: {score:.1f}{'' if complete else ' (partial)'}"
