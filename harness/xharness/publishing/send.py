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
        sha: current commit of the branch or of the pull request.
        url: address of the repository.
        commit, pull_request, collection: addresses; None where there is none.
        tag: the tag that was created.
    """

    state: str
    sha: str
    url: str
    commit: str | None = None
    pull_request: str | None = None
    collection: str | None = None
    tag: str | None = None


def send(plan: PublishPlan, who: Account, say: Callable[[str], None]) -> PublishResult:
    """Carry out a plan and verify the result.

    The rights of the token are checked before anything is sent, as far as the Hub tells them. All files go in one
    commit, which the Hub rejects if the branch has moved since the comparison. So the repository is either at its
    previous commit or at the new one.

    Args:
        plan: from `publishing.plan.compare`.
        who: the account of the token.
        say: shows progress to the user.

    Raises:
        PublishError: the Hub cannot be reached or rejects a request, or its content differs from what was sent.
    """
    bundle, target = plan.bundle, plan.target
    if not plan.compared:
        raise PublishError(f"{bundle.repo}: {'; '.join(plan.notes)}. Nothing was sent.")
    commit = None
    if not plan.is_empty:
        exists = plan.repo_state is not None
        hub_repository.check_rights(who, bundle.repo, exists=exists, proposing=target.create_pr)
    if plan.difference:
        hub_write.check_card(bundle.repo, bundle.card)
        commit = _commit(plan, _parent_commit(plan, say), say)
    elif plan.creates_branch:
        _parent_commit(plan, say)
    before = plan.pull_request or plan.repo_state
    sha = commit.sha if commit is not None else before.sha if before is not None else ""
    tag = collection = None
    if plan.creates_tag and target.tag is not None:
        hub_write.create_tag(bundle.repo, target.tag, sha)
        tag = target.tag
    if plan.adds_to_collection and target.collection is not None:
        owner = bundle.repo.partition("/")[0]
        collection = hub_write.add_to_collection(owner, target.collection, bundle.repo, private=target.private)
    opened = plan.pull_request.url if plan.pull_request is not None else None
    return PublishResult(
        state="unchanged" if commit is None else "proposed" if target.create_pr else "published",
        sha=sha,
        url=hub_repository.address(bundle.repo),
        commit=commit.url if commit is not None else None,
        pull_request=opened or (commit.pull_request if commit is not None else None),
        collection=collection,
        tag=tag,
    )


def _parent_commit(plan: PublishPlan, say: Callable[[str], None]) -> str:
    """Return the parent of the new commit, after creating repository and branch if they do not exist."""
    repo, branch = plan.bundle.repo, plan.target.branch
    if plan.pull_request is not None:
        return plan.pull_request.sha
    state = plan.repo_state
    if state is None:
        hub_write.create_repository(repo, private=plan.target.private)
        say(f"{repo} was created.")
        state = hub_repository.repo_state(repo, branch)
        if state is None:
            raise PublishError(f"{repo}: it was created but cannot be read yet. Run the same command again.")
    if branch is not None and not state.has_branch:
        hub_write.create_branch(repo, branch, state.sha)
    return state.sha


def _commit(plan: PublishPlan, parent: str, say: Callable[[str], None]) -> Commit:
    """Create the commit, verify the repository and return the commit, also if only the Hub's response was lost."""
    bundle, target = plan.bundle, plan.target
    to_send = plan.difference.to_send
    _check_unchanged(bundle)
    say(f"Sending {len(to_send)} files, {format_bytes(sum(file.size for file in to_send))}, to {bundle.repo}")
    try:
        commit = hub_write.commit(
            bundle.repo,
            [(file.path, file.source, file.sha256) for file in to_send],
            plan.difference.deleted,
            title=f"{bundle.title}, xharness {__version__})",
            description=_commit_description(plan),
            parent=parent,
            revision=plan.pull_request.ref if plan.pull_request is not None else target.branch,
            create_pr=target.create_pr and plan.pull_request is None,
        )
    except XharnessError as error:
        recovered, message = _recover(plan, parent)
        if recovered is None:
            raise type(error)(f"{error}\n{message}") from None
        say("The response to the commit was lost, but the commit exists.")
        commit = recovered
    _check_unchanged(bundle)
    ref = plan.pull_request.ref if plan.pull_request is not None else commit.ref
    existing = hub_read.list_files(bundle.repo, ref or commit.sha, "model")
    wrong = difference(bundle, target, existing)
    if wrong:
        paths = [file.path for file in wrong.to_send] + list(wrong.deleted)
        ignored = " The repository's .gitignore may exclude them." if ".gitignore" in existing else ""
        raise PublishError(
            f"{bundle.repo}: the commit {commit.sha[:12]} was created, but the Hub holds other content than was sent: "
            f"{strip_controls(', '.join(paths[:6]))}{' ...' if len(paths) > 6 else ''}.{ignored} "
            "Run the same command again."
        )
    return commit


def _recover(plan: PublishPlan, parent: str) -> tuple[Commit | None, str]:
    """Return the commit if it exists in spite of the error, else None and a sentence on the repository's state."""
    bundle, target = plan.bundle, plan.target
    repo = bundle.repo
    try:
        if plan.target.create_pr:
            for candidate in hub_repository.open_pull_requests(repo, bundle.title):
                if not difference(bundle, target, hub_read.list_files(repo, candidate.ref, "model")):
                    return Commit(candidate.sha, candidate.url, candidate.url, candidate.ref), ""
        state = hub_repository.repo_state(repo, target.branch)
    except XharnessError:
        return None, f"The state of {repo} is not known, because the Hub cannot be reached."
    if state is None:
        return None, f"{repo} does not exist."
    if not target.create_pr and not difference(bundle, target, state.files):
        return Commit(state.sha, f"{hub_repository.address(repo)}/commit/{state.sha}"), ""
    if target.create_pr or state.sha == parent:
        empty = " and is empty" if plan.repo_state is None else ""
        return None, f"{repo} is at its previous commit ({state.sha[:12]}){empty}. Run the same command to finish."
    return None, f"{repo} was changed by somebody else ({state.sha[:12]}). Run the same command to compare again."


def _check_unchanged(bundle: Bundle) -> None:
    """Raise PublishError if a file has changed since it was hashed."""
    changed = [file.path for file in bundle.files if file.has_changed()]
    if changed:
        raise PublishError(
            f"{bundle.folder}: {', '.join(changed)}: changed while being published. Wait until nothing writes to "
            "this folder, then run the same command again: it corrects what was sent."
        )


def _commit_description(plan: PublishPlan) -> str:
    """Return the text of the commit below its title."""
    difference = plan.difference
    parts = [f"content {plan.bundle.checkpoint.id}"]
    for word, paths in (
        ("new", [file.path for file in difference.new]),
        ("changed", [file.path for file in difference.changed]),
        ("removed", difference.deleted),
    ):
        more = f" and {len(paths) - 12} more" if len(paths) > 12 else ""
        if paths:
            parts.append(f"{word}: {', '.join(paths[:12])}{more}")
    return "\n\n".join(parts)
