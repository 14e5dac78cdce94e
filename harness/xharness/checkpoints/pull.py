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
from xharness.checkpoints.pull_folder import BEGUN, DONE, STAGING, alone, begun, check_paths, writing
from xharness.errors import ModelError, OutputError, UsageError
from xharness.hub import download as hub_download
from xharness.hub import read as hub_read
from xharness.hub.read import RemoteFile
from xharness.progress import bar
from xharness.text import strip_controls

# Beside config, tokenizer and weights.
_MORE = re.compile(
    rf"heads/[^/]+\.safetensors|README\.md|{re.escape(training_record.FILE)}|{re.escape(training_record.CURVE)}"
    r"|\.eval_results/[^/]+\.yaml|results/.+\.json"
)
# A tokenizer's vocab.* may be anything; no pickle and no code comes, whatever it is called.
_ENDINGS = (".json", ".txt", ".model", ".spm", ".bpe", ".codes", ".safetensors", ".md", ".yaml", ".png")
_WEIGHTS = ".safetensors"
_LEFT = (".py", ".bin", ".pt", ".pth", ".pkl", ".ckpt")
_AT_ONCE = 8


@dataclass(frozen=True)
class Pulled:
    """What came of a pull.

    Attributes:
        repo: ``org/name``.
        sha: the commit.
        folder: where it lies.
        files: path -> what the Hub says of the file.
        downloaded: the files that were not there before.
        notes: sentences that the user should read.
    """

    repo: str
    sha: str
    folder: Path
    files: Mapping[str, RemoteFile]
    downloaded: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files.values())

    def to_json(self) -> dict[str, Any]:
        """Return it for machines."""
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
    """Bring a checkpoint from the Hub into a folder, at one commit, and return what came of it.

    Config, tokenizer, safetensors weights and heads, xharness.json, training.json, the card and the results come. A
    file that is there and right is not downloaded again, and a download that broke off goes on where it stopped. Every
    file is compared with the digest that the Hub's listing has, and weights with training.json's, too.

    Args:
        name: a name of the zoo, ``org/name`` or ``org/name@revision``. Without a revision it is the pinned commit of
            the zoo, that of the folder if it holds this repository already, or else the newest.
        to: the folder.
        progress: show a bar of bytes where stderr is a terminal.

    Raises:
        UsageError: the name is none of the zoo, is a local folder, or the folder is in use or holds something else.
        ModelError: the repository cannot be read, is no checkpoint with safetensors weights, has paths that lead out of
            the folder, or a file is not what its digest says.
        OutputError: the disk is full or the folder cannot be written.
    """
    repo, revision = _named(name)
    with writing(to), alone(to):
        before = begun(to, repo)
        sha = before if before and revision is None else hub_read.resolve(repo, revision, "model", fresh=True)
        if before and before != sha:
            raise UsageError(
                f"{to}: holds {repo} at {before[:12]}, and {sha[:12]} is asked for. Give another folder; or, to go on "
                f"with what is there, {repo}@{before}."
            )
        listed = hub_read.list_files(repo, sha, "model")
        pulled = _Pull(repo, sha, to, listed, progress).run(new=before is None)
    return replace(pulled, notes=(*pulled.notes, *(_moved(repo, sha) if before and revision is None else ())))


def select(listed: Collection[str]) -> list[str]:
    """Return the files of a repository that a pull brings, without the shards that an index of weights names."""
    parts = checkpoints_files.find_parts(path for path in listed if "/" not in path)
    selected = {*parts, *(path for path in listed if _MORE.fullmatch(path))}
    return sorted(path for path in selected if path.endswith(_ENDINGS))


def _named(name: str) -> tuple[str, str | None]:
    if Path(name).expanduser().is_dir():
        raise UsageError(f"{name}: is a folder on this machine; there is nothing to pull.")
    return zoo.locate(name)


class _Pull:
    """The work on one folder: what is known of its files, and what was done."""

    def __init__(self, repo: str, sha: str, to: Path, listed: Mapping[str, RemoteFile], progress: bool) -> None:
        self.repo, self.sha, self.to, self.listed, self.progress = repo, sha, to, listed, progress
        self.staging = to / STAGING
        self.downloaded: list[str] = []
        self.right: set[str] = set()

    def run(self, *, new: bool) -> Pulled:
        """Bring all files and return what came of it; ``new``: the folder does not yet belong to this repository."""
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
        self._bring_small(small)
        # Only now the index can be read, and training.json, which says what the weights must be.
        weights = sorted({*weights, *checkpoints_files.find_shards(self.repo, names, lambda index: self.to / index)})
        check_paths(self.repo, self.to, weights)
        wanted = {path: self.listed[path] for path in [*small, *weights]} | self._recorded(weights)
        self._bring_weights({path: wanted[path] for path in weights})
        done = {path: asdict(wanted[path]) for path in sorted(wanted)}
        if self.downloaded or not (self.to / DONE).is_file():
            files.write_json(self.to / DONE, {"repo": self.repo, "sha": self.sha, "files": done})
        shutil.rmtree(self.staging)
        return Pulled(self.repo, self.sha, self.to, wanted, tuple(self.downloaded), self._notes(names))

    def _check_folder(self, wanted: Collection[str]) -> None:
        """Raise UsageError if the folder holds another checkpoint, or parts of one."""
        there = sorted(p.name for p in self.to.iterdir() if p.is_file())
        there += checkpoints_files.find_heads(self.to)
        parts = {p for p in there if p in wanted or p.endswith(_WEIGHTS)} | set(checkpoints_files.find_parts(there))
        for path in sorted(parts):
            if path in self.listed and self.listed[path].is_at(self.to / path):
                self.right.add(path)
        others = sorted(parts - self.right)
        if others:
            raise UsageError(
                f"{self.to}: holds files that are not those of {self.repo} at {self.sha[:12]}: "
                f"{', '.join(others[:4])}{' ...' if len(others) > 4 else ''}. Give another folder, or remove them."
            )

    def _bring_small(self, paths: Collection[str]) -> None:
        missing = [path for path in paths if not self._is_there(path, self.listed[path])]
        self._check_room([self.listed[path] for path in missing])
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda path: self._bring(path, self.listed[path], lambda _: None), missing))

    def _bring_weights(self, weights: Mapping[str, RemoteFile]) -> None:
        missing = {path: file for path, file in weights.items() if not self._is_there(path, file)}
        self._check_room(missing.values())
        with bar(self.repo, sum(file.size for file in missing.values()), self.progress, "B") as shown:
            for path, file in missing.items():
                self._bring(path, file, shown.update)

    def _recorded(self, weights: Collection[str]) -> dict[str, RemoteFile]:
        """Return the weights that training.json names, with its digests; raise ModelError where the Hub has others."""
        record = training_record.load(self.to) if {heads.FILE, training_record.FILE} <= set(self.listed) else None
        if record is not None and not isinstance(record.weights, dict):
            raise ModelError(f"{self.repo}: its {training_record.FILE} has no digests of weights. Tell its owner.")
        recorded, wrong = {}, []
        for path, digest in record.weights.items() if record is not None else ():
            if path.count("/") > path.startswith("heads/"):
                continue  # states of other steps, which are not published
            file = self.listed.get(path)
            if file is None or path not in weights or file.sha256 not in (None, digest):
                wrong.append(path)
            else:
                recorded[path] = replace(file, sha256=digest)
        if wrong:
            raise ModelError(
                f"{self.repo}: at {self.sha[:12]} its weights are not those that its training.json was written for: "
                f"{', '.join(sorted(wrong)[:4])}. Tell its owner; another commit may be whole ({self.repo}@REVISION)."
            )
        return recorded

    def _check_room(self, missing: Iterable[RemoteFile]) -> None:
        come = sum(path.stat().st_size for path in self.staging.glob("*.part"))
        needed = sum(file.size for file in missing) - come
        free = shutil.disk_usage(self.to).free
        if needed > free:
            raise OutputError(
                f"{self.to}: {needed / 1e6:,.0f} MB are still to come, and {free / 1e6:,.0f} MB are free. Make room or "
                "choose another folder."
            )

    def _notes(self, names: Collection[str]) -> tuple[str, ...]:
        left = sorted(name for name in names if name.endswith(_LEFT))
        if not left:
            return ()
        named = f"{', '.join(left[:4])}{' ...' if len(left) > 4 else ''}"
        return (strip_controls(f"Python code and pickles stay on the Hub: {named}."),)

    def _is_there(self, path: str, file: RemoteFile) -> bool:
        return path in self.right or file.is_at(self.to / path)

    def _bring(self, path: str, file: RemoteFile, tell: Callable[[int], object]) -> None:
        """Download a file, prove it, and put it in its place."""
        # Named by its content: what an earlier pull left can only be the beginning of this very file.
        name = hashlib.sha256(f"{path}\0{file.sha256 or file.blob_id}".encode()).hexdigest()
        part = self.staging / f"{name}.part"
        hub_download.receive(self.repo, self.sha, path, file.size, part, tell)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        if not file.is_at(part):
            part.unlink()
            raise ModelError(
                f"{self.repo}: {path} came damaged: it is not what the Hub's listing says. It is removed; run the same "
                "command again."
            )
        (self.to / path).parent.mkdir(parents=True, exist_ok=True)
        part.replace(self.to / path)
        self.downloaded.append(path)


def _moved(repo: str, sha: str) -> list[str]:
    """Return a note where the repository stands at another commit by now; [] where the Hub cannot tell."""
    try:
        newest = hub_read.resolve(repo, None, "model", fresh=True)
    except ModelError:
        return []
    if newest == sha:
        return []
    return [f"{repo} stands at {newest[:12]} by now. {repo}@{newest} can be pulled into another folder."]
