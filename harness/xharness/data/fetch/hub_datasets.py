"""Download data sets from the Hub into a data folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from xharness import files
from xharness.data import hub_layout
from xharness.data.fetch import row_counts
from xharness.data.fetch.requirements import Need
from xharness.data.manifest import Row, write_manifest
from xharness.errors import DataError, OutputError, did_you_mean
from xharness.hub import read as hub_read
from xharness.hub.errors import Unreachable


def fetch_hub(needs: Sequence[Need], to: Path, progress: bool, problems: list[str]) -> list[Row]:
    """Download the splits of data sets into the folder and record them in its MANIFEST.tsv."""
    rows: list[Row] = []
    by_repo: dict[tuple[str, str], list[Need]] = {}
    for need in needs:
        by_repo.setdefault((need.repo, need.revision), []).append(need)
    for (repo, revision), of_repo in by_repo.items():
        try:
            splits = _fetch_repo(repo, revision, of_repo, to, progress, problems)
        except Unreachable as error:
            problems.append(f"{_spec_names(of_repo)}: {error}")
            break  # the next data set cannot be reached either
        except DataError as error:
            problems.append(f"{_spec_names(of_repo)}: {error}")
            continue
        new = _rows(splits)
        write_manifest(to, new)
        rows += new
    return rows


@dataclass(frozen=True)
class _Commit:
    """A data set at one commit: its files, its README, and the files of each config and split."""

    repo: str
    sha: str
    remote_files: dict[str, hub_read.RemoteFile]
    metadata: dict[str, Any]
    text: str
    configs: dict[str, hub_layout.Splits]

    @classmethod
    def of(cls, repo: str, revision: str) -> _Commit:
        sha = hub_read.resolve(repo, revision, "dataset")
        remote_files = {
            path: file
            for path, file in hub_read.list_files(repo, sha, "dataset").items()
            # Paths of a listing are not trusted: no file is written outside the folder.
            if ".." not in PurePosixPath(path).parts and not path.startswith("/")
        }
        card = ""
        if "README.md" in remote_files:
            path = hub_read.download_file(repo, sha, "README.md", "dataset")
            card = path.read_text(encoding="utf-8", errors="replace")
        metadata, text = hub_layout.front_matter(card)
        return cls(repo, sha, remote_files, metadata, text, hub_layout.find_configs(metadata, remote_files))

    @classmethod
    def of_converted(cls, repo: str) -> _Commit | None:
        try:
            return cls.of(repo, hub_layout.CONVERTED)
        except Unreachable:
            raise
        except DataError:
            return None  # no such branch; the missing data of the main one is reported

    def has(self, need: Need) -> bool:
        return bool(self.configs.get(need.config, {}).get(need.split))

    def missing_message(self, need: Need) -> str:
        """Return the message for a missing config or split, with the nearest name."""
        where = f"{self.repo} (at {self.sha[:12]})"
        scripts = [path for path in self.remote_files if path.endswith(".py") and "/" not in path]
        if scripts and not self.configs:
            return f"{where} is a loading script ({scripts[0]}), which current libraries do not run."
        if need.config not in self.configs:
            near = did_you_mean(need.config, self.configs)
            configs = ", ".join(list(self.configs)[:20]) or "none"
            return f"{where} has no config '{need.config}'.{near or f' It has: {configs}.'}"
        splits = ", ".join(self.configs[need.config]) or "none"
        return f"{where} has no split '{need.split}' in '{need.config}'. It has: {splits}."


@dataclass
class _FetchedSplit:
    """A split on the Hub that is downloaded into the folder: its files and their number of rows."""

    need: Need
    commit: _Commit
    paths: list[str]
    rows: int | None = None
    counts: list[row_counts.RowCount] = field(default_factory=list)


def _fetch_repo(
    repo: str, revision: str, needs: Sequence[Need], to: Path, progress: bool, problems: list[str]
) -> list[_FetchedSplit]:
    """Download the splits of one data set into the folder; missing ones are added to ``problems``."""
    commit = _Commit.of(repo, revision)
    # A data set that was published as a loading script has readable files only on the branch of the Hub's bot.
    converted = None if all(commit.has(need) for need in needs) else _Commit.of_converted(repo)
    fetched: list[_FetchedSplit] = []
    for need in needs:
        origin = commit if commit.has(need) else converted
        if origin is not None and origin.has(need):
            fetched.append(_FetchedSplit(need, origin, origin.configs[need.config][need.split]))
        else:
            problems.append(f"{_spec_names([need])}: {commit.missing_message(need)}")
    folder = to / repo
    _download(folder, {path: split.commit for split in fetched for path in split.paths}, progress)
    if fetched:
        _write_readme(folder, commit, fetched)
    for split in fetched:
        paths = [folder / path for path in split.paths]
        split.rows = row_counts.count_rows(paths)
        for use in split.need.uses:
            rows = split.rows if use.keep is None else row_counts.count_rows(paths, use.keep)
            split.counts.append(row_counts.RowCount(use, rows))
    return fetched


def _spec_names(needs: Iterable[Need]) -> str:
    """Return the names of the specs that need some splits, for messages."""
    return ", ".join(sorted({use.spec.name for need in needs for use in need.uses}))


def _rows(fetched: Sequence[_FetchedSplit]) -> list[Row]:
    """Return the manifest lines of the splits of one data set."""
    all_counts = [count for split in fetched for count in split.counts]
    return [
        {
            "hub_id": split.need.repo,
            "config": split.need.config,
            "split": split.need.split,
            "rows": split.rows,
            "status": row_counts.status(split.counts, all_counts),
            "source": f"hub:{split.commit.repo}@{split.commit.sha}",
            "licence": split.need.licence,
        }
        for split in fetched
    ]


def _download(folder: Path, wanted: Mapping[str, _Commit], progress: bool) -> None:
    from tqdm import tqdm

    def download(path: str, commit: _Commit) -> int:
        # Compare the content, not the client's records: the file may have been truncated or changed since.
        remote, local = commit.remote_files[path], folder / path
        try:
            if not remote.is_at(local):
                local.unlink(missing_ok=True)
                hub_read.download_file(commit.repo, commit.sha, path, "dataset", to=folder)
        except OSError as error:
            raise OutputError(f"{local}: cannot be read or replaced: {error.strerror}.") from None
        return remote.size

    size = sum(commit.remote_files[path].size for path, commit in wanted.items())
    with (
        tqdm(total=size, unit="B", unit_scale=True, desc=folder.name, disable=not progress) as bar,
        ThreadPoolExecutor(max_workers=4) as pool,
    ):
        running = [pool.submit(download, path, commit) for path, commit in wanted.items()]
        try:
            for task in running:
                bar.update(task.result())
        except BaseException:
            for task in running:
                task.cancel()
            raise


def _write_readme(folder: Path, commit: _Commit, fetched: Sequence[_FetchedSplit]) -> None:
    """Write the data set's README with only the configs and splits in the folder.

    With the original README, ``datasets.load_dataset(folder, config)`` would require every split on the Hub, and fail.
    """
    earlier = hub_layout.read_metadata(folder)
    present: dict[str, hub_layout.Splits] = {
        config: {name: paths for name, paths in splits.items() if all((folder / path).is_file() for path in paths)}
        for config, splits in hub_layout.find_named_configs(earlier, _below(folder)).items()
    }
    for split in fetched:
        present.setdefault(split.need.config, {})[split.need.split] = split.paths
    metadata = hub_layout.metadata_of_subset(present, earlier, commit.metadata)
    front = yaml.safe_dump(metadata, allow_unicode=True, sort_keys=False, width=1000)
    origin = f"<!-- Fetched by xharness from {commit.repo} on the Hub; `configs` names what lies here. -->\n"
    files.write_text(folder / "README.md", f"---\n{front}---\n{origin}{commit.text}")


def _below(folder: Path) -> list[str]:
    paths = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    return [p.as_posix() for p in paths if not p.parts[0].startswith(".")]
