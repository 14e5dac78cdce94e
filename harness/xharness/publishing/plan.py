"""What publishing would change on the Hub, and whether it may."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

from xharness.checkpoints import files as checkpoints_files
from xharness.checkpoints import heads, training_record
from xharness.errors import ModelError, PublishError, UsageError
from xharness.hub import read as hub_read
from xharness.hub import repository as hub_repository
from xharness.hub.errors import Unreachable
from xharness.hub.read import RemoteFile
from xharness.hub.repository import Account, PullRequestRef, RepoState
from xharness.hub.upload import File
from xharness.publishing.bundle import CARD, OTHER_WEIGHTS, PICKLES, Bundle
from xharness.text import strip_controls

# Files that a publication consists of. One that is in the repository and no longer in the bundle is deleted.
_OURS = (
    "results/*",
    ".eval_results/*",
    "heads/*",
    "*.safetensors",
    "model.safetensors.index.json",
    training_record.FILE,
    training_record.CURVE,
)
# Files that a repository without a model may have.
_NO_MODEL = (".gitattributes", ".gitignore", CARD, "LICENSE", "LICENSE.*", "LICENCE", "LICENCE.*")
# Names that git allows, in ASCII only. 40 hex digits would be read as a commit.
_REF = re.compile(r"(?!refs/|HEAD$|[0-9a-f]{40}$)(?!.*(\.\.|//|/\.|\.lock(/|$)))\w[\w./+-]{0,199}(?<![./])", re.ASCII)


@dataclass(frozen=True)
class Target:
    """Where and how a checkpoint is published.

    Attributes:
        branch: the branch to write to; None for main.
        tag: tag for the new commit.
        create_pr: open a pull request instead of writing to the branch.
        private: create a new repository as private.
        replace: overwrite a repository that holds another model.
        collection: title of a collection of the same owner that the repository is added to.
    """

    branch: str | None = None
    tag: str | None = None
    create_pr: bool = False
    private: bool = False
    replace: bool = False
    collection: str | None = None

    def check(self) -> None:
        """Raise UsageError if options cannot be used together or a name is invalid."""
        for flag, value in {"--revision": self.branch, "--tag": self.tag, "--private": self.private}.items():
            if self.create_pr and value:
                raise UsageError(
                    f"--create-pr and {flag} cannot be used together: a pull request changes main once merged."
                )
        for flag, name in (("--revision", self.branch), ("--tag", self.tag)):
            if name is not None and not _REF.fullmatch(name):
                raise UsageError(
                    f"{flag}: '{name}' is not a valid branch or tag name (letters, digits, '.', '_', '-', '/')."
                )
        if self.tag is not None and self.tag == (self.branch or "main"):
            raise UsageError(f"--tag: '{self.tag}' is the branch that is published to. Give the tag another name.")
        if self.collection is not None and not self.collection.strip():
            raise UsageError("--collection: give the title of the collection.")


@dataclass(frozen=True)
class Difference:
    """Differences between the files of a bundle and those of a repository.

    Attributes:
        new, changed, same: files of the bundle.
        deleted: paths in the repository that belong to a publication but are no longer in the bundle.
        kept: all other paths in the repository.
    """

    new: tuple[File, ...]
    changed: tuple[File, ...] = ()
    same: tuple[File, ...] = ()
    deleted: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.deleted)

    @property
    def to_send(self) -> tuple[File, ...]:
        """New and changed files, sorted by path."""
        return tuple(sorted([*self.new, *self.changed], key=lambda file: file.path))


@dataclass(frozen=True, kw_only=True)
class PublishPlan:
    """What publishing would change.

    Attributes:
        bundle: the files to publish.
        target: where they go.
        difference: to the repository; all files are new if the Hub could not be reached.
        compared: whether the Hub could be reached.
        repo_state: state of the repository; None if it does not exist or the Hub could not be reached.
        pull_request: the open pull request that is updated.
        creates_branch, creates_tag, adds_to_collection: whether the branch and the tag are created, and whether the
            repository is added to the collection.
        notes: remarks on the target.
    """

    bundle: Bundle
    target: Target
    difference: Difference
    compared: bool = True
    repo_state: RepoState | None = None
    pull_request: PullRequestRef | None = None
    creates_branch: bool = False
    creates_tag: bool = False
    adds_to_collection: bool = False
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing would change."""
        return not (self.difference or self.creates_branch or self.creates_tag or self.adds_to_collection)


def compare(bundle: Bundle, target: Target, who: Account | None = None) -> PublishPlan:
    """Return what publishing would change on the Hub.

    Args:
        bundle: the files to publish.
        target: where they go.
        who: the account whose open pull request is updated; None for anybody's.

    Raises:
        UsageError: options of the target cannot be used together.
        PublishError: the name is taken by something else, the tag is at another commit, results were computed with
            another model, or there is no repository for a pull request.
        ModelError: the Hub denies access.
    """
    target.check()
    try:
        state = hub_repository.repo_state(bundle.repo, target.branch)
    except Unreachable:
        notes = ("not compared with the Hub: it cannot be reached, or HF_HUB_OFFLINE is set",)
        return PublishPlan(
            bundle=bundle, target=target, difference=Difference(bundle.files), compared=False, notes=notes
        )
    if state is None:
        return _plan_new_repository(bundle, target)
    changes = difference(bundle, target, state.files)
    tagged = None if target.tag is None else state.tags.get(target.tag)
    problems = _name_taken(bundle, target, state) + _model_mismatches(bundle, state)
    if target.private and not state.private:
        problems.append(
            f"{bundle.repo}: --private is for new repositories, but this one exists and is public. Make it private "
            "in its settings on the Hub, or leave --private out."
        )
    if tagged is not None and (changes or tagged != state.sha):
        problems.append(
            f"{bundle.repo}: the tag '{target.tag}' is already at another commit ({tagged[:12]}). Others may rely on "
            "it, so it is not moved. Choose another tag."
        )
    if problems:
        raise PublishError(strip_controls("\n".join(problems)))
    pull_request = _open_pull_request(bundle, who) if target.create_pr and changes else None
    if pull_request is not None:
        changes = difference(bundle, target, hub_read.list_files(bundle.repo, pull_request.ref, "model"))
    remarks = []
    if target.branch is not None and not state.has_branch:
        remarks.append(f"the branch '{target.branch}' will be created from main")
    if state.private and not target.private:
        remarks.append("the repository is private and stays private")
    return PublishPlan(
        bundle=bundle,
        target=target,
        difference=changes,
        repo_state=state,
        pull_request=pull_request,
        creates_branch=target.branch is not None and not state.has_branch,
        creates_tag=target.tag is not None and tagged is None,
        adds_to_collection=_not_in_collection(bundle.repo, target),
        notes=tuple(remarks),
    )


def _plan_new_repository(bundle: Bundle, target: Target) -> PublishPlan:
    """Return the plan for a repository that does not exist."""
    if target.create_pr:
        raise PublishError(
            f"{bundle.repo}: repository does not exist (or this token may not see it), and a pull request needs one. "
            "Leave --create-pr out, or ask its owner to create it."
        )
    if bundle.shas:
        raise PublishError(
            f"{bundle.repo}: results were computed with this repository at {', '.join(sorted(bundle.shas))}, but "
            "it does not exist (or this token may not see it). Run eval with the folder, or log in."
        )
    branch = f", with the branch '{target.branch}'" if target.branch is not None else ""
    return PublishPlan(
        bundle=bundle,
        target=target,
        difference=Difference(bundle.files),
        creates_tag=target.tag is not None,
        adds_to_collection=target.collection is not None,
        notes=(f"the repository will be created{', private' if target.private else ''}{branch}",),
    )


def difference(bundle: Bundle, target: Target, existing: Mapping[str, RemoteFile]) -> Difference:
    """Compare the files of a bundle with those of a repository at a commit (path -> file)."""
    new, changed, same = list[File](), list[File](), list[File]()
    for file in bundle.files:
        remote = existing.get(file.path)
        (new if remote is None else same if file.is_same_as(remote) else changed).append(file)
    patterns = (*_OURS, *PICKLES, *OTHER_WEIGHTS) if target.replace else _OURS
    parts = checkpoints_files.find_parts(path for path in existing if "/" not in path)
    rest = sorted(existing.keys() - {file.path for file in bundle.files})
    deleted = [path for path in rest if path in parts or _is_one_of(path, patterns)]
    kept = [path for path in rest if path not in deleted]
    return Difference(tuple(new), tuple(changed), tuple(same), tuple(deleted), tuple(kept))


def _is_one_of(path: str, patterns: Iterable[str]) -> bool:
    """Whether a path matches a pattern; a pattern without a slash matches files at the root only."""
    return any(fnmatchcase(path, pattern) and ("/" in pattern or "/" not in path) for pattern in patterns)


def _name_taken(bundle: Bundle, target: Target, state: RepoState) -> list[str]:
    """Return a problem if the repository holds anything but a checkpoint of the same training."""
    models = sorted(path for path in state.files if not _is_one_of(path, _NO_MODEL))
    if target.replace or not models or _is_same_training(bundle, state):
        return []
    return [
        f"{bundle.repo}: this name is taken: the repository holds {len(models)} files of another model "
        f"({', '.join(models[:4])}{' ...' if len(models) > 4 else ''}). Choose another name, or overwrite the "
        "repository with --replace (its history keeps the old files)."
    ]


def _is_same_training(bundle: Bundle, state: RepoState) -> bool:
    files = state.files
    if bundle.record is None:
        # An adopted checkpoint has no training record, so its weights must equal those in the repository.
        weights = [file for file in bundle.files if file.path.endswith(".safetensors")]
        return training_record.FILE not in files and all(
            w.path in files and w.is_same_as(files[w.path]) for w in weights
        )
    if training_record.FILE not in files or heads.FILE not in files:
        return False
    try:
        published = json.loads(_published_record(bundle.repo, state))
        identity = (published["key"], published["seed"], published["request"]["base"]["id"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    record = bundle.record
    return identity == (record.key, record.seed, record.request["base"]["id"])


def _published_record(repo: str, state: RepoState) -> bytes:
    """Return the training.json of a repository after a check of its digest.

    Raises:
        ModelError: the download is damaged.
    """
    # Not through the client's cache, which would keep a damaged file for good.
    with TemporaryDirectory() as folder:
        path = hub_read.download_file(repo, state.sha, training_record.FILE, "model", Path(folder))
        if not state.files[training_record.FILE].is_at(path):
            raise ModelError(f"{repo}: {training_record.FILE} was damaged in transit. Run the same command again.")
        return path.read_bytes()


def _model_mismatches(bundle: Bundle, state: RepoState) -> list[str]:
    """Return a problem for each commit that results were computed with and that holds another model than the folder."""
    problems = []
    ours = {file.path: file for file in bundle.files if file.path in bundle.parts}
    for sha in sorted(bundle.shas):
        existing = state.files if sha == state.sha else hub_read.list_files(bundle.repo, sha, "model")
        parts = {*checkpoints_files.find_parts(path for path in existing if "/" not in path)}
        parts |= {path for path in existing if path in ours or _is_one_of(path, ("heads/*.safetensors",))}
        differing = {path for path in parts & ours.keys() if not ours[path].is_same_as(existing[path])}
        differing |= parts ^ ours.keys()
        if differing:
            problems.append(
                f"{bundle.repo}: results were computed with this repository at {sha[:12]}, which holds another model "
                f"than the folder ({', '.join(sorted(differing)[:4])}). Run eval with the folder."
            )
    return problems


def _open_pull_request(bundle: Bundle, who: Account | None) -> PullRequestRef | None:
    """Return the newest open pull request for this checkpoint."""
    candidates = hub_repository.open_pull_requests(bundle.repo, bundle.title)
    return next((candidate for candidate in candidates if who is None or candidate.author == who.name), None)


def _not_in_collection(repo: str, target: Target) -> bool:
    if target.collection is None:
        return False
    collection = hub_repository.find_collection(repo.partition("/")[0], target.collection, repo)
    return collection is None or repo not in collection.models
