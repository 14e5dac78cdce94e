"""A verdict as people read it: on a terminal, and as a comment on a pull request."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from xharness import __version__
from xharness.board.checking import Checked, means
from xharness.board.strict_json import shown
from xharness.board.verdict import REFUSED, Verdict

_MOST_LINES = 60


def text(checked: Checked) -> str:
    """Return a verdict for the terminal."""
    return "\n".join(_lines(checked))


def comment(checked: Checked, sha: str) -> str:
    """Return the verdict on a commit as markdown for a pull request, with a mark by which it is known again.

    What others wrote stands in a block of code, where nothing is markup and nobody is called by name.
    """
    verdict = checked.verdict
    inside = "\n".join(_lines(checked)).replace("`", "'")
    said = "The numbers of this submission were recomputed from its predictions."
    if not verdict.accepted:
        said = "This submission cannot be merged as it is. Correct what is listed, and submit it again."
    return f"**{verdict.verdict}** {said}\n\n```text\n{inside}\n```\n\n{mark(verdict, sha)}\n"


def mark(verdict: Verdict, sha: str) -> str:
    """Return what stands in the comment with a verdict on a commit, and in no other; it is not shown."""
    return f"{_mark(verdict.verdict, sha)} {hashlib.sha256(verdict.to_bytes()).hexdigest()} -->"


def refusal_mark(sha: str) -> str:
    """Return what stands in the comments of this version that refuse a commit, whatever for."""
    return _mark(REFUSED, sha)


def _mark(verdict: str, sha: str) -> str:
    return f"<!-- xharness {__version__} {verdict} {sha}"


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
