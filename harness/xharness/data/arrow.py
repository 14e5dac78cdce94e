"""Read tables with the datasets library, with errors explained."""

from __future__ import annotations

import errno
import glob
import hashlib
import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from xharness import files
from xharness.data import hub_layout

PIECE = 20_000


def content_key(folder: Path, config: str, split: str, paths: Sequence[Path]) -> str:
    """Return a name for the cached copy of a split that changes with the folder's content.

    The datasets library names its copy by the paths and times of the files, and not by what they hold: new files
    could read an old copy.
    """
    digest = hashlib.sha256(f"{config}/{split}".encode())
    for path in sorted({folder / "README.md", *paths}):
        if path.is_file():
            digest.update(f"{path.relative_to(folder)} {files.sha256(path)}".encode())
    return digest.hexdigest()[:16]


def read_folder(folder: Path, config: str, split: str, paths: Sequence[Path], cache: str) -> Any:
    """Return the table that some files of a folder hold; the README's other configs need not be there."""
    import datasets

    head = hub_layout.read_head(folder)
    formats = sorted({hub_layout.data_format(path) or path.suffix for path in paths})
    if len(formats) > 1:
        raise ValueError(f"the split has files of several formats ({', '.join(formats)}).")
    if hub_layout.data_format(paths[0]) is None:
        return datasets.load_dataset(str(folder), config, split=split, cache_dir=cache)
    builder = "csv" if formats[0] == "tsv" else formats[0]
    module = importlib.import_module(f"datasets.packaged_modules.{builder}.{builder}")
    # What else a README says on a config are settings of its reader, such as a csv file's separator.
    known = getattr(module, f"{builder.title()}Config")()
    own = ("config_name", "name", "version", "description", "data_files", "data_dir", "default", "features")
    settings = hub_layout.config_settings(head, config)
    options = {k: v for k, v in settings.items() if k not in own and hasattr(known, k)}
    if formats[0] == "tsv" and not options.keys() & {"sep", "delimiter"}:
        options["delimiter"] = "\t"
    if hub_layout.gives_types(head, config):
        options["features"] = datasets.info.DatasetInfosDict.from_directory(str(folder))[config].features
    files_of = {split: [glob.escape(str(path.absolute())) for path in paths]}
    return datasets.load_dataset(builder, data_files=files_of, split=split, cache_dir=cache, **options)


def from_rows(rows: Iterable[dict[str, Any]]) -> Any:
    """Return plain rows as a table; they are taken in pieces, so that a million of them need no lists of dicts."""
    import datasets

    pieces: list[Any] = []
    waiting: list[dict[str, Any]] = []
    for row in rows:
        waiting.append(row)
        if len(waiting) == PIECE:
            pieces.append(datasets.Dataset.from_list(waiting))
            waiting = []
    if waiting or not pieces:
        pieces.append(datasets.Dataset.from_list(waiting))
    return pieces[0] if len(pieces) == 1 else datasets.concatenate_datasets(pieces)


def causes_of(error: BaseException) -> list[BaseException]:
    """Return an error and what lies behind it, the innermost last."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    return causes


def is_disk(error: BaseException) -> bool:
    """Whether an error says that the disk is full or cannot be written."""
    full = (errno.ENOSPC, errno.EROFS, errno.EDQUOT)
    return isinstance(error, OSError) and (error.errno in full or "Not enough disk space" in str(error))


def reason(causes: Sequence[BaseException]) -> str:
    """Return in a line why data could not be read: the columns that differ, else what the inmost error says."""
    for cause in causes:
        there, asked = getattr(cause, "table_column_names", None), getattr(cause, "requested_column_names", None)
        if there is not None and asked is not None and set(there) != set(asked):
            columns = ", ".join(f"'{name}'" for name in sorted(set(there) ^ set(asked)))
            return f"the columns are not those of the split's first file or of the README; they differ in {columns}."
    # The outer error of the datasets library says only that one occurred.
    error = causes[0]
    if causes[0].__cause__ is not None and type(causes[0]).__name__ == "DatasetGenerationError":
        error = causes[0].__cause__
    first = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    return first if first.endswith((".", "!", "?")) else f"{first}."


def named_files(paths: Sequence[Path], data_dir: Path, causes: Sequence[BaseException]) -> str:
    """Return the file that errors speak of, else the first ones of a split."""
    spoken = [path for path in paths if any(path.name in str(cause) for cause in causes)] or paths
    names = ", ".join(str(path.relative_to(data_dir)) for path in spoken[:3])
    return f"{data_dir}: {names}" + (f" and {len(spoken) - 3} more" if len(spoken) > 3 else "")
