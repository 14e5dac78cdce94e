"""Write to the Hub: create repositories, commit, comment, close pull requests."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xharness.hub.errors import RepoType
from xharness.hub.repository import collection_of, find_collection
from xharness.hub.write_errors import explain_write_errors, retry_on_rate_limit


@dataclass(frozen=True)
class Commit:
    """A new commit: sha, address, and address and ref of the pull request if it opened one."""

    sha: str
    url: str
    pull_request: str | None = None
    ref: str | None = None


def create_repository(repo: str, *, private: bool, repo_type: RepoType = "model", space_sdk: str | None = None) -> None:
    """Create a repository. A Space needs ``space_sdk``, such as ``static``.

    Raises:
        PublishError: it exists already, or the token may not create it.
    """
    from huggingface_hub import HfApi

    with explain_write_errors(repo, "a repository of this name"):
        retry_on_rate_limit(
            lambda: HfApi().create_repo(repo, private=private, repo_type=repo_type, space_sdk=space_sdk)
        )


def create_branch(repo: str, branch: str, sha: str) -> None:
    """Create a branch at a commit, unless it exists already."""
    from huggingface_hub import HfApi

    with explain_write_errors(repo, f"the branch '{branch}'"):
        retry_on_rate_limit(
            lambda: HfApi().create_branch(repo, branch=branch, revision=sha, repo_type="model", exist_ok=True)
        )


def create_tag(repo: str, tag: str, sha: str) -> None:
    """Create a tag at a commit.

    Raises:
        PublishError: the tag exists already.
    """
    from huggingface_hub import HfApi

    with explain_write_errors(repo, f"the tag '{tag}'"):
        retry_on_rate_limit(lambda: HfApi().create_tag(repo, tag=tag, revision=sha, repo_type="model"))


def check_card(repo: str, text: str, *, repo_type: RepoType = "model") -> None:
    """Have the Hub validate the metadata of a card, as it does at every commit, before anything is uploaded.

    Raises:
        PublishError: the metadata is invalid; says what is wrong.
    """
    import huggingface_hub.utils
    from huggingface_hub import constants

    client: Any = huggingface_hub.utils

    def ask() -> None:
        # Not RepoCard.validate: in huggingface_hub 1 it asks huggingface.co, whatever HF_ENDPOINT is.
        address = f"{constants.ENDPOINT}/api/validate-yaml"
        asked = {"content": text, "repoType": repo_type}
        client.hf_raise_for_status(client.get_session().post(address, json=asked, headers=client.build_hf_headers()))

    with explain_write_errors(repo, "the metadata of this card"):
        retry_on_rate_limit(ask)


def commit(
    repo: str,
    added: Iterable[tuple[str, Path | bytes, str]],
    deleted: Iterable[str],
    *,
    title: str,
    description: str,
    parent: str,
    revision: str | None = None,
    create_pr: bool = False,
    repo_type: RepoType = "model",
) -> Commit:
    """Make one commit with all changes, or none.

    Args:
        repo: ``org/name``.
        added: (path in the repository, local file or content, SHA-256) of new and changed files.
        deleted: paths of deleted files.
        title, description: title and description of the commit.
        parent: parent commit; if the branch is at another commit by now, nothing is changed.
        revision: branch, or ``refs/pr/N``; None: main.
        create_pr: open a pull request instead.
        repo_type: ``model``, ``dataset`` or ``space``.

    Raises:
        RepositoryChanged: the branch is not at ``parent`` any more.
        ResponseLost: no answer arrived; the commit may have been made.
        PublishError: the Hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    with explain_write_errors(repo, "this commit"), _bars():
        operations: list[Any] = []
        for path, source, digest in added:
            operation = CommitOperationAdd(path_in_repo=path, path_or_fileobj=source)
            # Known already; the client would read the complete file to compute it.
            operation.upload_info.sha256 = bytes.fromhex(digest)
            operations.append(operation)
        operations += [CommitOperationDelete(path_in_repo=path, is_folder=False) for path in deleted]
        info = retry_on_rate_limit(
            lambda: HfApi().create_commit(
                repo,
                operations,
                commit_message=title,
                commit_description=description,
                repo_type=repo_type,
                revision=revision,
                parent_commit=parent,
                create_pr=create_pr,
            )
        )
    return Commit(str(info.oid), str(info.commit_url), info.pr_url, info.pr_revision)


def comment(repo: str, number: int, text: str, *, repo_type: RepoType = "model") -> None:
    """Comment on a pull request.

    Raises:
        ResponseLost: no answer arrived; the comment may have been posted.
        PublishError: the pull request does not exist, or the token may not comment.
    """
    from huggingface_hub import HfApi

    with explain_write_errors(repo, f"a comment on its pull request {number}"):
        retry_on_rate_limit(lambda: HfApi().comment_discussion(repo, number, text, repo_type=repo_type))


def close(repo: str, number: int, text: str, *, repo_type: RepoType = "model") -> None:
    """Close a pull request with a comment.

    Raises:
        ResponseLost: no answer arrived; it may have been closed.
        PublishError: the pull request does not exist, or the token may not close it.
    """
    from huggingface_hub import HfApi

    with explain_write_errors(repo, f"closing its pull request {number}"):
        retry_on_rate_limit(
            lambda: HfApi().change_discussion_status(repo, number, "closed", comment=text, repo_type=repo_type)
        )


def add_to_collection(owner: str, title: str, repo: str, *, private: bool) -> str:
    """Add a model to a collection, which is created if missing; return the address of the collection."""
    from huggingface_hub import HfApi

    collection = find_collection(owner, title, repo)
    with explain_write_errors(repo, f"the collection '{title}'"):
        if collection is None:
            created = HfApi().create_collection(title, namespace=owner, private=private, exists_ok=True)
            collection = collection_of(created)
        if repo not in collection.models:
            HfApi().add_collection_item(collection.slug, repo, "model", exists_ok=True)
    return collection.url


@contextmanager
def _bars() -> Iterator[None]:
    """Hide the progress bars of huggingface_hub unless stderr is a terminal."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
