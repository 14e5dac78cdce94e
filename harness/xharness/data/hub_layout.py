"""Configs and splits of a data set repository, from its README or its file names."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from xharness.errors import DataError

Splits = dict[str, list[str]]
"""Split -> its files (or globs)."""

CONVERTED = "refs/convert/parquet"
"""The branch on which the Hub's bot converts many data sets to parquet: ``<config>/<split>/0000.parquet``."""

# How the datasets library maps file and folder names to splits if a README names no configs.
_SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_DATA_ENDINGS = (
    ".parquet",
    ".jsonl",
    ".jsonl.gz",
    ".json",
    ".json.gz",
    ".csv",
    ".csv.gz",
    ".tsv",
    ".tsv.gz",
    ".arrow",
)


def find_configs(metadata: Mapping[str, Any], paths: Collection[str]) -> dict[str, Splits]:
    """Return config -> split -> files of a data set with these files, from the metadata of its README."""
    return find_named_configs(metadata, paths) or _by_folders(paths) or _by_names(paths)


def find_named_configs(metadata: Mapping[str, Any], paths: Collection[str]) -> dict[str, Splits]:
    """Return config -> split -> files for the configs that a README names; {} if it names none."""
    return {str(config.get("config_name")): _of_config(config, paths) for config in _entries(metadata, "configs")}


def find_files(folder: Path, config: str, split: str) -> list[Path]:
    """Return the files of a split in the local folder of a data set, in reading order; [] if there are none.

    Raises:
        DataError: the metadata of the folder's README is not YAML.
    """
    if not folder.is_dir():
        return []
    metadata = _parse_metadata(folder)
    paths = sorted(_below(folder))
    if _entries(metadata, "configs"):
        files = [p for glob in _globs(config_settings(metadata, config)).get(split, []) for p in _matching(glob, paths)]
    else:
        patterns = [f"{config}/{split}-*", f"{config}/{split}.*", f"{config}/{split}/*"]
        # Files in data/ belong to no particular config, so they cannot be the data of one language.
        patterns += [f"data/{split}-*"] if config == "default" else []
        files = next((matches for glob in patterns if (matches := _matching(glob, paths))), [])
    # A pattern such as de/** also matches notes and licenses.
    files = [path for path in files if path.endswith(_DATA_ENDINGS)] or files
    return [folder / path for path in dict.fromkeys(files)]


def config_settings(metadata: Mapping[str, Any], config: str) -> dict[str, Any]:
    """Return the entry of a config under ``configs`` in a README; {} if it has none."""
    return next((c for c in _entries(metadata, "configs") if str(c.get("config_name")) == config), {})


def gives_types(metadata: Mapping[str, Any], config: str) -> bool:
    """Return whether a README gives the column types of a config."""
    infos = _entries(metadata, "dataset_info")
    return any(str(i.get("config_name", "default")) == config and i.get("features") for i in infos)


def data_format(path: Path) -> str | None:
    """Return ``parquet``, ``json``, ``csv``, ``tsv`` or ``arrow`` from a file's extension; None for others."""
    if not path.name.endswith(_DATA_ENDINGS):
        return None
    ending = path.name.removesuffix(".gz").rpartition(".")[2]
    return "json" if ending == "jsonl" else ending


def _parse_metadata(folder: Path) -> dict[str, Any]:
    """Return the YAML metadata of a folder's README; unlike `read_metadata`, raise DataError if it is not YAML."""
    path = folder / "README.md"
    try:
        return _parsed(path.read_text(encoding="utf-8", errors="replace"))[0]
    except OSError:
        return {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        # The metadata begins on the line after the first ---.
        line = f" (line {mark.line + 2})" if mark else ""
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise DataError(
            f"{path}: the metadata between the two '---' is not valid YAML: {problem}{line}. "
            "Fix it, or delete the file and fetch the data set again."
        ) from None


def _below(folder: Path) -> Iterator[str]:
    """Yield the files below a folder as relative paths, without hidden files."""
    for root, folders, names in os.walk(folder, followlinks=True):
        parent = Path(root)
        # A link to a parent folder would be followed forever.
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and not ((parent / name).is_symlink() and parent.resolve().is_relative_to((parent / name).resolve()))
        ]
        for name in names:
            if not name.startswith(".") and (parent / name).is_file():
                yield (parent / name).relative_to(folder).as_posix()


def _matching(glob: str, paths: Iterable[str]) -> list[str]:
    """Return the paths that match a glob of a README; [] if the Hub does not accept the glob."""
    if any("**" in part and part != "**" for part in glob.split("/")):
        return []
    try:
        expression = _expression(glob)
    except re.error:
        return []
    return [path for path in paths if expression.fullmatch(path)]


def read_metadata(folder: Path) -> dict[str, Any]:
    """Return the YAML metadata of the README in the folder of a data set; {} if there is none."""
    try:
        return front_matter((folder / "README.md").read_text(encoding="utf-8", errors="replace"))[0]
    except OSError:
        return {}


def front_matter(card: str) -> tuple[dict[str, Any], str]:
    """Return the YAML metadata of a README and the text below it. The metadata is cached: change only a copy."""
    try:
        return _parsed(card)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}, card


# A README with the column types of many configs takes a second to parse, and is read many times.
@cache
def _parsed(card: str) -> tuple[dict[str, Any], str]:
    match = re.match(r"---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", card, re.DOTALL)
    if match is None:
        return {}, card
    metadata = yaml.safe_load(match[1])
    return (metadata if isinstance(metadata, dict) else {}), card[match.end() :]


def metadata_of_subset(part: Mapping[str, Splits], earlier: dict[str, Any], complete: dict[str, Any]) -> dict[str, Any]:
    """Return README metadata for a folder that holds a part of a data set.

    Args:
        part: config -> split -> files in the folder.
        earlier: the metadata of the README that was in the folder before.
        complete: the metadata of the data set's own README.
    """
    known = {str(c.get("config_name")): c for metadata in (earlier, complete) for c in _entries(metadata, "configs")}
    configs = []
    for config, splits in sorted(part.items()):
        if not splits:
            continue
        # Other settings of a config (such as the separator of a csv file) are needed to read it. `default: true` is
        # not: a folder with one config needs no default.
        replaced = ("config_name", "data_files", "data_dir", "default")
        kept = {k: v for k, v in known.get(config, {}).items() if k not in replaced}
        listed = [{"split": name, "path": paths} for name, paths in splits.items()]
        configs.append({"config_name": config, "data_files": listed, **kept})
    described = {
        str(i.get("config_name", "default")): i
        for metadata in (earlier, complete)
        for i in _entries(metadata, "dataset_info")
    }
    # Column types and label names are kept. Sizes are removed: the datasets library compares them, and refuses a
    # folder without all splits.
    sizes = ("splits", "download_size", "dataset_size")
    infos = [
        {k: v for k, v in info.items() if k not in sizes} | {"config_name": config}
        for config, info in sorted(described.items())
        if part.get(config) and info.keys() - {"config_name"}
    ]
    metadata = {**earlier, **complete, "configs": configs, "dataset_info": infos}
    if not infos:
        del metadata["dataset_info"]
    return metadata


def _entries(metadata: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return ``configs`` or ``dataset_info`` of a README as one mapping per config, in whichever form it is written."""
    entries = metadata.get(name) or []
    entries = [entries] if isinstance(entries, dict) else entries
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


def _of_config(config: Mapping[str, Any], paths: Collection[str]) -> Splits:
    if config.get("data_files") is None:
        folder = _data_dir(config)
        return _by_names(p for p in paths if not folder or p.startswith(f"{folder}/")).get("default", {})
    splits: Splits = {}
    for split, globs in _globs(config).items():
        expressions = [_expression(glob) for glob in globs]
        if matches := [path for e in expressions for path in sorted(paths) if e.fullmatch(path)]:
            splits[split] = list(dict.fromkeys(matches))
    return splits


def _data_dir(config: Mapping[str, Any]) -> str:
    return str(config.get("data_dir") or "").strip("/")


def _globs(config: Mapping[str, Any]) -> Splits:
    """Return split -> globs from a config's ``data_files``, which can have several forms."""
    folder, listed = _data_dir(config), config.get("data_files") or []
    patterns: Splits = {}
    for entry in listed if isinstance(listed, list) else [listed]:
        # A bare path means the training split.
        split, globs = (str(entry.get("split")), entry.get("path")) if isinstance(entry, dict) else ("train", entry)
        globs = globs if isinstance(globs, list) else [globs]
        patterns.setdefault(split, []).extend(f"{folder}/{glob}" if folder else str(glob) for glob in globs)
    return patterns


def _expression(glob: str) -> re.Pattern[str]:
    """Return the regular expression of a glob in a README: ``**`` crosses folders, ``*`` does not."""
    wildcards = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]/]+\])", glob.removeprefix("./"))
    # Every second piece is a wildcard; a [set] is written as in a regular expression.
    return re.compile(
        "".join(
            wildcards.get(piece, piece.replace("[!", "[^")) if number % 2 else re.escape(piece)
            for number, piece in enumerate(pieces)
        )
    )


def _by_folders(paths: Iterable[str]) -> dict[str, Splits]:
    """Return the configs of files named ``<config>/<split>/*.parquet``, as on the branch of the Hub's bot."""
    configs: dict[str, Splits] = {}
    for path in sorted(paths):
        parts = path.split("/")
        if len(parts) == 3 and path.endswith(".parquet") and not parts[1].startswith("partial-"):
            configs.setdefault(parts[0], {}).setdefault(parts[1], []).append(path)
    return configs


def _by_names(paths: Iterable[str]) -> dict[str, Splits]:
    """Return the config ``default`` of data files whose name or folder is that of a split."""
    splits: Splits = {}
    for path in sorted(p for p in paths if p.endswith(_DATA_ENDINGS)):
        words = re.split(r"[-._ /0-9]+", path.lower())
        for split, names in _SPLIT_NAMES.items():
            if any(word in names for word in words):
                splits.setdefault(split, []).append(path)
                break
    return {"default": splits} if splits else {}
