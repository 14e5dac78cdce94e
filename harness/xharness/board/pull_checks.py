"""What the maintainers' automation does with a pull request: check it, say so below it, merge it, keep the verdict."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xharness import __version__, hub, hub_commits, hub_standing, hub_trees
from xharness.board import check_report
from xharness.board.checking import Checked, check, refusal
from xharness.board.limits import MOST_FILES
from xharness.board.pull_requests import Proposed, fetch, look, read_others, withdrawal_problems
from xharness.board.strict_json import shown
from xharness.board.verdict import ACCEPTED, SCHEMA_VERSION, Verdict
from xharness.errors import PublishError, SubmissionError
from xharness.hub_refusals import Lost, Stale

_TRIES = 5


@dataclass(frozen=True)
class PullChecked:
    """A pull request and the verdict on it."""

    proposed: Proposed
    checked: Checked


def check_pull_request(repo: str, number: int, data_dir: Path | None, workers: int = 1) -> PullChecked:
    """Return the verdict on a pull request.

    Args:
        repo: the board's data set, ``org/name``.
        number: of the pull request.
        data_dir: gold data laid out like the Hub; None: the Hub.
        workers: processes that score.

    Raises:
        PublishError: there is no such pull request.
        DataError: the repository cannot be read, or the gold data here is not whole.
    """
    proposed = look(repo, number)
    name = proposed.id or f"pull request {number}"
    if proposed.problems:
        return PullChecked(proposed, refusal(name, "", proposed.problems))
    with tempfile.TemporaryDirectory(prefix="xharness-pull-") as work:
        if proposed.withdraws:
            problems = withdrawal_problems(proposed, Path(work))
            return PullChecked(proposed, refusal(name, "", problems) if problems else _withdrawn(name))
        try:
            folder = fetch(proposed, Path(work))
        except SubmissionError as error:
            return PullChecked(proposed, refusal(name, "", str(error).splitlines()))
        others = read_others(proposed)
        return PullChecked(proposed, check(folder, name=proposed.id, others=others, data_dir=data_dir, workers=workers))


def _withdrawn(name: str) -> Checked:
    said = "it is withdrawn by who submitted it; what was submitted stays to be seen."
    verdict = Verdict(
        schema_version=SCHEMA_VERSION,
        id=name,
        digest="",
        verdict=ACCEPTED,
        problems=[],
        warnings=[said],
        versions={"xharness": __version__},
    )
    return Checked(verdict)


def comment(found: PullChecked) -> bool:
    """Post a verdict below its pull request; return False where this account posted the same one before.

    Raises:
        PublishError: the token may not.
    """
    repo, pull = found.proposed.repo, found.proposed.pull
    me = hub_standing.account(repo).name
    mark = check_report.mark(found.checked.verdict)
    if any(author == me and mark in said for author, said in pull.comments):
        return False
    text = check_report.comment(found.checked)
    hub_commits.comment(repo, pull.proposal.number, text, repo_type="dataset")
    return True


def merge(found: PullChecked, say: Callable[[str], None]) -> str | None:
    """Merge an accepted pull request and commit its verdict to main; return the commit, None where it was there.

    What was merged is looked at once more: between the check and the merge somebody may have changed the pull request.

    Raises:
        Stale: it was changed since it was checked, or is closed; nothing was merged.
        PublishError: the token may not, or something else was merged than what was checked.
    """
    proposed, verdict = found.proposed, found.checked.verdict
    repo, pull = proposed.repo, proposed.pull
    if not verdict.accepted:
        raise SubmissionError(f"{verdict.id}: is refused, so it is not merged.")
    if pull.status != "merged":
        if pull.status not in ("open", "draft"):
            raise Stale(f"{repo}: the pull request {pull.proposal.number} is {pull.status}; nothing was merged.")
        _merge_unchanged(proposed)
        say(f"merged: {pull.proposal.url}")
    if proposed.withdraws:
        return None
    return _record(repo, found.checked)


def _merge_unchanged(proposed: Proposed) -> None:
    repo, ref = proposed.repo, proposed.pull.proposal.ref
    before = hub.resolve(repo, "main", "dataset", fresh=True)
    if hub.resolve(repo, ref, "dataset", fresh=True) != proposed.pull.proposal.sha:
        raise Stale(f"{repo}: {ref} was changed since it was checked; nothing was merged. Check it again.")
    number = proposed.pull.proposal.number
    try:
        hub_commits.merge(repo, number, repo_type="dataset")
    except Lost:
        if hub_standing.pull_request(repo, number, repo_type="dataset").status != "merged":
            raise
    after = hub.resolve(repo, "main", "dataset", fresh=True)
    merged = hub_trees.changes(repo, before, after, "dataset", most=2 * MOST_FILES)
    checked = {path: change.after for path, change in proposed.changes.items()}
    other = [path for path, change in merged.items() if checked.get(path, change.before) != change.after]
    other = sorted([*other, *(path for path in checked if path not in merged)])
    # A verdict that came along would make another submission a checked one at the next build.
    forged = [path for path in other if path.startswith("checks/") and path in merged and merged[path].before is None]
    if forged:
        title = f"Remove verdicts that the pull request {number} brought along"
        hub_commits.commit(repo, [], forged, title=title, description="", parent=after, repo_type="dataset")
    if other:
        listed = ", ".join(shown(path) for path in other[:5])
        raise PublishError(
            f"{repo}: with {ref} something was merged that was not checked ({listed}), so no verdict is recorded. Look "
            f"at what changed since {before[:12]}, and revert it."
        )


def _record(repo: str, checked: Checked) -> str | None:
    """Commit a verdict to main, whatever is merged meanwhile; return the commit, None where it stands there."""
    added = [(path, content, hashlib.sha256(content).hexdigest()) for path, content in checked.files().items()]
    for attempt in range(_TRIES):
        parent = hub.resolve(repo, "main", "dataset", fresh=True)
        try:
            made = hub_commits.commit(
                repo,
                added,
                [],
                title=f"Check of {checked.verdict.id}: {checked.verdict.verdict}",
                description=check_report.sentence(checked),
                parent=parent,
                repo_type="dataset",
            )
        except Stale:
            if attempt + 1 == _TRIES:
                raise
            continue
        return None if made.sha == parent else made.sha
    raise AssertionError("the last attempt returns or raises")
