"""Download originally published files into `raw/` of a data folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, cast

from xharness.data import formats
from xharness.data.fetch import archives
from xharness.data.fetch.download import PublishedFile, local_copy, verify
from xharness.data.fetch.requirements import RawNeed
from xharness.data.fetch.row_counts import DIFFERS
from xharness.data.manifest import COMPLETE, UNKNOWN, Row, read_manifest, write_manifest
from xharness.errors import DataError, OutputError, UsageError, unknown


def resolve_files(needs: Sequence[RawNeed], given: Sequence[str]) -> dict[str, PublishedFile]:
    """Return address -> the file to use: the download of the spec, or the user's file instead.

    Args:
        needs: the raw files to fetch.
        given: ``PATH_OR_URL[#sha256=HEX|#md5=HEX]``. A file replaces the download with the same name. Without its own
            checksum it must have that of the spec.

    Raises:
        UsageError: no download, or more than one, has the name of a file.
    """
    files = {
        need.download.url: PublishedFile(need.download.url, need.download.sha256, need.download.md5) for need in needs
    }
    chosen = dict(files)
    for text in given:
        file = PublishedFile.of(text)
        same = [url for url, own in files.items() if own.name == file.name]
        if not files:
            raise UsageError(
                f"--from {text}: all of the requested data comes from the Hub, so no file can be replaced."
            )
        if not same:
            raise unknown("file to download", file.name, [own.name for own in files.values()])
        if len(same) > 1:
            raise UsageError(
                f"--from {text}: several downloads are called '{file.name}': {', '.join(same)}. Ask for fewer targets, "
                "languages or splits at a time."
            )
        own = files[same[0]]
        chosen[same[0]] = file if file.checksum else PublishedFile(file.location, own.sha256, own.md5)
    return chosen


def fetch_raw(
    needs: Sequence[RawNeed], chosen: Mapping[str, PublishedFile], to: Path, progress: bool, problems: list[str]
) -> list[Row]:
    """Fetch raw files into a folder and return their lines of MANIFEST.tsv.

    Each archive is downloaded once, to ``to/raw/.downloads``, which may be removed afterwards.

    Args:
        needs: the raw files to fetch.
        chosen: from `resolve_files`.
        to: the data folder.
        progress: show progress bars.
        problems: receives a message for everything that cannot be fetched.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    by_file: dict[PublishedFile, list[RawNeed]] = {}
    for need in needs:
        by_file.setdefault(chosen[need.download.url], []).append(need)
    rows: list[Row] = []
    for file, of_file in by_file.items():
        try:
            new = _fetch_file(file, of_file, to, progress, problems)
        except DataError as error:
            problems.append(f"{', '.join(sorted({need.use.spec.name for need in of_file}))}: {error}")
            continue
        write_manifest(to, new)
        rows += new
    return rows


def _fetch_file(
    file: PublishedFile, needs: Sequence[RawNeed], to: Path, progress: bool, problems: list[str]
) -> list[Row]:
    """Extract the needed files from one published file."""
    root = to / "raw"
    sha = file.sha256 if file.is_remote else verify(file, local_copy(file, root, progress))
    recorded = {(row["hub_id"], row["config"], row["split"]): row for row in read_manifest(to)}
    rows = {need.key: row for need in needs if (row := _existing_row(need, file, sha, recorded, root))}
    pending = [need for need in needs if need.key not in rows]
    missing = []
    if pending:
        path = local_copy(file, root / ".downloads", progress)
        sha = verify(file, path)
        # Into a temporary folder: existing files stay unchanged until the new ones have been read.
        with _temporary_folder(root) as new:
            _extract(file, path, pending, new, progress)
            valid = []
            for need in pending:
                paths = formats.find(new, need.pattern, need.format)
                if not paths:
                    missing.append(need)
                    continue
                try:
                    rows[need.key] = _row(need, file, _source(file, need, str(sha)), _count(need, paths))
                    valid.append(need)
                except DataError as error:
                    problems.append(f"{need.use.spec.name}: {str(error).replace(f'{new}/', '')}")
            _move(valid, new, root)
    if missing:
        descriptions = ", ".join(f"'{need.config}' {need.split} ({need.pattern})" for need in missing)
        names = ", ".join(sorted({need.use.spec.name for need in missing}))
        problems.append(f"{names}: {file.name} does not have all files for {descriptions}.")
    return [rows[key] for key in dict.fromkeys(need.key for need in needs) if key in rows]


@contextmanager
def _temporary_folder(root: Path) -> Iterator[Path]:
    """Yield a temporary folder on the same disk; its name hides it from readers."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = TemporaryDirectory(dir=root, prefix=".new-")
    except OSError as error:
        raise OutputError(f"{root}: cannot be written: {error.strerror or error}. Choose another folder.") from None
    with folder as name:
        yield Path(name)


def _move(needs: Sequence[RawNeed], new: Path, root: Path) -> None:
    """Move the files that were read without errors to their final paths."""
    wanted = {pattern: None for need in needs for pattern in formats.patterns(need.pattern, need.format)}
    for path in sorted(path for path in new.rglob("*") if path.is_file()):
        relative = path.relative_to(new)
        if not any(archives.Wanted(pattern).tail(relative.as_posix()) == relative.as_posix() for pattern in wanted):
            continue
        try:
            (root / relative).parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, root / relative)
        except OSError as error:
            raise OutputError(f"{root / relative}: cannot be written: {error.strerror or error}.") from None


def _extract(file: PublishedFile, path: Path, needs: Sequence[RawNeed], root: Path, progress: bool) -> None:
    from tqdm import tqdm

    wanted = {pattern: None for need in needs for pattern in formats.patterns(need.pattern, need.format)}
    size = path.stat().st_size
    try:
        with (
            path.open("rb") as archive,
            tqdm.wrapattr(
                archive, "read", total=size, desc=f"{file.name}: extracting", disable=not progress
            ) as tracked,
        ):
            archives.extract(cast(BinaryIO, tracked), file.name, map(archives.Wanted, wanted), root)
    except DataError:
        if file.is_remote:
            path.unlink(missing_ok=True)  # otherwise the next run would find the same corrupt file
        raise


def _count(need: RawNeed, paths: Sequence[Path]) -> tuple[int, int]:
    """Return the number of rows in files, and the number of examples as the task counts them."""
    spec, language = need.use.spec, need.use.language
    precedence = spec.tag_precedence.get(language, spec.tag_precedence.get("default", []))
    rows = examples = 0
    for row in formats.READERS[need.format](paths, formats.ReadOptions(language, tuple(precedence))):
        rows += 1
        # Mining counts gold pairs; most sentences are in none.
        examples += len(row["targets"]) if spec.kind == "mining" and "targets" in row else 1
    return rows, examples


def _existing_row(
    need: RawNeed, file: PublishedFile, sha: str | None, recorded: Mapping[tuple[str, str, str], Row], root: Path
) -> Row | None:
    """Return the manifest line of files that an earlier run extracted from the same file, if they are complete."""
    row, paths = recorded.get(need.key), formats.find(root, need.pattern, need.format)
    if row is None or not paths:
        return None
    same = row["source"].endswith(f"#sha256={sha}") if sha else row["source"].startswith(f"{file.location}#sha256=")
    if not same:
        return None
    try:
        counted = _count(need, paths)
    except DataError:
        return None
    return _row(need, file, row["source"], counted) if counted[0] == row["rows"] else None


def _source(file: PublishedFile, need: RawNeed, sha: str) -> str:
    """Return the origin of a file, without the local folder it is in."""
    if file.is_remote:
        return f"{file.location}#sha256={sha}"
    # The checksum shows that it is the file of the spec.
    same = file.checksum is not None and file.checksum in (
        ("sha256", need.download.sha256),
        ("md5", need.download.md5),
    )
    return f"{need.download.url if same else f'file:{file.name}'}#sha256={sha}"


def _is_file_of_spec(need: RawNeed, file: PublishedFile, source: str) -> bool:
    """Return False if the spec gives a checksum but the file was verified with another one, given by the user."""
    download = need.download
    if download.sha256:
        return source.endswith(f"#sha256={download.sha256.lower()}")
    return download.md5 is None or file.md5 == download.md5.lower()


def _row(need: RawNeed, file: PublishedFile, source: str, counted: tuple[int, int]) -> Row:
    rows, examples = counted
    use = need.use
    if use.expected is not None and examples != use.expected:
        status = f"{DIFFERS} {examples} examples for '{need.config}', the spec {use.spec.name} says {use.expected}"
    elif not _is_file_of_spec(need, file, source):
        status = f"{UNKNOWN}: not the archive that the spec names; sha256 {source.rpartition('=')[2]}"
    elif file.checksum is not None or file.location == need.download.url:
        status = COMPLETE
    else:
        status = f"{UNKNOWN}: no checksum is known; sha256 {source.rpartition('=')[2]}"
    hub_id, config, split = need.key
    return {
        "hub_id": hub_id,
        "config": config,
        "split": split,
        "rows": rows,
        "status": status,
        "source": source,
        "licence": use.spec.licence,
    }
