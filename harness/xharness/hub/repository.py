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
    """Who a token belongs to, and what it may do.

    Attributes:
        name: of the user.
        role: of the token: ``read``, ``write``, ``fineGrained``, or what the Hub calls it.
        organisations: name -> the user's role in it, None where the Hub does not say.
        writable: fine-grained tokens: names of users, organisations and repositories that it may write to; None where
            the Hub does not say it in a way that is understood here.
    """

    name: str
    role: str | None
    organisations: Mapping[str, str | None]
    writable: frozenset[str] | None = None


@dataclass(frozen=True)
class RepoState:
    """What stands in a repository now.

    Attributes:
        sha: the commit of the branch that is written to; of main where there is no such branch yet.
        has_branch: whether there is that branch.
        private: whether only its owners can read it.
        files: path -> what the Hub says of the file at that commit; of the folders that were asked for.
        tags: name -> commit.
    """

    sha: str
    has_branch: bool
    private: bool
    files: Mapping[str, RemoteFile]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class PullRequestRef:
    """An open pull request: its number, title, author and address, and where it stands."""

    number: int
    title: str
    author: str
    url: str
    sha: str

    @property
    def ref(self) -> str:
        """What can be written to and read from as a revision."""
        return f"refs/pr/{self.number}"


@dataclass(frozen=True)
class PullRequest:
    """A pull request with what was said below it.

    Attributes:
        proposal: number, title, author, address, and the commit that it stands at.
        status: ``open``, ``draft``, ``closed`` or ``merged``.
        onto: the ref that it changes once merged (``refs/heads/main``).
        comments: (author, text) of each comment, the first one being the pull request's own text.
        merged_as: the commit that merged it; None where it is not.
        moved: when the Hub saw the commit that it stands at; None where it does not say.
    """

    proposal: PullRequestRef
    status: str
    onto: str | None
    comments: tuple[tuple[str, str], ...]
    merged_as: str | None
    moved: datetime | None


@dataclass(frozen=True)
class Collection:
    """A collection on the Hub: its slug, its address, and the models in it."""

    slug: str
    url: str
    models: frozenset[str]


def find_collection(owner: str, title: str, repo: str) -> Collection | None:
    """Return the collection of a user or an organisation with a title, None if there is none.

    A listing shows four items of each collection only, so the one that was found is asked for by itself.
    """
    from huggingface_hub import HfApi

    with explain_write_errors(repo, "the list of collections"):
        slug = next((each.slug for each in HfApi().list_collections(owner=owner) if each.title == title), None)
        return None if slug is None else collection_of(HfApi().get_collection(slug))


def address(repo: str, repo_type: RepoType = "model") -> str:
    """Return where a repository is shown."""
    from huggingface_hub import constants

    folder = {"model": "", "dataset": "datasets/", "space": "spaces/"}[repo_type]
    return f"{constants.ENDPOINT}/{folder}{repo}"


def account(repo: str) -> Account:
    """Return who the token of this machine belongs to; ``repo`` is named in messages.

    Raises:
        PublishError: there is none, or the Hub does not know it.
    """
    from huggingface_hub import HfApi

    with explain_write_errors(repo, "this token"):
        identity = retry_on_rate_limit(lambda: HfApi().whoami())
    token = (identity.get("auth") or {}).get("accessToken") or {}
    organisations = {org["name"]: org.get("roleInOrg") for org in identity.get("orgs") or [] if "name" in org}
    return Account(identity["name"], token.get("role"), organisations, _writable(token))


def try_account(repo: str) -> Account | None:
    """Return who this machine's token belongs to; None where there is none, or the Hub cannot be asked.

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
    # The client has no types for this part of the answer, so anything of another shape is left for the Hub to judge.
    try:
        return frozenset(
            scope["entity"]["name"]
            for scope in token["fineGrained"]["scoped"]
            if any(permission.endswith("write") for permission in scope["permissions"])
        )
    except (KeyError, TypeError, AttributeError):
        return None


def check_rights(who: Account, repo: str, *, exists: bool, proposing: bool, repo_type: RepoType = "model") -> None:
    """Raise PublishError where it is known beforehand that a token may not write what is to be written.

    To open a pull request, it is enough that one is logged in and may read; the Hub says whether that holds.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    owner = repo.partition("/")[0]
    if proposing:
        return
    if who.role == "read":
        raise PublishError(f"{repo}: the token of {who.name} may only read (its role is 'read'). {LOG_IN}.")
    if who.role == "fineGrained" and who.writable is not None and not {owner, repo} & who.writable:
        may = ", ".join(sorted(who.writable)) or "nothing"
        raise PublishError(f"{repo}: the token of {who.name} may not write to it (it may to: {may}). {LOG_IN}.")
    if owner != who.name and owner not in who.organisations:
        known = ", ".join([who.name, *sorted(who.organisations)])
        raise PublishError(
            f"{repo}: {who.name} is no member of '{owner}'; publish to one of: {known}. Or propose it with --create-pr."
        )
    if who.organisations.get(owner) == "read":
        raise PublishError(
            f"{repo}: {who.name} may only read in '{owner}'. Ask its administrators for the right to write, or propose "
            "it with --create-pr."
        )
    if exists:
        with explain_write_errors(repo, "the right to write"):
            try:
                HfApi().auth_check(repo, repo_type=repo_type, write=True)
            except HfHubHTTPError as error:
                if error.response.status_code in (401, 403):
                    raise
                # A Hub of one's own may not have this route; the commit itself will tell.


def repo_state(
    repo: str, branch: str | None, *, repo_type: RepoType = "model", folders: Sequence[str] | None = None
) -> RepoState | None:
    """Return what stands in a repository; None if there is none, or this token may not know that there is.

    Args:
        repo: ``org/name``.
        branch: that is written to; None: main.
        repo_type: ``model``, ``dataset`` or ``space``.
        folders: of a repository with very many files, those that are listed; None: all.

    Raises:
        ModelError, DataError: the Hub cannot be reached, or the repository may not be read.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    with explain_read_errors(Request(repo, None, repo_type), lambda: ""):
        try:
            info = retry_on_rate_limit(lambda: HfApi().repo_info(repo, repo_type=repo_type))
            refs = retry_on_rate_limit(lambda: HfApi().list_repo_refs(repo, repo_type=repo_type))
        except GatedRepoError:  # one kind of the other
            raise
        except RepositoryNotFoundError:
            return None
    branches = {ref.name: ref.target_commit for ref in refs.branches}
    sha = branches.get(branch or "main", str(info.sha))
    tags = {ref.name: ref.target_commit for ref in refs.tags}
    if folders is None:
        files = read.list_files(repo, sha, repo_type)
    else:
        files = {path: file for each in folders for path, file in read.list_files(repo, sha, repo_type, each).items()}
    return RepoState(sha, (branch or "main") in branches, bool(info.private), files, tags)


def proposals(repo: str, title: str, *, repo_type: RepoType = "model") -> list[PullRequestRef]:
    """Return the open pull requests of a repository whose title begins so, the newest first."""
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
        number: of the pull request.
        repo_type: ``model``, ``dataset`` or ``space``.
        head: the commit that it stands at, where that is known already.

    Raises:
        PublishError: there is none with this number, or the Hub refuses to tell.
        Lost: the Hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.community import DiscussionComment, DiscussionCommit

    with explain_write_errors(repo, f"its pull request {number}"):
        details = retry_on_rate_limit(lambda: HfApi().get_discussion_details(repo, number, repo_type=repo_type))
        if not details.is_pull_request:
            raise PublishError(f"{repo}: number {number} is a discussion and no pull request. Give another number.")
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
        onto=details.target_branch,
        comments=comments,
        merged_as=details.merge_commit_oid,
        moved=max((event.created_at for event in commits), default=None),
    )


def collection_of(collection: Any) -> Collection:
    """Return what is needed of a collection as the client has it."""
    models = frozenset(item.item_id for item in collection.items if item.item_type == "model")
    return Collection(collection.slug, collection.url, models)
