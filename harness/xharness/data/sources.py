"""Choose the source of a split (data folder or Hub) and open it as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from xharness.data import arrow, formats, hub_layout
from xharness.errors import DataError, OutputError, did_you_mean
from xharness.hub import read as hub_read
from xharness.tasks.dataset_spec import DataSpec, Source, Split


def _split_name(spec: DataSpec, split: Split) -> str:
    name = spec.split_name(split)
    if name is None:
        raise DataError(f"{spec.name} has no {split} split.")
    return name


def named(spec: DataSpec, source: Source, split: Split) -> str:
    """Return what a source calls a split."""
    return source.splits.get(split, _split_name(spec, split))


def where_of(spec: DataSpec, source: Source, language: str, split: Split) -> str:
    """Return what a split of a source is called in messages."""
    if source.raw is not None:
        return f"raw/{spec.fill(source.raw, language, named(spec, source, split))}"
    return f"{source.name} ({spec.fill(source.config, language)}, {named(spec, source, split)})"


def choose(spec: DataSpec, sources: Sequence[Source], language: str, split: Split, data_dir: Path | None) -> Source:
    """Return the source to use: online the first on the Hub, in a folder the first that is there."""
    of_language = [source for source in sources if source.languages is None or language in source.languages]
    if data_dir is None:
        on_hub = next((source for source in of_language if source.repo is not None), None)
        if on_hub is None:
            raise DataError(
                f"{spec.name}: it is not on the Hub as it has to be. Fetch it: xharness fetch --targets {spec.name} "
                "--to DIR, and give --data-dir DIR."
            )
        return on_hub
    if not data_dir.is_dir():
        raise DataError(f"There is no data folder '{data_dir}' (--data-dir or XHARNESS_DATA_DIR).")
    looked = []
    for source in of_language:
        config, split_name = spec.fill(source.config, language), named(spec, source, split)
        if source.raw:
            if raw_files(source, spec, language, split, data_dir):
                return source
            looked.append(where_of(spec, source, language, split))
            continue
        if hub_layout.find_files(data_dir / str(source.repo), config, split_name):
            return source
        looked.append(f"{source.repo}/{config} ({split_name})")
    raise DataError(absent(spec, language, data_dir, looked))


def absent(spec: DataSpec, language: str, data_dir: Path, looked: list[str]) -> str:
    """Return the sentence on data that a folder lacks: what was looked for, and how it is fetched."""
    return (
        f"{spec.name}: '{language}' is not in {data_dir}: looked for {', '.join(looked)}. "
        f"Fetch it: xharness fetch --targets {spec.name} --languages {language} --to {data_dir}"
    )


def raw_files(source: Source, spec: DataSpec, language: str, split: Split, data_dir: Path) -> list[Path]:
    """Return the files of a raw source in a folder; [] if they are not there."""
    assert source.raw is not None
    pattern = spec.fill(source.raw, language, named(spec, source, split))
    for root in (data_dir / "raw", data_dir.parent / "raw"):
        paths = formats.find(root, pattern, source.format)
        if paths:
            return paths
    return []


def open_table(
    spec: DataSpec, source: Source, language: str, split: Split, data_dir: Path | None
) -> tuple[Any, str | None]:
    """Return the table of a source, and the Hub's sha (None for a folder)."""
    precedence = spec.tag_precedence.get(language, spec.tag_precedence.get("default", []))
    asked = formats.Asked(language, tuple(precedence))
    if source.raw:
        assert data_dir is not None
        files = raw_files(source, spec, language, split, data_dir)
        if not files:
            raise DataError(absent(spec, language, data_dir, [where_of(spec, source, language, split)]))
        return arrow.from_rows(formats.READERS[source.format](files, asked)), None
    table, sha = _open_hub(spec, source, language, split, data_dir)
    if source.format != "hub":
        where = where_of(spec, source, language, split)
        table = arrow.from_rows(formats.FROM_ROWS[source.format](iter(table), asked, where))
    return table, sha


def _open_hub(
    spec: DataSpec, source: Source, language: str, split: Split, data_dir: Path | None
) -> tuple[Any, str | None]:
    """Return the table of a data set in the Hub's layout, from a folder or from the Hub."""
    import datasets

    split_name = named(spec, source, split)
    config = spec.fill(source.config, language)
    paths: list[Path] = []
    if data_dir is not None:
        paths = [p for p in hub_layout.find_files(data_dir / str(source.repo), config, split_name) if p.is_file()]
        if not paths:
            looked = [f"{source.repo}/{config} ({split_name})"]
            raise DataError(absent(spec, language, data_dir, looked))

    def advise(causes: list[BaseException]) -> str:
        if data_dir is not None:
            return f"The data was looked for in {arrow.named_files(paths, data_dir, causes)}."
        return (
            f"On a machine without network, fetch it elsewhere: xharness fetch --targets {spec.name} --to DIR, "
            "and give --data-dir DIR."
        )

    with _reading(spec, f"{source.name} ({config}, {split_name})", advise):
        if data_dir is not None:
            folder = data_dir / str(source.repo)
            key = arrow.content_key(folder, config, split_name, paths)
            return arrow.read_folder(folder, config, split_name, paths, _cache(key)), None
        assert source.repo is not None
        sha = hub_read.resolve(source.repo, source.revision, "dataset")
        # Else the loader would try five times for each language before it gives up.
        hub_read.check_readable(source.repo, sha, "dataset")
        return datasets.load_dataset(source.repo, config, split=split_name, revision=sha), sha


def open_file(spec: DataSpec, path: Path) -> Any:
    """Return a file of the user's own (.jsonl, .json, .csv, .tsv, .parquet) as a table.

    Raises:
        DataError: it has another ending, or cannot be read.
    """
    if hub_layout.data_format(path) is None:
        raise DataError(f"{spec.name}: {path} is no .jsonl, .json, .csv, .tsv or .parquet file.")
    with _reading(spec, str(path), lambda _: "Look at the file."):
        # No README beside it says anything on a config without a name.
        cache = _cache(arrow.content_key(path.parent, "", "train", [path]))
        return arrow.read_folder(path.parent, "", "train", [path], cache)


def _cache(key: str) -> str:
    import datasets

    return str(Path(datasets.config.HF_DATASETS_CACHE) / "xharness" / key)


@contextmanager
def _reading(spec: DataSpec, what: str, advise: Callable[[list[BaseException]], str]) -> Iterator[None]:
    """Show no bars of the datasets library, and turn its errors into sentences; ``advise`` gets the causes of one."""
    import datasets

    bars = datasets.utils.logging.is_progress_bar_enabled()
    datasets.utils.logging.disable_progress_bar()
    try:
        yield
    except (
        OSError,
        ValueError,
        TypeError,
        AttributeError,
        RuntimeError,
        LookupError,
        NotImplementedError,
        StopIteration,  # of an empty JSON file
        yaml.YAMLError,
        datasets.exceptions.DatasetsError,
    ) as error:
        causes = arrow.causes_of(error)
        if any(arrow.is_disk(cause) for cause in causes):
            raise OutputError(
                f"{spec.name}: the disk is full, or cannot be written. Copies of data sets lie under "
                f"{datasets.config.HF_DATASETS_CACHE}; make room, or name another place with HF_HOME."
            ) from None
        raise DataError(f"{spec.name}: {what} cannot be read: {arrow.reason(causes)} {advise(causes)}") from error
    finally:
        if bars:
            datasets.utils.logging.enable_progress_bar()


def check_columns(spec: DataSpec, columns: dict[str, str], existing: list[str], where: str) -> None:
    """Raise DataError if a table lacks a column that the spec names."""
    problems = [
        f"{spec.name}: {where} has no column '{column}' (the spec's "
        f"fields.{canonical}).{did_you_mean(column, existing)}"
        f" Columns there: {', '.join(existing)}."
        for canonical, column in columns.items()
        if column not in existing
    ]
    if problems:
        raise DataError("\n".join(problems))
