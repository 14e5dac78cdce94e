"""State of a repository: branches, tags, pull requests, collections, and what an account may write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from xharness.errors import PublishError
from xharness.hub import read
from xharness.hub.errors import RepoType, Request, explain_read_errors
from xharness.hub.read import RemoteFile
from xharness.hub.write_errors import LOG_IN, ResponseLost, explain_write_errors, retry_on_rate_limit


@dataclass(frozen=True)
class Account:
    """The owner and the permissions of a token.

    Attributes:
        name: name of the user.
        role: role of the token: ``read``, ``write``, ``fineGrained``, or another word of the Hub.
        organizations: name -> the user's role in it; None if the Hub does not say.
        writable: users, organizations and repositories that a fine-grained token may write to; None if unknown.
    """

    name: str
    role: str | None
    organizations: Mapping[str, str | None]
    writable: frozenset[str] | None = None


@dataclass(frozen=True)
class RepoState:
    """The current state of a repository.

    Attributes:
        sha: commit of the branch that is written to; of main if that branch does not exist yet.
        has_branch: whether that branch exists.
        private: whether only its owners can read it.
        files: path -> file at that commit, in the folders that were requested.
        tags: name -> commit.
    """

    sha: str
    has_branch: bool
    private: bool
    files: Mapping[str, RemoteFile]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class PullRequestRef:
    """An open pull request: number, title, author, address and newest commit."""

    number: int
    title: str
    author: str
    url: str
    sha: str

    @property
    def ref(self) -> str:
        """Its git ref, to be used as a revision."""
        return f"refs/pr/{self.number}"


@dataclass(frozen=True)
class PullRequest:
    """A pull request with its comments.

    Attributes:
        proposal: number, title, author, address and newest commit.
        status: ``open``, ``draft``, ``closed`` or ``merged``.
        target_branch: ref that it is to be merged into (``refs/heads/main``).
        comments: (author, text) of each comment; the first is the text of the pull request.
        merge_commit: commit that merged it; None if it is not merged.
        updated_at: time of its newest commit; None if the Hub does not say.
    """

    proposal: PullRequestRef
    status: str
    target_branch: str | None
    comments: tuple[tuple[str, str], ...]
    merge_commit: str | None
    updated_at: datetime | None


@dataclass(frozen=True)
class Collection:
    """A collection on the Hub: slug, address and the ids of its models."""

    slug: str
    url: str
    models: frozenset[str]


def find_collection(owner: str, title: str, repo: str) -> Collection | None:
    """Return the collection of a user or organization with this title; None if there is none.

    Listings contain only four items of each collection, so the collection is then requested by its slug.
    """
    from huggingface_hub import HfApi

    with explain_write_errors(repo, "the list of collections"):
        slug = next((c.slug for c in HfApi().list_collections(owner=owner) if c.title == title), None)
        return None if slug is None else collection_of(HfApi().get_collection(slug))


def address(repo: str, repo_type: RepoType = "model") -> str:
    """Return the web address of a repository."""
    from huggingface_hub import constants

    folder = {"model": "", "dataset": "datasets/", "space": "spaces/"}[repo_type]
    return f"{constants.ENDPOINT}/{folder}{repo}"


def account(repo: str) -> Account:
    """Return the account of this machine's token; ``repo`` is used in messages.

    Raises:
        PublishError: there is no token, or the Hub does not know it.
    """
    from huggingface_hub import HfApi

    with explain_write_errors(repo, "this token"):
        identity = retry_on_rate_limit(lambda: HfApi().whoami())
    token = (identity.get("auth") or {}).get("accessToken") or {}
    organizations = {org["name"]: org.get("roleInOrg") for org in identity.get("orgs") or [] if "name" in org}
    return Account(identity["name"], token.get("role"), organizations, _writable(token))


def try_account(repo: str) -> Account | None:
    """Return the account of this machine's token; None if there is no token, or the Hub cannot be reached.

    Raises:
        PublishError: the Hub does not know the token.
    """
    from huggingface_hub import get_token, is_offline_mode

    with explain_write_errors(repo, "this token"):
        if is_offline_mode() or get_token() is None:
            return None
    try:
        return account(repo)
    except ResponseLost:
        return None


def _writable(token: Mapping[str, Any]) -> frozenset[str] | None:
    # The client does not type this part of the answer. If it has another shape, the Hub decides at the commit.
    try:
        return frozenset(
            scope["entity"]["name"]
            for scope in token["fineGrained"]["scoped"]
            if any(permission.endswith("write") for permission in scope["permissions"])
        )
    except (KeyError, TypeError, AttributeError):
        return None


def check_rights(who: Account, repo: str, *, exists: bool, proposing: bool, repo_type: RepoType = "model") -> None:
    """Raise PublishError if it is known before writing that the token lacks the permission.

    Opening a pull request needs only a login and read access; the Hub checks them.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    owner = repo.partition("/")[0]
    if proposing:
        return
    if who.role == "read":
        raise PublishError(f"{repo}: the token of {who.name} has the role 'read' and cannot write. {LOG_IN}.")
    if who.role == "fineGrained" and who.writable is not None and not {owner, repo} & who.writable:
        may = ", ".join(sorted(who.writable)) or "nothing"
        raise PublishError(f"{repo}: the token of {who.name} cannot write to it, only to: {may}. {LOG_IN}.")
    if owner != who.name and owner not in who.organizations:
        known = ", ".join([who.name, *sorted(who.organizations)])
        raise PublishError(
            f"{repo}: {who.name} is not a member of '{owner}'. Publish to one of: {known}; or open a pull request with "
            "--create-pr."
        )
    if who.organizations.get(owner) == "read":
        raise PublishError(
            f"{repo}: {who.name} has only read access in '{owner}'. Ask its administrators for write access, or open a "
            "pull request with --create-pr."
        )
    if exists:
        with explain_write_errors(repo, "the right to write"):
            try:
                HfApi().auth_check(repo, repo_type=repo_type, write=True)
            except HfHubHTTPError as error:
                if error.response.status_code in (401, 403):
                    raise
                # A self-hosted Hub may not have this route; the commit itself is checked.


def repo_state(
    repo: str, branch: str | None, *, repo_type: RepoType = "model", folders: Sequence[str] | None = None
) -> RepoState | None:
    """Return the state of a repository; None if it does not exist or is hidden from this token.

    Args:
        repo: ``org/name``.
        branch: branch that is written to; None: main.
        repo_type: ``model``, ``dataset`` or ``space``.
        folders: list only these folders, for repositories with very many files; None: all.

    Raises:
        ModelError, DataError: the Hub cannot be reached, or the repository may not be read.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    with explain_read_errors(Request(repo, None, repo_type), lambda: ""):
        try:
            info = retry_on_rate_limit(lambda: HfApi().repo_info(repo, repo_type=repo_type))
            refs = retry_on_rate_limit(lambda: HfApi().list_repo_refs(repo, repo_type=repo_type))
        except GatedRepoError:  # a subclass of RepositoryNotFoundError
            raise
        except RepositoryNotFoundError:
            return None
    branches = {ref.name: ref.target_commit for ref in refs.branches}
    sha = branches.get(branch or "main", str(info.sha))
    tags = {ref.name: ref.target_commit for ref in refs.tags}
    if folders is None:
        files = read.list_files(repo, sha, repo_type)
    else:
        files = {}
        for folder in folders:
            files |= read.list_files(repo, sha, repo_type, folder)
    return RepoState(sha, (branch or "main") in branches, bool(info.private), files, tags)


def open_pull_requests(repo: str, title: str, *, repo_type: RepoType = "model") -> list[PullRequestRef]:
    """Return the open pull requests of a repository whose title starts with ``title``, newest first."""
    from huggingface_hub import HfApi

    with explain_write_errors(repo, "the list of its pull requests"):
        pull_requests = [
            discussion
            for discussion in HfApi().get_repo_discussions(
                repo, discussion_type="pull_request", discussion_status="open", repo_type=repo_type
            )
            if discussion.title.startswith(title) and discussion.status in ("open", "draft")
        ]
        refs = (
            HfApi().list_repo_refs(repo, repo_type=repo_type, include_pull_requests=True).pull_requests
            if pull_requests
            else []
        )
    heads = {ref.ref: ref.target_commit for ref in refs or []}
    open_refs = [
        PullRequestRef(d.num, d.title, d.author, d.url, heads.get(f"refs/pr/{d.num}", "")) for d in pull_requests
    ]
    return sorted((p for p in open_refs if p.sha), key=lambda proposal: -proposal.number)


def pull_request(repo: str, number: int, *, repo_type: RepoType = "model", head: str | None = None) -> PullRequest:
    """Return a pull request by its number, open or not.

    Args:
        repo: ``org/name``.
        number: its number.
        repo_type: ``model``, ``dataset`` or ``space``.
        head: its newest commit, if known already.

    Raises:
        PublishError: it does not exist, or the Hub refuses.
        ResponseLost: the Hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.community import DiscussionComment, DiscussionCommit

    with explain_write_errors(repo, f"its pull request {number}"):
        details = retry_on_rate_limit(lambda: HfApi().get_discussion_details(repo, number, repo_type=repo_type))
        if not details.is_pull_request:
            raise PublishError(f"{repo}: number {number} is a discussion, not a pull request. Give another number.")
        if head is None:
            refs = retry_on_rate_limit(
                lambda: HfApi().list_repo_refs(repo, repo_type=repo_type, include_pull_requests=True)
            )
            heads = {ref.ref: ref.target_commit for ref in refs.pull_requests or []}
            head = heads.get(f"refs/pr/{number}", "")
    comments = tuple((event.author, event.content) for event in details.events if isinstance(event, DiscussionComment))
    commits = [event for event in details.events if isinstance(event, DiscussionCommit) and event.oid == head]
    return PullRequest(
        proposal=PullRequestRef(number, details.title, details.author, details.url, head),
        status=details.status,
        target_branch=details.target_branch,
        comments=comments,
        merge_commit=details.merge_commit_oid,
        updated_at=max((event.created_at for event in commits), default=None),
    )


def collection_of(collection: Any) -> Collection:
    """Convert a collection of huggingface_hub."""
    models = frozenset(item.item_id for item in collection.items if item.item_type == "model")
    return Collection(collection.slug, collection.url, models)
