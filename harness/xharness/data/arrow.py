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

CHUNK_ROWS = 20_000


def content_key(folder: Path, config: str, split: str, paths: Sequence[Path]) -> str:
    """Return a cache key for a split that changes with the content of its files.

    The datasets library keys its cache by the paths and times of the files, not by their content, so new files could
    load an outdated copy.
    """
    digest = hashlib.sha256(f"{config}/{split}".encode())
    for path in sorted({folder / "README.md", *paths}):
        if path.is_file():
            digest.update(f"{path.relative_to(folder)} {files.sha256(path)}".encode())
    return digest.hexdigest()[:16]


def read_folder(folder: Path, config: str, split: str, paths: Sequence[Path], cache: str) -> Any:
    """Return the table stored in some files of a folder; files of the README's other configs may be missing."""
    import datasets

    metadata = hub_layout.read_metadata(folder)
    formats = sorted({hub_layout.data_format(path) or path.suffix for path in paths})
    if len(formats) > 1:
        raise ValueError(f"the split has files of several formats ({', '.join(formats)}).")
    if hub_layout.data_format(paths[0]) is None:
        return datasets.load_dataset(str(folder), config, split=split, cache_dir=cache)
    builder = "csv" if formats[0] == "tsv" else formats[0]
    module = importlib.import_module(f"datasets.packaged_modules.{builder}.{builder}")
    # The other settings of a config in a README are options of its reader, such as the separator of a csv file.
    reader_config = getattr(module, f"{builder.title()}Config")()
    not_options = ("config_name", "name", "version", "description", "data_files", "data_dir", "default", "features")
    settings = hub_layout.config_settings(metadata, config)
    options = {k: v for k, v in settings.items() if k not in not_options and hasattr(reader_config, k)}
    if formats[0] == "tsv" and not options.keys() & {"sep", "delimiter"}:
        options["delimiter"] = "\t"
    if hub_layout.gives_types(metadata, config):
        options["features"] = datasets.info.DatasetInfosDict.from_directory(str(folder))[config].features
    files_of = {split: [glob.escape(str(path.absolute())) for path in paths]}
    return datasets.load_dataset(builder, data_files=files_of, split=split, cache_dir=cache, **options)


def from_rows(rows: Iterable[dict[str, Any]]) -> Any:
    """Return rows as a table, built in chunks so that a million rows are never held as a list of dicts."""
    import datasets

    chunks: list[Any] = []
    rows_of_chunk: list[dict[str, Any]] = []
    for row in rows:
        rows_of_chunk.append(row)
        if len(rows_of_chunk) == CHUNK_ROWS:
            chunks.append(datasets.Dataset.from_list(rows_of_chunk))
            rows_of_chunk = []
    if rows_of_chunk or not chunks:
        chunks.append(datasets.Dataset.from_list(rows_of_chunk))
    return chunks[0] if len(chunks) == 1 else datasets.concatenate_datasets(chunks)


def causes_of(error: BaseException) -> list[BaseException]:
    """Return an error and its chain of causes, the innermost last."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    return causes


def is_disk_error(error: BaseException) -> bool:
    """Return whether an error means that the disk is full or cannot be written."""
    full = (errno.ENOSPC, errno.EROFS, errno.EDQUOT)
    return isinstance(error, OSError) and (error.errno in full or "Not enough disk space" in str(error))


def reason(causes: Sequence[BaseException]) -> str:
    """Return in one line why data could not be read: the columns that differ, or the message of the error."""
    for cause in causes:
        actual, expected = getattr(cause, "table_column_names", None), getattr(cause, "requested_column_names", None)
        if actual is not None and expected is not None and set(actual) != set(expected):
            columns = ", ".join(f"'{name}'" for name in sorted(set(actual) ^ set(expected)))
            return f"the columns are not those of the split's first file or of the README; they differ in {columns}."
    # The outer error of the datasets library only says that an error occurred.
    error = causes[0]
    if causes[0].__cause__ is not None and type(causes[0]).__name__ == "DatasetGenerationError":
        error = causes[0].__cause__
    line = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    return line if line.endswith((".", "!", "?")) else f"{line}."


def named_files(paths: Sequence[Path], data_dir: Path, causes: Sequence[BaseException]) -> str:
    """Return the files that the errors mention, else the first files of a split."""
    mentioned = [path for path in paths if any(path.name in str(cause) for cause in causes)] or paths
    names = ", ".join(str(path.relative_to(data_dir)) for path in mentioned[:3])
    return f"{data_dir}: {names}" + (f" and {len(mentioned) - 3} more" if len(mentioned) > 3 else "")
