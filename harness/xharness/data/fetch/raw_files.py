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
from xharness.data.fetch.download import Published, local_copy, prove
from xharness.data.fetch.requirements import RawNeed
from xharness.data.fetch.row_counts import DIFFERS
from xharness.data.manifest import COMPLETE, UNKNOWN, Row, read_manifest, write_manifest
from xharness.errors import DataError, OutputError, UsageError, unknown


def replace(needs: Sequence[RawNeed], given: Sequence[str]) -> dict[str, Published]:
    """Return address -> the file to take: that of the spec, or the one that the user gives in its place.

    Args:
        needs: what is to be had.
        given: ``PATH_OR_URL[#sha256=HEX|#md5=HEX]``; the file's name tells which download it replaces. Without a
            checksum of its own it must have that of the spec.

    Raises:
        UsageError: a name is that of no download, or of several.
    """
    files = {need.download.url: Published(*_checked(need)) for need in needs}
    chosen = dict(files)
    for text in given:
        file = Published.of(text)
        same = [url for url, own in files.items() if own.name == file.name]
        if not files:
            raise UsageError(f"--from {text}: nothing of what was asked for is downloaded from elsewhere than the Hub.")
        if not same:
            raise unknown("file to download", file.name, [own.name for own in files.values()])
        if len(same) > 1:
            raise UsageError(
                f"--from {text}: several downloads are called '{file.name}': {', '.join(same)}. Ask for fewer targets, "
                "languages or splits at a time."
            )
        own = files[same[0]]
        chosen[same[0]] = file if file.checksum else Published(file.place, own.sha256, own.md5)
    return chosen


def fetch_raw(
    needs: Sequence[RawNeed], chosen: Mapping[str, Published], to: Path, progress: bool, problems: list[str]
) -> list[Row]:
    """Bring files into a folder and return their lines of MANIFEST.tsv; what cannot be had goes to ``problems``.

    Each archive is downloaded once, to ``to/raw/.downloads``, which may be removed afterwards.

    Args:
        needs: what is to be had.
        chosen: from `replace`.
        to: the data folder.
        progress: show bars.
        problems: is given a sentence on everything that cannot be had.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    by_file: dict[Published, list[RawNeed]] = {}
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


def _checked(need: RawNeed) -> tuple[str, str | None, str | None]:
    return need.download.url, need.download.sha256, need.download.md5


def _fetch_file(file: Published, needs: Sequence[RawNeed], to: Path, progress: bool, problems: list[str]) -> list[Row]:
    """Take what is needed out of one file that was published."""
    root = to / "raw"
    sha = file.sha256 if file.remote else prove(file, local_copy(file, root, progress))
    recorded = {(row["hub_id"], row["config"], row["split"]): row for row in read_manifest(to)}
    there = {need.key: row for need in needs if (row := _row_if_there(need, file, sha, recorded, root))}
    absent = [need for need in needs if need.key not in there]
    if absent:
        path = local_copy(file, root / ".downloads", progress)
        sha = prove(file, path)
    missing = []
    if absent:
        # Beside their place: what an earlier run took out stays as it is until the new files have been read.
        with _aside(root) as new:
            _extract(file, path, absent, new, progress)
            good = []
            for need in absent:
                paths = formats.find(new, need.pattern, need.format)
                if not paths:
                    missing.append(need)
                    continue
                try:
                    there[need.key] = _row(need, file, _source(file, need, str(sha)), _count(need, paths))
                    good.append(need)
                except DataError as error:
                    problems.append(f"{need.use.spec.name}: {str(error).replace(f'{new}/', '')}")
            _move(good, new, root)
    if missing:
        wanted = ", ".join(f"'{need.config}' {need.split} ({need.pattern})" for need in missing)
        names = ", ".join(sorted({need.use.spec.name for need in missing}))
        problems.append(f"{names}: {file.name} does not have all files for {wanted}.")
    return [there[key] for key in dict.fromkeys(need.key for need in needs) if key in there]


@contextmanager
def _aside(root: Path) -> Iterator[Path]:
    """Give a folder on the same disk, whose name hides it from readers, and remove it afterwards."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = TemporaryDirectory(dir=root, prefix=".new-")
    except OSError as error:
        raise OutputError(f"{root}: cannot be written: {error.strerror or error}. Choose another folder.") from None
    with folder as name:
        yield Path(name)


def _move(needs: Sequence[RawNeed], new: Path, root: Path) -> None:
    """Put the files of what was read well in their place."""
    wanted = {pattern: None for need in needs for pattern in formats.patterns(need.pattern, need.format)}
    for path in sorted(path for path in new.rglob("*") if path.is_file()):
        own = path.relative_to(new)
        if not any(archives.Wanted(pattern).tail(own.as_posix()) == own.as_posix() for pattern in wanted):
            continue
        try:
            (root / own).parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, root / own)
        except OSError as error:
            raise OutputError(f"{root / own}: cannot be written: {error.strerror or error}.") from None


def _extract(file: Published, path: Path, needs: Sequence[RawNeed], root: Path, progress: bool) -> None:
    from tqdm import tqdm

    wanted = {pattern: None for need in needs for pattern in formats.patterns(need.pattern, need.format)}
    size = path.stat().st_size
    try:
        with (
            path.open("rb") as plain,
            tqdm.wrapattr(
                plain, "read", total=size, desc=f"{file.name}: taking files out", disable=not progress
            ) as seen,
        ):
            archives.extract(cast(BinaryIO, seen), file.name, map(archives.Wanted, wanted), root)
    except DataError:
        if file.remote:
            path.unlink(missing_ok=True)  # else the next run would find the same broken file
        raise


def _count(need: RawNeed, paths: Sequence[Path]) -> tuple[int, int]:
    """Return how many rows files hold, and how many examples as the task counts them."""
    spec, language = need.use.spec, need.use.language
    precedence = spec.tag_precedence.get(language, spec.tag_precedence.get("default", []))
    rows = examples = 0
    for row in formats.READERS[need.format](paths, formats.Asked(language, tuple(precedence))):
        rows += 1
        # What is mined are pairs; most sentences are in none.
        examples += len(row["targets"]) if spec.kind == "mining" and "targets" in row else 1
    return rows, examples


def _row_if_there(
    need: RawNeed, file: Published, sha: str | None, recorded: Mapping[tuple[str, str, str], Row], root: Path
) -> Row | None:
    """Return the line of files that an earlier run took out of the same file, if they are whole."""
    row, paths = recorded.get(need.key), formats.find(root, need.pattern, need.format)
    if row is None or not paths:
        return None
    same = row["source"].endswith(f"#sha256={sha}") if sha else row["source"].startswith(f"{file.place}#sha256=")
    if not same:
        return None
    try:
        counted = _count(need, paths)
    except DataError:
        return None
    return _row(need, file, row["source"], counted) if counted[0] == row["rows"] else None


def _source(file: Published, need: RawNeed, sha: str) -> str:
    """Return where a file is from, without the folder of this machine that it lies in."""
    if file.remote:
        return f"{file.place}#sha256={sha}"
    # By its checksum it is the very file of the spec.
    same = file.checksum is not None and file.checksum in (
        ("sha256", need.download.sha256),
        ("md5", need.download.md5),
    )
    return f"{need.download.url if same else f'file:{file.name}'}#sha256={sha}"


def _is_named(need: RawNeed, file: Published, source: str) -> bool:
    """Return False if the spec gives a checksum and the file is not proved by it, but by one that the user gave."""
    download = need.download
    if download.sha256:
        return source.endswith(f"#sha256={download.sha256.lower()}")
    return download.md5 is None or file.md5 == download.md5.lower()


def _row(need: RawNeed, file: Published, source: str, counted: tuple[int, int]) -> Row:
    rows, examples = counted
    use = need.use
    if use.expected is not None and examples != use.expected:
        status = f"{DIFFERS} {examples} examples for '{need.config}', the spec {use.spec.name} says {use.expected}"
    elif not _is_named(need, file, source):
        status = f"{UNKNOWN}: not the archive that the spec names; sha256 {source.rpartition('=')[2]}"
    elif file.checksum is not None or file.place == need.download.url:
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
