"""The output folder of a training run: lock, resume, finish."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from xharness import files
from xharness.checkpoints import training_record
from xharness.checkpoints.files import check_complete
from xharness.checkpoints.training_record import RUNNING, Record
from xharness.errors import ModelError, OutputError, UsageError
from xharness.training import report
from xharness.training.plan import comparable, differences

if sys.platform != "win32":
    import fcntl


class TrainingFolder:
    """Where a run writes: the checkpoint at its root, and below ``.run/`` what is there only while it runs.

    Args:
        output: the folder.
        request: what the run is to be.
        writes: whether this process is the one of several that writes.
    """

    def __init__(self, output: Path, request: Mapping[str, Any], writes: bool) -> None:
        self.output, self.request, self.writes = output, dict(request), writes
        self.run = output / RUNNING
        self._held: IO[str] | None = None

    def finished(self) -> Record | None:
        """Return the record of a run with the same request that has come to its end, None if there is none.

        Raises:
            UsageError: the run there was another (names the difference).
        """
        record = training_record.load(self.output)
        if record is not None:
            self._check(record.request)
            if self.writes:
                self._check_weights(record)
                shutil.rmtree(self.run, ignore_errors=True)  # of a call that was killed at its very end
        return record

    def reopen(self, record: Record) -> None:
        """Make a finished run that failed one that goes on with its next seed."""
        if not self.writes:
            return
        files.write_json(self.run / "request.json", self.request)
        files.write_json(self.run / "attempts.json", [*record.attempts, failure(record)])
        (self.output / training_record.FILE).unlink()
        for path in list(self.output.iterdir()):
            if path != self.run:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def claim(self) -> None:
        """Take the folder for this run, which may have begun in it before.

        Raises:
            UsageError: it holds another run, or something else, or another process trains in it now.
            OutputError: it cannot be written.
        """
        path = self.run / "request.json"
        if path.is_file():
            self._check(self._read(path))
        if not self.writes:
            return
        others = self.output.is_dir() and any(each != self.run for each in self.output.iterdir())
        if not path.is_file() and (others or (self.output.exists() and not self.output.is_dir())):
            raise UsageError(f"{self.output} is there and holds no run of `xharness train`. Choose another --output.")
        self._lock()

    def release(self) -> None:
        """Let other processes in."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def begin(self) -> None:
        """Write down whose run this folder holds, once it is known that it can run."""
        if self.writes and not (self.run / "request.json").is_file():
            files.write_json(self.run / "request.json", self.request)

    def _lock(self) -> None:
        """Keep other processes out until this one ends; a lock goes with its process, also after a kill."""
        if sys.platform == "win32":  # it has no such locks
            return
        try:
            self.run.mkdir(parents=True, exist_ok=True)
            self._held = (self.run / "lock").open("w")
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"Another process trains in {self.output} now. Wait for it, or choose another --output."
            ) from None
        except OSError as error:
            raise OutputError(f"{self.output}: cannot be written: {error.strerror or error}.") from None

    def attempts(self) -> list[dict[str, Any]]:
        """Return the seeds that failed so far."""
        path = self.run / "attempts.json"
        return list(self._read(path)) if path.is_file() else []

    def put_away(self, attempts: list[dict[str, Any]]) -> None:
        """Write down the seeds that failed, and remove what the last of them left."""
        if self.writes:
            # In this order: a kill in between has the failed seed run once more, and not the next one from its weights.
            for name in ("state", ".old", "steps"):
                shutil.rmtree(self.run / name, ignore_errors=True)
            files.write_json(self.run / "attempts.json", attempts)

    def check_room(self, weights: int, kept: int) -> None:
        """Raise OutputError where the disk has no room for a run.

        Args:
            weights: bytes of all weights.
            kept: checkpoints that are kept beside the state.
        """
        if not self.writes:
            return
        # The state with both moments twice (the new one is written before the old one goes), and what is kept.
        needed = 2 * 3 * weights + (kept + 1) * weights
        self.run.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.run).free
        there = sum(path.stat().st_size for path in self.run.rglob("*") if path.is_file())
        if needed > free + there:
            raise OutputError(
                f"{self.output}: the run needs up to {needed / 2**20:,.1f} MiB for its states and checkpoints, and "
                f"{free / 2**20:,.1f} MiB are free. Make room or choose another --output."
            )

    def finish(self, record: Record) -> None:
        """Put the checkpoints in their places; training.json, written last, says that all is whole."""
        if not self.writes:
            return
        selections = {}
        root = next(iter(record.selections.values()))["step"] if record.selections else None
        for name, selection in record.selections.items():
            at = selection["step"]
            selections[name] = {**selection, "folder": "." if at == root else f"steps/{at}"}
        if root is not None and not (self.run / "steps" / str(root) / "model.safetensors").is_file():
            raise OutputError(
                f"{self.run}: the checkpoint of step {root}, which was chosen, is not there any more. Remove "
                f"{self.output} and train anew."
            )
        shutil.rmtree(self.output / "steps", ignore_errors=True)  # of a call that was killed here
        try:
            for folder in sorted({s["folder"] for s in selections.values()}):
                source = self.run / (f"steps/{root}" if folder == "." else folder)
                for path in sorted(source.rglob("*")):
                    if path.is_file():
                        _link(path, self.output / folder / path.relative_to(source))
        except OSError as error:
            raise OutputError(f"{self.output}: cannot be written: {error.strerror or error}.") from None
        weights = [path for path in self.output.rglob("*.safetensors") if self.run not in path.parents]
        for path in weights:
            check_complete(path)
        sums = {path.relative_to(self.output).as_posix(): files.sha256(path) for path in sorted(weights)}
        record = replace(record, selections=selections, weights=sums)
        if report.draw(record, self.output) is None:
            record.notes.append("no picture of the curves: matplotlib is not installed (pip install 'xharness[train]')")
        training_record.save(record, self.output)
        shutil.rmtree(self.run, ignore_errors=True)

    def _check_weights(self, record: Record) -> None:
        try:
            training_record.check_weights(record, self.output)
        except ModelError as error:
            raise ModelError(f"{error} Remove {self.output}, and the same command trains anew.") from None

    def _check(self, then: Mapping[str, Any]) -> None:
        try:
            found = list(differences(comparable(then), comparable(self.request)))
        except (KeyError, TypeError, AttributeError, ValueError):
            raise UsageError(
                f"{self.run / 'request.json'}: it is damaged. Remove {self.output} and train anew."
            ) from None
        if found:
            more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
            raise UsageError(
                f"{self.output} holds a run of other settings: {'; '.join(found[:3])}{more}. Choose another --output, "
                "give the settings of that run, or remove the folder."
            )

    def _read(self, path: Path) -> Any:
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: cannot be read ({error}). Remove {self.output} and train anew.") from None


def failure(record: Record) -> dict[str, Any]:
    """Return what is kept of a seed that failed."""
    return {
        "seed": record.seed,
        "learning_rate": min(task["settings"]["learning_rate"] for task in record.request["tasks"].values()),
        "status": record.status,
        "reason": record.reason,
        "evaluations": record.evaluations,
    }


def _link(path: Path, place: Path) -> None:
    """Have a file in a second place, without its bytes twice where the disk can do that; the first one stays.

    What a run needs to come to its end again is so all there until training.json is written.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{place.name}.part")
    part.unlink(missing_ok=True)
    try:
        os.link(path, part)
    except OSError:
        shutil.copy2(path, part)
    os.replace(part, place)
