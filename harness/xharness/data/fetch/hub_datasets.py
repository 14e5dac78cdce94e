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


def _fetch_hub(needs: Sequence[Need], to: Path, progress: bool, problems: list[str]) -> list[Row]:
    """Bring the splits of data sets into the folder and write them into its MANIFEST.tsv."""
    rows: list[Row] = []
    by_repo: dict[tuple[str, str], list[Need]] = {}
    for need in needs:
        by_repo.setdefault((need.repo, need.revision), []).append(need)
    for (repo, revision), of_repo in by_repo.items():
        try:
            splits = _fetch_repo(repo, revision, of_repo, to, progress, problems)
        except Unreachable as error:
            problems.append(f"{_names(of_repo)}: {error}")
            break  # the next data set could not be reached either
        except DataError as error:
            problems.append(f"{_names(of_repo)}: {error}")
            continue
        new = _rows(splits)
        write_manifest(to, new)
        rows += new
    return rows


@dataclass(frozen=True)
class _Commit:
    """A data set at one commit: its files, its README, and which files hold which split of which config."""

    repo: str
    sha: str
    remote: dict[str, hub_read.RemoteFile]
    head: dict[str, Any]
    text: str
    configs: dict[str, hub_layout.Splits]

    @classmethod
    def of(cls, repo: str, revision: str) -> _Commit:
        sha = hub_read.resolve(repo, revision, "dataset")
        remote = {
            path: file
            for path, file in hub_read.list_files(repo, sha, "dataset").items()
            # A listing is not trusted with where files are written.
            if ".." not in PurePosixPath(path).parts and not path.startswith("/")
        }
        card = ""
        if "README.md" in remote:
            path = hub_read.download_file(repo, sha, "README.md", "dataset")
            card = path.read_text(encoding="utf-8", errors="replace")
        head, text = hub_layout.front_matter(card)
        return cls(repo, sha, remote, head, text, hub_layout.find_configs(head, remote))

    @classmethod
    def of_converted(cls, repo: str) -> _Commit | None:
        try:
            return cls.of(repo, hub_layout.CONVERTED)
        except Unreachable:
            raise
        except DataError:
            return None  # there is no such branch; what is missing on the other one is said

    def has(self, need: Need) -> bool:
        return bool(self.configs.get(need.config, {}).get(need.split))

    def what_is_missing(self, need: Need) -> str:
        """Return a sentence on the config or split that is not here, with the nearest name."""
        where = f"{self.repo} (at {self.sha[:12]})"
        scripts = [path for path in self.remote if path.endswith(".py") and "/" not in path]
        if scripts and not self.configs:
            return f"{where} is a loading script ({scripts[0]}), which no current library runs."
        if need.config not in self.configs:
            near = did_you_mean(need.config, self.configs)
            there = ", ".join(list(self.configs)[:20]) or "none"
            return f"{where} has no config '{need.config}'.{near or f' It has: {there}.'}"
        there = ", ".join(self.configs[need.config]) or "none"
        return f"{where} has no split '{need.split}' in '{need.config}'. It has: {there}."


@dataclass
class _Found:
    """A split that lies on the Hub, and then in the folder: its files, and how many rows they hold."""

    need: Need
    commit: _Commit
    paths: list[str]
    rows: int | None = None
    counted: list[row_counts.Counted] = field(default_factory=list)


def _fetch_repo(
    repo: str, revision: str, needs: Sequence[Need], to: Path, progress: bool, problems: list[str]
) -> list[_Found]:
    """Bring the splits of one data set into the folder; what it does not have goes to ``problems``."""
    commit = _Commit.of(repo, revision)
    # A data set that was a loading script once has readable files on the bot's branch only.
    converted = None if all(commit.has(need) for need in needs) else _Commit.of_converted(repo)
    fetched: list[_Found] = []
    for need in needs:
        used = commit if commit.has(need) else converted
        if used is not None and used.has(need):
            fetched.append(_Found(need, used, used.configs[need.config][need.split]))
        else:
            problems.append(f"{_names([need])}: {commit.what_is_missing(need)}")
    folder = to / repo
    _download(folder, {path: split.commit for split in fetched for path in split.paths}, progress)
    if fetched:
        _write_readme(folder, commit, fetched)
    for split in fetched:
        local = [folder / path for path in split.paths]
        split.rows = row_counts.count_rows(local)
        for use in split.need.uses:
            rows = split.rows if use.keep is None else row_counts.count_rows(local, use.keep)
            split.counted.append(row_counts.Counted(use, rows))
    return fetched


def _names(needs: Iterable[Need]) -> str:
    """Return the specs that need some splits, for the beginning of a message."""
    return ", ".join(sorted({use.spec.name for need in needs for use in need.uses}))


def _rows(fetched: Sequence[_Found]) -> list[Row]:
    """Return the manifest's lines of the splits of one data set."""
    everything = [counted for split in fetched for counted in split.counted]
    return [
        {
            "hub_id": split.need.repo,
            "config": split.need.config,
            "split": split.need.split,
            "rows": split.rows,
            "status": row_counts.status(split.counted, everything),
            "source": f"hub:{split.commit.repo}@{split.commit.sha}",
            "licence": split.need.licence,
        }
        for split in fetched
    ]


def _download(folder: Path, wanted: Mapping[str, _Commit], progress: bool) -> None:
    from tqdm import tqdm

    def one(path: str, commit: _Commit) -> int:
        # By content, not by what the client noted down: a file may have been cut or changed since.
        remote, local = commit.remote[path], folder / path
        try:
            if not remote.is_at(local):
                local.unlink(missing_ok=True)
                hub_read.download_file(commit.repo, commit.sha, path, "dataset", to=folder)
        except OSError as error:
            raise OutputError(f"{local}: cannot be read or replaced: {error.strerror}.") from None
        return remote.size

    size = sum(commit.remote[path].size for path, commit in wanted.items())
    with (
        tqdm(total=size, unit="B", unit_scale=True, desc=folder.name, disable=not progress) as bar,
        ThreadPoolExecutor(max_workers=4) as pool,
    ):
        running = [pool.submit(one, path, commit) for path, commit in wanted.items()]
        try:
            for task in running:
                bar.update(task.result())
        except BaseException:
            for task in running:
                task.cancel()
            raise


def _write_readme(folder: Path, commit: _Commit, fetched: Sequence[_Found]) -> None:
    """Write the data set's README with only the configs and splits that lie in the folder.

    With the original one ``datasets.load_dataset(folder, config)`` would look for every split that the Hub has, and
    refuse.
    """
    earlier = hub_layout.read_head(folder)
    present: dict[str, hub_layout.Splits] = {
        config: {name: paths for name, paths in splits.items() if all((folder / path).is_file() for path in paths)}
        for config, splits in hub_layout.find_named_configs(earlier, _below(folder)).items()
    }
    for split in fetched:
        present.setdefault(split.need.config, {})[split.need.split] = split.paths
    head = hub_layout.head_of_part(present, earlier, commit.head)
    front = yaml.safe_dump(head, allow_unicode=True, sort_keys=False, width=1000)
    origin = f"<!-- Fetched by xharness from {commit.repo} on the Hub; `configs` names what lies here. -->\n"
    files.write_text(folder / "README.md", f"---\n{front}---\n{origin}{commit.text}")


def _below(folder: Path) -> list[str]:
    paths = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    return [p.as_posix() for p in paths if not p.parts[0].startswith(".")]
