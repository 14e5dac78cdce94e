"""Upload a built leaderboard to its data set and Space: compare, commit once, verify."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tabulate import tabulate

from xharness.errors import PublishError
from xharness.hub import repository as hub_repository
from xharness.hub import write as hub_write
from xharness.hub.errors import RepoType, Unreachable
from xharness.hub.read import RemoteFile
from xharness.hub.repository import Account, RepoState
from xharness.hub.upload import Digests, File
from xharness.hub.write_errors import ResponseLost
from xharness.text import format_bytes, strip_controls

CARD = "README.md"


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A repository and the files to upload to it.

    Attributes:
        repo, repo_type: ``org/name``; ``dataset`` or ``space``.
        files: the files, with their paths.
        overwrite: whether files that differ are replaced; otherwise they are kept as they are.
        clear: folder (``replicates/``) in which files that are not among ``files`` are deleted; '' for none.
    """

    repo: str
    repo_type: RepoType
    files: tuple[File, ...]
    overwrite: bool
    clear: str = ""


@dataclass(frozen=True, kw_only=True)
class UploadPlan:
    """What an upload would change.

    Attributes:
        upload: the repository and its files.
        reached: whether the Hub answered.
        remote: state of the repository; None: it does not exist yet, or the Hub did not answer.
        new, changed: files to send.
        kept: paths of files that differ and are kept as they are.
        deleted: paths of files to delete.
    """

    upload: Upload
    reached: bool
    remote: RepoState | None
    new: tuple[File, ...]
    changed: tuple[File, ...] = ()
    kept: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()

    @property
    def to_send(self) -> tuple[File, ...]:
        """All files to send."""
        return self.new + self.changed

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.to_send or self.deleted) and (self.remote is not None or not self.reached)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON."""
        return {
            "repo": self.upload.repo,
            "repo_type": self.upload.repo_type,
            "url": hub_repository.address(self.upload.repo, self.upload.repo_type),
            "compared": self.reached,
            "exists": self.remote is not None if self.reached else None,
            "new": [file.path for file in self.new],
            "changed": [file.path for file in self.changed],
            "removed": list(self.deleted),
            "kept": list(self.kept),
            "bytes_to_send": sum(file.size for file in self.to_send),
        }


@dataclass(frozen=True)
class UploadResult:
    """What was done: ``made``, ``updated`` or ``unchanged``, with the URL and the commit."""

    state: str
    url: str
    sha: str


def folder_files(folder: Path) -> tuple[File, ...]:
    """Return all files below a folder, sorted by path."""
    digests = Digests()
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return tuple(digests.file(folder, path) for path in paths)


def compare(upload: Upload) -> UploadPlan:
    """Return what an upload would change; if the Hub cannot be reached, everything counts as new.

    Raises:
        ModelError, DataError: the repository cannot be read.
    """
    try:
        remote = hub_repository.repo_state(upload.repo, None, repo_type=upload.repo_type)
    except Unreachable:
        return UploadPlan(upload=upload, reached=False, remote=None, new=upload.files)
    if remote is None:
        return UploadPlan(upload=upload, reached=True, remote=None, new=upload.files)
    return _diff(upload, remote)


def _diff(upload: Upload, remote: RepoState) -> UploadPlan:
    remote_files: Mapping[str, RemoteFile] = remote.files
    changed = tuple(f for f in upload.files if f.path in remote_files and not f.is_same_as(remote_files[f.path]))
    ours = {file.path for file in upload.files}
    obsolete = [path for path in remote_files if upload.clear and path.startswith(upload.clear) and path not in ours]
    return UploadPlan(
        upload=upload,
        reached=True,
        remote=remote,
        new=tuple(file for file in upload.files if file.path not in remote_files),
        changed=changed if upload.overwrite else (),
        kept=() if upload.overwrite else tuple(file.path for file in changed),
        deleted=tuple(sorted(obsolete)),
    )


def check_rights(plan: UploadPlan, who: Account) -> None:
    """Raise PublishError if the token is known to lack the rights for a plan."""
    if not plan.is_empty:
        exists = plan.remote is not None
        hub_repository.check_rights(
            who, plan.upload.repo, exists=exists, proposing=False, repo_type=plan.upload.repo_type
        )


def send(plan: UploadPlan, say: Callable[[str], None], title: str) -> UploadResult:
    """Carry out a plan in one commit, and verify it.

    Raises:
        PublishError: the Hub cannot be reached, refuses something, or has other content than was sent.
    """
    upload, remote = plan.upload, plan.remote
    url = hub_repository.address(upload.repo, upload.repo_type)
    if not plan.reached:
        raise PublishError(f"{upload.repo}: the Hub cannot be reached, or HF_HUB_OFFLINE is set. Nothing was sent.")
    if plan.is_empty:
        assert remote is not None
        return UploadResult("unchanged", url, remote.sha)
    if remote is None:
        sdk = "static" if upload.repo_type == "space" else None
        hub_write.create_repository(upload.repo, private=False, repo_type=upload.repo_type, space_sdk=sdk)
        say(f"{upload.repo} ({upload.repo_type}) was created.")
        # The Hub adds a default card and page to a new repository; overwrite them.
        again = compare(replace(upload, overwrite=True))
        if again.remote is None:
            raise PublishError(f"{upload.repo}: it was created but cannot be read yet. Run the same command again.")
        return UploadResult("made", url, _commit(again, say, title))
    return UploadResult("updated", url, _commit(plan, say, title))


def _commit(plan: UploadPlan, say: Callable[[str], None], title: str) -> str:
    upload, remote = plan.upload, plan.remote
    assert remote is not None
    for file in plan.to_send:
        if file.path == CARD and isinstance(file.source, bytes):
            hub_write.check_card(upload.repo, file.source.decode("utf-8"), repo_type=upload.repo_type)
    say(f"Sending {len(plan.to_send)} files, {format_bytes(sum(file.size for file in plan.to_send))}, to {upload.repo}")
    try:
        sha = hub_write.commit(
            upload.repo,
            [(file.path, file.source, file.sha256) for file in plan.to_send],
            plan.deleted,
            title=title,
            description="",
            parent=remote.sha,
            repo_type=upload.repo_type,
        ).sha
    except ResponseLost:
        # Perhaps only the response was lost: the comparison below shows whether the commit is there.
        sha = ""
    after = compare(upload)
    if after.remote is None or after.to_send or after.deleted:
        missing = ", ".join([file.path for file in after.to_send[:6]] + list(after.deleted[:6]))
        raise PublishError(
            f"{upload.repo}: the upload is incomplete ({strip_controls(missing) or 'the Hub cannot be reached'}). "
            "Run the same command again."
        )
    return sha or after.remote.sha


def table(plans: list[UploadPlan]) -> str:
    """Format what would be sent, file by file; for a cleared folder only the number of files."""
    parts = []
    for plan in plans:
        upload = plan.upload
        rows = [(f.path, format_bytes(f.size), "new" if plan.reached else "to send") for f in plan.new]
        rows += [(f.path, format_bytes(f.size), "changed") for f in plan.changed]
        rows += [(path, "", "kept as it is") for path in plan.kept]
        rows += [(path, "", "removed") for path in plan.deleted]
        shown = sorted(row for row in rows if not _is_one_of_many(row[0], upload))
        many = [row for row in rows if _is_one_of_many(row[0], upload)]
        shown += [
            (f"{upload.clear} ({sum(row[2] == state for row in many):,} files)", "", state)
            for state in dict.fromkeys(row[2] for row in many)
        ]
        head = f"{hub_repository.address(upload.repo, upload.repo_type)} ({_state(plan)})"
        parts.append("\n".join([head, tabulate(shown, tablefmt="plain", disable_numparse=True)] if shown else [head]))
    return strip_controls("\n\n".join(parts))


def _is_one_of_many(path: str, upload: Upload) -> bool:
    return bool(upload.clear) and path.startswith(upload.clear)


def _state(plan: UploadPlan) -> str:
    what = "data set" if plan.upload.repo_type == "dataset" else "static Space"
    if not plan.reached:
        return f"{what}, not compared with the Hub"
    if plan.remote is None:
        return f"{what}, to be created"
    return f"{what}, nothing to do" if plan.is_empty else what
