"""Create a leaderboard on the Hub, and update its data set and Space."""

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
    """A repository, and the files that are to lie there.

    Attributes:
        repo, repo_type: ``org/name``; ``dataset`` or ``space``.
        files: with their paths.
        replaced: a file that lies there with another content is replaced; without it, it is kept as it is.
        cleared: folder (``replicates/``) from which files go that are not among ``files``; '' for none.
    """

    repo: str
    repo_type: RepoType
    files: tuple[File, ...]
    replaced: bool
    cleared: str = ""


@dataclass(frozen=True, kw_only=True)
class UploadPlan:
    """What a place would gain.

    Attributes:
        upload: where.
        reached: whether the Hub was asked.
        standing: what stands there; None: nothing yet, or not asked.
        new, changed: files to send.
        kept: paths that stay as they are, though their content is another.
        deleted: paths that go.
    """

    upload: Upload
    reached: bool
    repo_state: RepoState | None
    new: tuple[File, ...]
    changed: tuple[File, ...] = ()
    kept: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()

    @property
    def sent(self) -> tuple[File, ...]:
        """All files that are sent."""
        return self.new + self.changed

    @property
    def has_nothing(self) -> bool:
        """Whether nothing has to be done."""
        return not (self.sent or self.deleted) and (self.repo_state is not None or not self.reached)

    def to_json(self) -> dict[str, Any]:
        """Return the plan for machines."""
        return {
            "repo": self.upload.repo,
            "repo_type": self.upload.repo_type,
            "url": hub_repository.address(self.upload.repo, self.upload.repo_type),
            "compared": self.reached,
            "exists": self.repo_state is not None if self.reached else None,
            "new": [file.path for file in self.new],
            "changed": [file.path for file in self.changed],
            "removed": list(self.deleted),
            "kept": list(self.kept),
            "bytes_to_send": sum(file.size for file in self.sent),
        }


@dataclass(frozen=True)
class UploadResult:
    """What was done: ``made``, ``updated`` or ``unchanged``; where it is to be seen, and the commit it stands at."""

    state: str
    url: str
    sha: str


def folder_files(folder: Path) -> tuple[File, ...]:
    """Return all files below a folder, by path."""
    digests = Digests()
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return tuple(digests.file(folder, path) for path in paths)


def compare(upload: Upload) -> UploadPlan:
    """Return what a place would gain; where the Hub cannot be asked, everything.

    Raises:
        ModelError, DataError: the repository may not be read.
    """
    try:
        state = hub_repository.repo_state(upload.repo, None, repo_type=upload.repo_type)
    except Unreachable:
        return UploadPlan(upload=upload, reached=False, repo_state=None, new=upload.files)
    if state is None:
        return UploadPlan(upload=upload, reached=True, repo_state=None, new=upload.files)
    return _against(upload, state)


def _against(upload: Upload, state: RepoState) -> UploadPlan:
    there: Mapping[str, RemoteFile] = state.files
    other = tuple(f for f in upload.files if f.path in there and not f.is_same_as(there[f.path]))
    ours = {file.path for file in upload.files}
    gone = [path for path in there if upload.cleared and path.startswith(upload.cleared) and path not in ours]
    return UploadPlan(
        upload=upload,
        reached=True,
        repo_state=state,
        new=tuple(file for file in upload.files if file.path not in there),
        changed=other if upload.replaced else (),
        kept=() if upload.replaced else tuple(file.path for file in other),
        deleted=tuple(sorted(gone)),
    )


def check_rights(plan: UploadPlan, who: Account) -> None:
    """Raise PublishError where it is known that a token may not do what a plan says."""
    if not plan.has_nothing:
        exists = plan.repo_state is not None
        hub_repository.check_rights(
            who, plan.upload.repo, exists=exists, proposing=False, repo_type=plan.upload.repo_type
        )


def send(plan: UploadPlan, say: Callable[[str], None], title: str) -> UploadResult:
    """Do what a plan says, in one commit, and prove that it arrived.

    Raises:
        PublishError: the Hub could not be asked or refuses something, or holds other content than was sent.
    """
    upload, state = plan.upload, plan.repo_state
    url = hub_repository.address(upload.repo, upload.repo_type)
    if not plan.reached:
        raise PublishError(
            f"{upload.repo}: the Hub cannot be reached, or may not be (HF_HUB_OFFLINE). Nothing was sent."
        )
    if plan.has_nothing:
        assert state is not None
        return UploadResult("unchanged", url, state.sha)
    if state is None:
        sdk = "static" if upload.repo_type == "space" else None
        hub_write.create_repository(upload.repo, private=False, repo_type=upload.repo_type, space_sdk=sdk)
        say(f"{upload.repo} ({upload.repo_type}) was made.")
        # The Hub puts files of its own into what it makes, a card and a page; they are nobody's work.
        again = compare(replace(upload, replaced=True))
        if again.repo_state is None:
            raise PublishError(f"{upload.repo}: it was made, and cannot be seen. Run the same command again.")
        return UploadResult("made", url, _commit(again, say, title))
    return UploadResult("updated", url, _commit(plan, say, title))


def _commit(plan: UploadPlan, say: Callable[[str], None], title: str) -> str:
    upload, state = plan.upload, plan.repo_state
    assert state is not None
    for file in plan.sent:
        if file.path == CARD and isinstance(file.source, bytes):
            hub_write.check_card(upload.repo, file.source.decode("utf-8"), repo_type=upload.repo_type)
    say(f"Sending {len(plan.sent)} files, {format_bytes(sum(file.size for file in plan.sent))}, to {upload.repo}")
    try:
        sha = hub_write.commit(
            upload.repo,
            [(file.path, file.source, file.sha256) for file in plan.sent],
            plan.deleted,
            title=title,
            description="",
            parent=state.sha,
            repo_type=upload.repo_type,
        ).sha
    except ResponseLost:
        # The answer may be all that was lost; what stands there tells.
        sha = ""
    after = compare(upload)
    if after.repo_state is None or after.sent or after.deleted:
        wrong = ", ".join([file.path for file in after.sent[:6]] + list(after.deleted[:6]))
        raise PublishError(
            f"{upload.repo}: not all of it arrived ({strip_controls(wrong) or 'the Hub cannot be asked'}). "
            "Run the same command again."
        )
    return sha or after.repo_state.sha


def table(plans: list[UploadPlan]) -> str:
    """Return what would be sent where, file by file; of many alike in one folder their number."""
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
            (f"{upload.cleared} ({sum(row[2] == state for row in many):,} files)", "", state)
            for state in dict.fromkeys(row[2] for row in many)
        ]
        head = f"{hub_repository.address(upload.repo, upload.repo_type)} ({_state(plan)})"
        parts.append("\n".join([head, tabulate(shown, tablefmt="plain", disable_numparse=True)] if shown else [head]))
    return strip_controls("\n\n".join(parts))


def _is_one_of_many(path: str, upload: Upload) -> bool:
    return bool(upload.cleared) and path.startswith(upload.cleared)


def _state(plan: UploadPlan) -> str:
    what = "data set" if plan.upload.repo_type == "dataset" else "static Space"
    if not plan.reached:
        return f"{what}, not compared with the Hub"
    if plan.repo_state is None:
        return f"{what}, to be made"
    return f"{what}, nothing to do" if plan.has_nothing else what
