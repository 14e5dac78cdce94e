"""Publish: commit or pull request, tag, collection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xharness.errors import PublishError, XharnessError
from xharness.hub import read as hub_read
from xharness.hub import repository as hub_repository
from xharness.hub import write as hub_write
from xharness.hub.repository import Account
from xharness.hub.write import Commit
from xharness.publishing.bundle import Bundle
from xharness.publishing.plan import PublishPlan, difference
from xharness.text import format_bytes, strip_controls
from xharness.version import __version__


@dataclass(frozen=True)
class PublishResult:
    """What was done.

    Attributes:
        state: ``published``, ``proposed`` or ``unchanged``.
        sha: where the branch or the pull request stands now.
        url: of the repository.
        commit, pull_request, collection: addresses; None where there is none.
        tag: that was made.
    """

    state: str
    sha: str
    url: str
    commit: str | None = None
    pull_request: str | None = None
    collection: str | None = None
    tag: str | None = None


def send(plan: PublishPlan, who: Account, say: Callable[[str], None]) -> PublishResult:
    """Do what a plan says, and prove that it was done.

    Nothing is sent before it is known, as far as it can be, that the token may write. All files go in one commit, which
    is refused if the branch was moved since it was compared: the repository stands at its previous commit, or at the
    new one.

    Args:
        plan: from `publishing.plan.compare`.
        who: whose token it is.
        say: tells the user what is going on.

    Raises:
        PublishError: the Hub could not be asked or refuses something, or it holds other content than was sent.
    """
    publication, target = plan.publication, plan.target
    if not plan.reached:
        raise PublishError(f"{publication.repo}: {'; '.join(plan.notes)}. Nothing was sent.")
    commit = None
    if not plan.has_nothing:
        exists = plan.repo_state is not None
        hub_repository.check_rights(who, publication.repo, exists=exists, proposing=target.create_pr)
    if plan.difference:
        hub_write.check_card(publication.repo, publication.card)
        commit = _commit(plan, _parent(plan, say), say)
    elif plan.to_branch:
        _parent(plan, say)
    before = plan.proposal or plan.repo_state
    sha = commit.sha if commit is not None else before.sha if before is not None else ""
    tag = collection = None
    if plan.to_tag and target.tag is not None:
        hub_write.create_tag(publication.repo, target.tag, sha)
        tag = target.tag
    if plan.to_collect and target.collection is not None:
        owner = publication.repo.partition("/")[0]
        collection = hub_write.add_to_collection(owner, target.collection, publication.repo, private=target.private)
    opened = plan.proposal.url if plan.proposal is not None else None
    return PublishResult(
        state="unchanged" if commit is None else "proposed" if target.create_pr else "published",
        sha=sha,
        url=hub_repository.address(publication.repo),
        commit=commit.url if commit is not None else None,
        pull_request=opened or (commit.pull_request if commit is not None else None),
        collection=collection,
        tag=tag,
    )


def _parent(plan: PublishPlan, say: Callable[[str], None]) -> str:
    """Return the commit that ours follows on, after making the repository and the branch where there is none."""
    repo, branch = plan.publication.repo, plan.target.branch
    if plan.proposal is not None:
        return plan.proposal.sha
    state = plan.repo_state
    if state is None:
        hub_write.create_repository(repo, private=plan.target.private)
        say(f"{repo} was made.")
        state = hub_repository.repo_state(repo, branch)
        if state is None:
            raise PublishError(f"{repo}: it was made, and cannot be seen. Run the same command again.")
    if branch is not None and not state.has_branch:
        hub_write.create_branch(repo, branch, state.sha)
    return state.sha


def _commit(plan: PublishPlan, parent: str, say: Callable[[str], None]) -> Commit:
    """Make the commit, look at what stands there then, and return it; also where only its answer was lost."""
    publication, target = plan.publication, plan.target
    sent = plan.difference.sent
    _check_still(publication)
    say(f"Sending {len(sent)} files, {format_bytes(sum(file.size for file in sent))}, to {publication.repo}")
    try:
        info = hub_write.commit(
            publication.repo,
            [(file.path, file.source, file.sha256) for file in sent],
            plan.difference.deleted,
            title=f"{publication.title}, xharness {__version__})",
            description=_description(plan),
            parent=parent,
            revision=plan.proposal.ref if plan.proposal is not None else target.branch,
            create_pr=target.create_pr and plan.proposal is None,
        )
    except XharnessError as error:
        commit, left = _after_failure(plan, parent)
        if commit is None:
            raise type(error)(f"{error}\n{left}") from None
        say("The answer to the commit was lost; the commit is there.")
        info = commit
    _check_still(publication)
    ref = plan.proposal.ref if plan.proposal is not None else info.ref
    there = hub_read.list_files(publication.repo, ref or info.sha, "model")
    wrong = difference(publication, target, there)
    if wrong:
        paths = [file.path for file in wrong.sent] + list(wrong.deleted)
        ignored = " Its .gitignore may keep them out." if ".gitignore" in there else ""
        raise PublishError(
            f"{publication.repo}: the commit {info.sha[:12]} was made, but the Hub holds other content than was sent: "
            f"{strip_controls(', '.join(paths[:6]))}{' ...' if len(paths) > 6 else ''}.{ignored} "
            "Run the same command again."
        )
    return info


def _after_failure(plan: PublishPlan, parent: str) -> tuple[Commit | None, str]:
    """Return the commit if it was made all the same, and a sentence on where the repository stands."""
    publication, target = plan.publication, plan.target
    repo = publication.repo
    try:
        if plan.target.create_pr:
            for pull_request in hub_repository.open_pull_requests(repo, publication.title):
                if not difference(publication, target, hub_read.list_files(repo, pull_request.ref, "model")):
                    return Commit(pull_request.sha, pull_request.url, pull_request.url, pull_request.ref), ""
        state = hub_repository.repo_state(repo, target.branch)
    except XharnessError:
        return None, f"Where {repo} stands now is not known, since the Hub cannot be asked."
    if state is None:
        return None, f"{repo} is not there."
    if not target.create_pr and not difference(publication, target, state.files):
        return Commit(state.sha, f"{hub_repository.address(repo)}/commit/{state.sha}"), ""
    if target.create_pr or state.sha == parent:
        empty = " and is empty" if plan.repo_state is None else ""
        return None, f"{repo} stands at its previous commit ({state.sha[:12]}){empty}; the same command finishes."
    return None, f"{repo} was changed by somebody else meanwhile ({state.sha[:12]}); the same command compares anew."


def _check_still(publication: Bundle) -> None:
    """Raise PublishError if a file is not what it was when it was hashed."""
    changed = [file.path for file in publication.files if file.has_changed()]
    if changed:
        raise PublishError(
            f"{publication.folder}: {', '.join(changed)}: changed while it was published. Wait until nothing writes to "
            "this folder, and run the same command again: it puts right what was sent."
        )


def _description(plan: PublishPlan) -> str:
    """Return what the commit says below its title."""
    difference = plan.difference
    parts = [f"content {plan.publication.checkpoint.id}"]
    for word, paths in (
        ("new", [file.path for file in difference.new]),
        ("changed", [file.path for file in difference.changed]),
        ("removed", difference.deleted),
    ):
        more = f" and {len(paths) - 12} more" if len(paths) > 12 else ""
        if paths:
            parts.append(f"{word}: {', '.join(paths[:12])}{more}")
    return "\n\n".join(parts)
