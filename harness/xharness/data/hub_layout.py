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
"""The branch where the Hub's own bot lays parquet files, ``<config>/<split>/0000.parquet``, for many data sets."""

# What datasets takes file and folder names for where a README names no configs.
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


def find_configs(head: Mapping[str, Any], paths: Collection[str]) -> dict[str, Splits]:
    """Return config -> split -> files, of a data set with this README and these files."""
    return find_named_configs(head, paths) or _by_folders(paths) or _by_names(paths)


def find_named_configs(head: Mapping[str, Any], paths: Collection[str]) -> dict[str, Splits]:
    """Return config -> split -> files of the configs that a README names; {} where it names none."""
    return {str(config.get("config_name")): _of_config(config, paths) for config in _entries(head, "configs")}


def find_files(folder: Path, config: str, split: str) -> list[Path]:
    """Return the files of a split in a data set's folder on this machine, in the order to read; [] if none.

    Raises:
        DataError: the head of the folder's README is no YAML.
    """
    if not folder.is_dir():
        return []
    head = _checked_head(folder)
    paths = sorted(_below(folder))
    if _entries(head, "configs"):
        files = [p for glob in _globs(config_settings(head, config)).get(split, []) for p in _matching(glob, paths)]
    else:
        patterns = [f"{config}/{split}-*", f"{config}/{split}.*", f"{config}/{split}/*"]
        # What lies in data/ belongs to no config in particular, so it cannot stand for one language.
        patterns += [f"data/{split}-*"] if config == "default" else []
        files = next((held for glob in patterns if (held := _matching(glob, paths))), [])
    # A pattern such as de/** takes notes and licences too.
    files = [path for path in files if path.endswith(_DATA_ENDINGS)] or files
    return [folder / path for path in dict.fromkeys(files)]


def config_settings(head: Mapping[str, Any], config: str) -> dict[str, Any]:
    """Return what a README says on a config under ``configs``; {} where it does not name it."""
    return next((c for c in _entries(head, "configs") if str(c.get("config_name")) == config), {})


def gives_types(head: Mapping[str, Any], config: str) -> bool:
    """Return whether a README gives the column types of a config."""
    infos = _entries(head, "dataset_info")
    return any(str(i.get("config_name", "default")) == config and i.get("features") for i in infos)


def data_format(path: Path) -> str | None:
    """Return ``parquet``, ``json``, ``csv``, ``tsv`` or ``arrow`` by a file's ending; None for others."""
    if not path.name.endswith(_DATA_ENDINGS):
        return None
    ending = path.name.removesuffix(".gz").rpartition(".")[2]
    return "json" if ending == "jsonl" else ending


def _checked_head(folder: Path) -> dict[str, Any]:
    """Return the YAML head of a folder's README, as read_head does, but refuse one that cannot be parsed."""
    path = folder / "README.md"
    try:
        return _parsed(path.read_text(encoding="utf-8", errors="replace"))[0]
    except OSError:
        return {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        # The line after the first ---.
        line = f" (line {mark.line + 2})" if mark else ""
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise DataError(
            f"{path}: the head between the two '---' is not valid YAML: {problem}{line}. "
            "Mend it, or delete the file and fetch the data set again."
        ) from None


def _below(folder: Path) -> Iterator[str]:
    """Yield the files below a folder as relative paths; hidden ones are no data."""
    for root, folders, names in os.walk(folder, followlinks=True):
        place = Path(root)
        # A link to a folder above would be walked for ever.
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and not ((place / name).is_symlink() and place.resolve().is_relative_to((place / name).resolve()))
        ]
        for name in names:
            if not name.startswith(".") and (place / name).is_file():
                yield (place / name).relative_to(folder).as_posix()


def _matching(glob: str, paths: Iterable[str]) -> list[str]:
    """Return the paths that a glob of a README stands for; none where it is no glob that the Hub takes."""
    if any("**" in part and part != "**" for part in glob.split("/")):
        return []
    try:
        expression = _expression(glob)
    except re.error:
        return []
    return [path for path in paths if expression.fullmatch(path)]


def read_head(folder: Path) -> dict[str, Any]:
    """Return the YAML head of the README in a data set's folder; {} where there is none."""
    try:
        return front_matter((folder / "README.md").read_text(encoding="utf-8", errors="replace"))[0]
    except OSError:
        return {}


def front_matter(card: str) -> tuple[dict[str, Any], str]:
    """Return the YAML head of a README (as it is kept: change a copy) and the text below it."""
    try:
        return _parsed(card)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}, card


# A README with the column types of many configs takes a second to parse, and it is asked for again and again.
@cache
def _parsed(card: str) -> tuple[dict[str, Any], str]:
    match = re.match(r"---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", card, re.DOTALL)
    if match is None:
        return {}, card
    head = yaml.safe_load(match[1])
    return (head if isinstance(head, dict) else {}), card[match.end() :]


def head_of_part(part: Mapping[str, Splits], earlier: dict[str, Any], complete: dict[str, Any]) -> dict[str, Any]:
    """Return the head of a README for a folder that holds a part of a data set.

    Args:
        part: config -> split -> files, of what the folder holds.
        earlier: the head of the README that the folder had before.
        complete: the head of the data set's own README.
    """
    known = {str(c.get("config_name")): c for head in (earlier, complete) for c in _entries(head, "configs")}
    configs = []
    for config, splits in sorted(part.items()):
        if not splits:
            continue
        # Other settings of a config (a csv file's separator) are needed to read it; `default: true` is not, and a
        # folder with one config needs no default.
        own = ("config_name", "data_files", "data_dir", "default")
        kept = {k: v for k, v in known.get(config, {}).items() if k not in own}
        listed = [{"split": name, "path": paths} for name, paths in splits.items()]
        configs.append({"config_name": config, "data_files": listed, **kept})
    described = {
        str(i.get("config_name", "default")): i for head in (earlier, complete) for i in _entries(head, "dataset_info")
    }
    # Column types and label names stay. Sizes go: the client compares them and refuses a folder where a split is
    # left out.
    sizes = ("splits", "download_size", "dataset_size")
    infos = [
        {k: v for k, v in info.items() if k not in sizes} | {"config_name": config}
        for config, info in sorted(described.items())
        if part.get(config) and info.keys() - {"config_name"}
    ]
    head = {**earlier, **complete, "configs": configs, "dataset_info": infos}
    if not infos:
        del head["dataset_info"]
    return head


def _entries(head: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return ``configs`` or ``dataset_info`` of a README: one mapping per config, however it was written."""
    entries = head.get(name) or []
    entries = [entries] if isinstance(entries, dict) else entries
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


def _of_config(config: Mapping[str, Any], paths: Collection[str]) -> Splits:
    if config.get("data_files") is None:
        folder = _data_dir(config)
        return _by_names(p for p in paths if not folder or p.startswith(f"{folder}/")).get("default", {})
    splits: Splits = {}
    for split, globs in _globs(config).items():
        expressions = [_expression(glob) for glob in globs]
        if held := [path for e in expressions for path in sorted(paths) if e.fullmatch(path)]:
            splits[split] = list(dict.fromkeys(held))
    return splits


def _data_dir(config: Mapping[str, Any]) -> str:
    return str(config.get("data_dir") or "").strip("/")


def _globs(config: Mapping[str, Any]) -> Splits:
    """Return split -> globs from a config's ``data_files``, which may be written in several ways."""
    folder, listed = _data_dir(config), config.get("data_files") or []
    patterns: Splits = {}
    for entry in listed if isinstance(listed, list) else [listed]:
        # A bare path stands for the training split.
        split, globs = (str(entry.get("split")), entry.get("path")) if isinstance(entry, dict) else ("train", entry)
        globs = globs if isinstance(globs, list) else [globs]
        patterns.setdefault(split, []).extend(f"{folder}/{glob}" if folder else str(glob) for glob in globs)
    return patterns


def _expression(glob: str) -> re.Pattern[str]:
    """Return a glob as the Hub's READMEs use it: ``**`` goes through folders, ``*`` does not."""
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]/]+\])", glob.removeprefix("./"))
    # Every second piece is one of the signs that were split at; a [set] is written as in a regular expression.
    return re.compile(
        "".join(
            known.get(piece, piece.replace("[!", "[^")) if number % 2 else re.escape(piece)
            for number, piece in enumerate(pieces)
        )
    )


def _by_folders(paths: Iterable[str]) -> dict[str, Splits]:
    """Return the configs of files laid as ``<config>/<split>/*.parquet``, as the bot does on its branch."""
    configs: dict[str, Splits] = {}
    for path in sorted(paths):
        parts = path.split("/")
        if len(parts) == 3 and path.endswith(".parquet") and not parts[1].startswith("partial-"):
            configs.setdefault(parts[0], {}).setdefault(parts[1], []).append(path)
    return configs


def _by_names(paths: Iterable[str]) -> dict[str, Splits]:
    """Return the one config ``default`` of data files that are named, or lie in folders named, after a split."""
    splits: Splits = {}
    for path in sorted(p for p in paths if p.endswith(_DATA_ENDINGS)):
        words = re.split(r"[-._ /0-9]+", path.lower())
        for split, names in _SPLIT_NAMES.items():
            if any(word in names for word in words):
                splits.setdefault(split, []).append(path)
                break
    return {"default": splits} if splits else {}
