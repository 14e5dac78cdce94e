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
from xharness.training.request import comparable, differences
from xharness.training.resume import remove_checkpoint

if sys.platform != "win32":
    import fcntl


class TrainingFolder:
    """The folder that a run writes: the checkpoint at its root, and below ``.run/`` the files of a running training.

    Args:
        output: the folder.
        request: of the run (see ``training.request``).
        writes: whether this process of possibly several writes.
    """

    def __init__(self, output: Path, request: Mapping[str, Any], writes: bool) -> None:
        self.output, self.request, self.writes = output, dict(request), writes
        self.run = output / RUNNING
        self._lock_file: IO[str] | None = None

    def finished(self) -> Record | None:
        """Return the record of a finished run with the same request; None if there is none.

        Raises:
            UsageError: the folder holds a run with another request (the message names the difference).
            ModelError: its weights are not as they were written.
        """
        record = training_record.load(self.output)
        if record is not None:
            self._check(record.request)
            if self.writes:
                self._check_weights(record)
                shutil.rmtree(self.run, ignore_errors=True)  # left by a call that was killed at its very end
        return record

    def reopen(self, record: Record) -> None:
        """Turn a finished run that failed into one that continues with the next seed."""
        if not self.writes:
            return
        files.write_json(self.run / "request.json", self.request)
        files.write_json(self.run / "attempts.json", [*record.attempts, failure(record)])
        (self.output / training_record.FILE).unlink()
        for path in list(self.output.iterdir()):
            if path != self.run:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def claim(self) -> None:
        """Lock the folder for this run, which may have started in it before.

        Raises:
            UsageError: it holds another run or something else, or another process is training in it.
            OutputError: it cannot be written.
        """
        path = self.run / "request.json"
        if path.is_file():
            self._check(self._read(path))
        if not self.writes:
            return
        others = self.output.is_dir() and any(child != self.run for child in self.output.iterdir())
        if not path.is_file() and (others or (self.output.exists() and not self.output.is_dir())):
            raise UsageError(f"{self.output} exists and holds no run of `xharness train`. Choose another --output.")
        self._lock()

    def release(self) -> None:
        """Release the lock."""
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    def begin(self) -> None:
        """Write the request, once the run is known to be possible."""
        if self.writes and not (self.run / "request.json").is_file():
            files.write_json(self.run / "request.json", self.request)

    def _lock(self) -> None:
        """Lock the folder until this process ends; the lock is released even after a kill."""
        if sys.platform == "win32":  # has no flock
            return
        try:
            self.run.mkdir(parents=True, exist_ok=True)
            self._lock_file = (self.run / "lock").open("w")
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"Another process trains in {self.output}. Wait for it to finish, or choose another --output."
            ) from None
        except OSError as error:
            raise OutputError(f"{self.output}: cannot be written: {error.strerror or error}.") from None

    def attempts(self) -> list[dict[str, Any]]:
        """Return the failed seeds so far."""
        path = self.run / "attempts.json"
        return list(self._read(path)) if path.is_file() else []

    def discard(self, attempts: list[dict[str, Any]]) -> None:
        """Remove the checkpoints of a failed seed, then write the list of failed seeds."""
        if self.writes:
            # In this order: after a kill in between the failed seed runs again; in the other order the next seed would
            # resume from its weights.
            remove_checkpoint(self.run)
            shutil.rmtree(self.run / "steps", ignore_errors=True)
            files.write_json(self.run / "attempts.json", attempts)

    def check_space(self, weights: int, kept: int) -> None:
        """Check that the disk has enough space for a run.

        Args:
            weights: bytes of all weights.
            kept: number of checkpoints that are kept, without the one to resume from.

        Raises:
            OutputError: it has not.
        """
        if not self.writes:
            return
        # Twice the checkpoint to resume from, with both moments of Adam (the new one is written before the old one is
        # removed), and the kept checkpoints.
        needed = 2 * 3 * weights + (kept + 1) * weights
        self.run.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.run).free
        used = sum(path.stat().st_size for path in self.run.rglob("*") if path.is_file())
        if needed > free + used:
            raise OutputError(
                f"{self.output}: the run needs up to {needed / 2**20:,.1f} MiB for its checkpoints, and "
                f"{free / 2**20:,.1f} MiB are free. Make room or choose another --output."
            )

    def finish(self, record: Record) -> None:
        """Move the selected checkpoints to their final folders; training.json, written last, marks the run finished."""
        if not self.writes:
            return
        selections = {}
        root = next(iter(record.selections.values()))["step"] if record.selections else None
        for name, selection in record.selections.items():
            step = selection["step"]
            selections[name] = {**selection, "folder": "." if step == root else f"steps/{step}"}
        if root is not None and not (self.run / "steps" / str(root) / "model.safetensors").is_file():
            raise OutputError(
                f"{self.run}: the selected checkpoint (step {root}) is missing. Remove {self.output} and train again."
            )
        shutil.rmtree(self.output / "steps", ignore_errors=True)  # left by a call that was killed here
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
            record.notes.append("no plot of the curves: matplotlib is not installed (pip install 'xharness[train]')")
        training_record.save(record, self.output)
        shutil.rmtree(self.run, ignore_errors=True)

    def _check_weights(self, record: Record) -> None:
        try:
            training_record.check_weights(record, self.output)
        except ModelError as error:
            raise ModelError(f"{error} Remove {self.output}, and the same command trains again.") from None

    def _check(self, then: Mapping[str, Any]) -> None:
        try:
            differing = list(differences(comparable(then), comparable(self.request)))
        except (KeyError, TypeError, AttributeError, ValueError):
            raise UsageError(f"{self.run / 'request.json'} is damaged. Remove {self.output} and train again.") from None
        if differing:
            more = f" (and {len(differing) - 3} more)" if len(differing) > 3 else ""
            raise UsageError(
                f"{self.output} holds a run with other settings: {'; '.join(differing[:3])}{more}. Choose another "
                "--output, give the settings of that run, or remove the folder."
            )

    def _read(self, path: Path) -> Any:
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: cannot be read ({error}). Remove {self.output} and train again.") from None


def failure(record: Record) -> dict[str, Any]:
    """Return what a training record stores of a failed seed."""
    return {
        "seed": record.seed,
        "learning_rate": min(task["settings"]["learning_rate"] for task in record.request["tasks"].values()),
        "status": record.status,
        "reason": record.reason,
        "evaluations": record.evaluations,
    }


def _link(path: Path, target: Path) -> None:
    """Hard-link a file to a second path, or copy it where the disk cannot; the first one stays.

    Until training.json is written, the run can so be finished again from ``.run/``.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        os.link(path, part)
    except OSError:
        shutil.copy2(path, part)
    os.replace(part, target)
