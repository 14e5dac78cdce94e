"""`xharness models pull`: download a checkpoint at one commit and verify it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from xharness import files
from xharness.checkpoints import files as checkpoints_files
from xharness.checkpoints import heads, training_record, zoo
from xharness.checkpoints.pull_folder import BEGUN, DONE, STAGING, begun, check_paths, explain_write_errors, locked
from xharness.errors import ModelError, OutputError, UsageError
from xharness.hub import download as hub_download
from xharness.hub import read as hub_read
from xharness.hub.read import RemoteFile
from xharness.progress import bar
from xharness.text import strip_controls

# Downloaded in addition to config, tokenizer and weights.
_EXTRA = re.compile(
    rf"heads/[^/]+\.safetensors|README\.md|{re.escape(training_record.FILE)}|{re.escape(training_record.CURVE)}"
    r"|\.eval_results/[^/]+\.yaml|results/.+\.json"
)
# The pattern vocab.* matches anything, so endings are checked: never a pickle or code, whatever its name.
_ENDINGS = (".json", ".txt", ".model", ".spm", ".bpe", ".codes", ".safetensors", ".md", ".yaml", ".png")
_WEIGHTS = ".safetensors"
_LEFT_OUT = (".py", ".bin", ".pt", ".pth", ".pkl", ".ckpt")
_AT_ONCE = 8


@dataclass(frozen=True)
class Pulled:
    """The result of a pull.

    Attributes:
        repo: ``org/name``.
        sha: commit.
        folder: local folder.
        files: path -> file on the Hub.
        downloaded: paths of files that were downloaded; the others existed already.
        notes: messages for the user.
    """

    repo: str
    sha: str
    folder: Path
    files: Mapping[str, RemoteFile]
    downloaded: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def size(self) -> int:
        """Size of all files in bytes."""
        return sum(file.size for file in self.files.values())

    def to_json(self) -> dict[str, Any]:
        """Return the JSON of ``models pull --json``."""
        return {
            "repo": self.repo,
            "sha": self.sha,
            "folder": str(self.folder),
            "files": {path: asdict(file) for path, file in self.files.items()},
            "downloaded": list(self.downloaded),
            "bytes": self.size,
            "notes": list(self.notes),
        }


def pull(name: str, to: Path, *, progress: bool = True) -> Pulled:
    """Download a checkpoint at one commit into a folder, and verify it.

    Downloads config, tokenizer, safetensors weights and heads, xharness.json, training.json, model card and results.
    Existing files with the right content are not downloaded again, and interrupted downloads are resumed. Every file is
    verified against the digest in the Hub's listing, and weights also against training.json.

    Args:
        name: a name of the zoo, ``org/name`` or ``org/name@revision``. Without a revision: the pinned commit of the
            zoo, else the commit in the folder if it has this repository already, else the newest.
        to: the folder.
        progress: show a progress bar of bytes if stderr is a terminal.

    Raises:
        UsageError: the name is not in the zoo or is a local folder, or the folder is in use or has other content.
        ModelError: the repository cannot be read, is not a checkpoint with safetensors weights, or has paths that lead
            out of the folder; or a file does not match its digest.
        OutputError: the disk is full or the folder is not writable.
    """
    repo, revision = _locate(name)
    with explain_write_errors(to), locked(to):
        before = begun(to, repo)
        sha = before if before and revision is None else hub_read.resolve(repo, revision, "model", fresh=True)
        if before and before != sha:
            raise UsageError(
                f"{to} holds {repo} at {before[:12]}, not at {sha[:12]}. Give another folder; or, to resume that "
                f"download, {repo}@{before}."
            )
        listed = hub_read.list_files(repo, sha, "model")
        pulled = _Pull(repo, sha, to, listed, progress).run(new=before is None)
    return replace(pulled, notes=(*pulled.notes, *(_newer(repo, sha) if before and revision is None else ())))


def select(listed: Collection[str]) -> list[str]:
    """Return the files of a repository that a pull downloads, without the shards in an index of weights."""
    parts = checkpoints_files.find_parts(path for path in listed if "/" not in path)
    selected = {*parts, *(path for path in listed if _EXTRA.fullmatch(path))}
    return sorted(path for path in selected if path.endswith(_ENDINGS))


def _locate(name: str) -> tuple[str, str | None]:
    if Path(name).expanduser().is_dir():
        raise UsageError(f"{name} is a local folder, so there is nothing to pull.")
    return zoo.locate(name)


class _Pull:
    """Downloads one repository at one commit into one folder."""

    def __init__(self, repo: str, sha: str, to: Path, listed: Mapping[str, RemoteFile], progress: bool) -> None:
        self.repo, self.sha, self.to, self.listed, self.progress = repo, sha, to, listed, progress
        self.staging = to / STAGING
        self.downloaded: list[str] = []
        self.verified: set[str] = set()

    def run(self, *, new: bool) -> Pulled:
        """Download all files; ``new``: the folder does not have this repository yet."""
        names = [path for path in self.listed if "/" not in path]
        if not checkpoints_files.find_weights(names):
            raise checkpoints_files.no_weights(self.repo, sorted(map(strip_controls, names)), "")
        checkpoints_files.check_tokenizer(self.repo, names)
        first = select(self.listed)
        weights = [path for path in first if path.endswith(_WEIGHTS)]
        small = [path for path in first if path not in weights]
        check_paths(self.repo, self.to, first)
        if new:
            self._check_folder(first)
        files.write_json(self.to / BEGUN, {"repo": self.repo, "sha": self.sha})
        self._download_small(small)
        # Only now the index of weights can be read, and training.json with the digests of weights.
        weights = sorted({*weights, *checkpoints_files.find_shards(self.repo, names, lambda index: self.to / index)})
        check_paths(self.repo, self.to, weights)
        wanted = {path: self.listed[path] for path in [*small, *weights]} | self._recorded(weights)
        self._download_weights({path: wanted[path] for path in weights})
        done = {path: asdict(wanted[path]) for path in sorted(wanted)}
        if self.downloaded or not (self.to / DONE).is_file():
            files.write_json(self.to / DONE, {"repo": self.repo, "sha": self.sha, "files": done})
        shutil.rmtree(self.staging)
        return Pulled(self.repo, self.sha, self.to, wanted, tuple(self.downloaded), self._notes(names))

    def _check_folder(self, wanted: Collection[str]) -> None:
        """Raise UsageError if the folder holds another checkpoint, or parts of one."""
        existing = sorted(p.name for p in self.to.iterdir() if p.is_file())
        existing += checkpoints_files.find_heads(self.to)
        parts = {p for p in existing if p in wanted or p.endswith(_WEIGHTS)}
        parts |= set(checkpoints_files.find_parts(existing))
        for path in sorted(parts):
            if path in self.listed and self.listed[path].is_at(self.to / path):
                self.verified.add(path)
        others = sorted(parts - self.verified)
        if others:
            raise UsageError(
                f"{self.to} holds files that differ from {self.repo} at {self.sha[:12]}: "
                f"{', '.join(others[:4])}{' ...' if len(others) > 4 else ''}. Give another folder, or remove them."
            )

    def _download_small(self, paths: Collection[str]) -> None:
        missing = [path for path in paths if not self._exists(path, self.listed[path])]
        self._check_room([self.listed[path] for path in missing])
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda path: self._download(path, self.listed[path], lambda _: None), missing))

    def _download_weights(self, weights: Mapping[str, RemoteFile]) -> None:
        missing = {path: file for path, file in weights.items() if not self._exists(path, file)}
        self._check_room(missing.values())
        with bar(self.repo, sum(file.size for file in missing.values()), self.progress, "B") as shown:
            for path, file in missing.items():
                self._download(path, file, shown.update)

    def _recorded(self, weights: Collection[str]) -> dict[str, RemoteFile]:
        """Return the weights in training.json, with its digests; raise ModelError if those on the Hub differ."""
        record = training_record.load(self.to) if {heads.FILE, training_record.FILE} <= set(self.listed) else None
        if record is not None and not isinstance(record.weights, dict):
            raise ModelError(
                f"{self.repo}: its {training_record.FILE} has no digests of weights. Report this to its owner."
            )
        recorded, wrong = {}, []
        for path, digest in record.weights.items() if record is not None else ():
            if path.count("/") > path.startswith("heads/"):
                continue  # checkpoints of other steps, which are not published
            file = self.listed.get(path)
            if file is None or path not in weights or file.sha256 not in (None, digest):
                wrong.append(path)
            else:
                recorded[path] = replace(file, sha256=digest)
        if wrong:
            raise ModelError(
                f"{self.repo}: at {self.sha[:12]} its weights do not match its training.json: "
                f"{', '.join(sorted(wrong)[:4])}. Report this to its owner; another commit may be complete "
                f"({self.repo}@REVISION)."
            )
        return recorded

    def _check_room(self, missing: Iterable[RemoteFile]) -> None:
        received = sum(path.stat().st_size for path in self.staging.glob("*.part"))
        needed = sum(file.size for file in missing) - received
        free = shutil.disk_usage(self.to).free
        if needed > free:
            raise OutputError(
                f"{self.to}: the download needs {needed / 1e6:,.0f} MB more, and {free / 1e6:,.0f} MB are free. Free "
                "some "
                "space or choose another folder."
            )

    def _notes(self, names: Collection[str]) -> tuple[str, ...]:
        left_out = sorted(name for name in names if name.endswith(_LEFT_OUT))
        if not left_out:
            return ()
        listed = f"{', '.join(left_out[:4])}{' ...' if len(left_out) > 4 else ''}"
        return (strip_controls(f"Python code and pickles are not downloaded: {listed}."),)

    def _exists(self, path: str, file: RemoteFile) -> bool:
        return path in self.verified or file.is_at(self.to / path)

    def _download(self, path: str, file: RemoteFile, on_bytes: Callable[[int], object]) -> None:
        """Download a file, verify it, and move it to its path."""
        # Named by its content, so that what an earlier pull left can only be the beginning of this file.
        name = hashlib.sha256(f"{path}\0{file.sha256 or file.blob_id}".encode()).hexdigest()
        part = self.staging / f"{name}.part"
        hub_download.download_resumable(self.repo, self.sha, path, file.size, part, on_bytes)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        if not file.is_at(part):
            part.unlink()
            raise ModelError(
                f"{self.repo}: {path} is damaged: it does not match the digest in the Hub's listing. It was removed. "
                "Run "
                "the same command again."
            )
        (self.to / path).parent.mkdir(parents=True, exist_ok=True)
        part.replace(self.to / path)
        self.downloaded.append(path)


def _newer(repo: str, sha: str) -> list[str]:
    """Return a note if the repository has a newer commit; [] if the Hub cannot be asked."""
    try:
        newest = hub_read.resolve(repo, None, "model", fresh=True)
    except ModelError:
        return []
    if newest == sha:
        return []
    return [f"{repo} has a newer commit, {newest[:12]}. Pull {repo}@{newest} into another folder to get it."]
