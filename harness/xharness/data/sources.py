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
from xharness.tasks.dataset_spec import DataSpec
from xharness.tasks.source_spec import Source, Split


def _split_name(spec: DataSpec, split: Split) -> str:
    name = spec.split_name(split)
    if name is None:
        raise DataError(f"{spec.name} has no {split} split.")
    return name


def split_name_in_source(spec: DataSpec, source: Source, split: Split) -> str:
    """Return the name of a split in a source."""
    return source.splits.get(split, _split_name(spec, split))


def describe_source(spec: DataSpec, source: Source, language: str, split: Split) -> str:
    """Return how messages refer to a split of a source."""
    if source.raw is not None:
        return f"raw/{spec.fill(source.raw, language, split_name_in_source(spec, source, split))}"
    return f"{source.name} ({spec.fill(source.config, language)}, {split_name_in_source(spec, source, split)})"


def choose_source(
    spec: DataSpec, sources: Sequence[Source], language: str, split: Split, data_dir: Path | None
) -> Source:
    """Return the source to use: the first one in the data folder; without a folder, the first one on the Hub."""
    of_language = [source for source in sources if source.languages is None or language in source.languages]
    if data_dir is None:
        on_hub = next((source for source in of_language if source.repo is not None), None)
        if on_hub is None:
            raise DataError(
                f"{spec.name}: the Hub does not have it in the required form. Fetch it: xharness fetch --targets "
                f"{spec.name} --to DIR, and give --data-dir DIR."
            )
        return on_hub
    if not data_dir.is_dir():
        raise DataError(f"There is no data folder '{data_dir}' (--data-dir or XHARNESS_DATA_DIR).")
    searched = []
    for source in of_language:
        config, split_name = spec.fill(source.config, language), split_name_in_source(spec, source, split)
        if source.raw:
            if find_raw_files(source, spec, language, split, data_dir):
                return source
            searched.append(describe_source(spec, source, language, split))
            continue
        if hub_layout.find_files(data_dir / str(source.repo), config, split_name):
            return source
        searched.append(f"{source.repo}/{config} ({split_name})")
    raise DataError(missing_data_message(spec, language, data_dir, searched))


def missing_data_message(spec: DataSpec, language: str, data_dir: Path, searched: list[str]) -> str:
    """Return the message for data that a folder lacks: what was searched, and how to fetch it."""
    return (
        f"{spec.name}: '{language}' is not in {data_dir}: looked for {', '.join(searched)}. "
        f"Fetch it: xharness fetch --targets {spec.name} --languages {language} --to {data_dir}"
    )


def find_raw_files(source: Source, spec: DataSpec, language: str, split: Split, data_dir: Path) -> list[Path]:
    """Return the files of a raw source in a folder; [] if they are missing."""
    assert source.raw is not None
    pattern = spec.fill(source.raw, language, split_name_in_source(spec, source, split))
    for root in (data_dir / "raw", data_dir.parent / "raw"):
        paths = formats.find(root, pattern, source.format)
        if paths:
            return paths
    return []


def open_table(
    spec: DataSpec, source: Source, language: str, split: Split, data_dir: Path | None
) -> tuple[Any, str | None]:
    """Return the table of a source, and its commit on the Hub (None for a folder)."""
    precedence = spec.tag_precedence.get(language, spec.tag_precedence.get("default", []))
    options = formats.ReadOptions(language, tuple(precedence))
    if source.raw:
        assert data_dir is not None
        files = find_raw_files(source, spec, language, split, data_dir)
        if not files:
            raise DataError(
                missing_data_message(spec, language, data_dir, [describe_source(spec, source, language, split)])
            )
        return arrow.from_rows(formats.READERS[source.format](files, options)), None
    table, sha = _open_hub(spec, source, language, split, data_dir)
    if source.format != "hub":
        where = describe_source(spec, source, language, split)
        table = arrow.from_rows(formats.FROM_ROWS[source.format](iter(table), options, where))
    return table, sha


def _open_hub(
    spec: DataSpec, source: Source, language: str, split: Split, data_dir: Path | None
) -> tuple[Any, str | None]:
    """Return the table of a data set with the layout of the Hub, from a folder or from the Hub itself."""
    import datasets

    split_name = split_name_in_source(spec, source, split)
    config = spec.fill(source.config, language)
    paths: list[Path] = []
    if data_dir is not None:
        paths = [p for p in hub_layout.find_files(data_dir / str(source.repo), config, split_name) if p.is_file()]
        if not paths:
            searched = [f"{source.repo}/{config} ({split_name})"]
            raise DataError(missing_data_message(spec, language, data_dir, searched))

    def advise(causes: list[BaseException]) -> str:
        if data_dir is not None:
            return f"The data was searched in {arrow.named_files(paths, data_dir, causes)}."
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
        # Otherwise the loader would retry five times per language before it gives up.
        hub_read.check_readable(source.repo, sha, "dataset")
        return datasets.load_dataset(source.repo, config, split=split_name, revision=sha), sha


def open_file(spec: DataSpec, path: Path) -> Any:
    """Return a user's file (.jsonl, .json, .csv, .tsv, .parquet) as a table.

    Raises:
        DataError: it has another file extension, or cannot be read.
    """
    if hub_layout.data_format(path) is None:
        raise DataError(f"{spec.name}: {path} is not a .jsonl, .json, .csv, .tsv or .parquet file.")
    with _reading(spec, str(path), lambda _: "Check the file."):
        # The empty config name matches no config of a README beside the file.
        cache = _cache(arrow.content_key(path.parent, "", "train", [path]))
        return arrow.read_folder(path.parent, "", "train", [path], cache)


def _cache(key: str) -> str:
    import datasets

    return str(Path(datasets.config.HF_DATASETS_CACHE) / "xharness" / key)


@contextmanager
def _reading(spec: DataSpec, what: str, advise: Callable[[list[BaseException]], str]) -> Iterator[None]:
    """Hide the progress bars of the datasets library and explain its errors.

    ``advise`` gets the chain of causes of an error and returns what to do next.
    """
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
        StopIteration,  # raised for an empty JSON file
        yaml.YAMLError,
        datasets.exceptions.DatasetsError,
    ) as error:
        causes = arrow.causes_of(error)
        if any(arrow.is_disk_error(cause) for cause in causes):
            raise OutputError(
                f"{spec.name}: the disk is full, or cannot be written. Data sets are cached in "
                f"{datasets.config.HF_DATASETS_CACHE}; free some space, or set HF_HOME to another folder."
            ) from None
        raise DataError(f"{spec.name}: {what} cannot be read: {arrow.reason(causes)} {advise(causes)}") from error
    finally:
        if bars:
            datasets.utils.logging.enable_progress_bar()


def check_columns(spec: DataSpec, columns: dict[str, str], existing: list[str], where: str) -> None:
    """Raise DataError if a column that the spec names is missing in a table."""
    problems = [
        f"{spec.name}: {where} has no column '{column}' (the spec's "
        f"fields.{canonical}).{did_you_mean(column, existing)}"
        f" Columns there: {', '.join(existing)}."
        for canonical, column in columns.items()
        if column not in existing
    ]
    if problems:
        raise DataError("\n".join(problems))
