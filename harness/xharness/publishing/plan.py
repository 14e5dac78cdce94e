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

# What a publication is made of: such a file that is there and is no longer ours goes with the commit.
_OURS = (
    "results/*",
    ".eval_results/*",
    "heads/*",
    "*.safetensors",
    "model.safetensors.index.json",
    training_record.FILE,
    training_record.CURVE,
)
# What a repository may hold that nobody has put a model into.
_NO_MODEL = (".gitattributes", ".gitignore", CARD, "LICENSE", "LICENSE.*", "LICENCE", "LICENCE.*")
# As git has it, and in ASCII; forty digits would be taken for a commit.
_REF = re.compile(r"(?!refs/|HEAD$|[0-9a-f]{40}$)(?!.*(\.\.|//|/\.|\.lock(/|$)))\w[\w./+-]{0,199}(?<![./])", re.ASCII)


@dataclass(frozen=True)
class Target:
    """Where and how something is published.

    Attributes:
        branch: None: main.
        tag: a name for the new commit.
        create_pr: open a pull request instead of writing to the branch.
        private: a repository that is made is private.
        replace: what stands there may be another model.
        collection: title of a collection of the same owner that the repository is put into.
    """

    branch: str | None = None
    tag: str | None = None
    create_pr: bool = False
    private: bool = False
    replace: bool = False
    collection: str | None = None

    def check(self) -> None:
        """Raise UsageError where the parts cannot be used together, or a name is none."""
        for flag, value in {"--revision": self.branch, "--tag": self.tag, "--private": self.private}.items():
            if self.create_pr and value:
                raise UsageError(f"--create-pr and {flag} cannot go together: a pull request changes main once merged.")
        for flag, name in (("--revision", self.branch), ("--tag", self.tag)):
            if name is not None and not _REF.fullmatch(name):
                raise UsageError(
                    f"{flag}: '{name}' is no name of a branch or tag (letters, digits, '.', '_', '-', '/')."
                )
        if self.tag is not None and self.tag == (self.branch or "main"):
            raise UsageError(f"--tag: '{self.tag}' is the branch that is written to. Give the tag another name.")
        if self.collection is not None and not self.collection.strip():
            raise UsageError("--collection: give the title of the collection.")


@dataclass(frozen=True)
class Difference:
    """How the files of a publication stand to those of a repository.

    Attributes:
        new, changed, same: the publication's files.
        deleted: paths that are there, and that a publication of this kind would have.
        kept: paths that are there and are not ours.
    """

    new: tuple[File, ...]
    changed: tuple[File, ...] = ()
    same: tuple[File, ...] = ()
    deleted: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.deleted)

    @property
    def sent(self) -> tuple[File, ...]:
        """The files that travel."""
        return tuple(sorted([*self.new, *self.changed], key=lambda file: file.path))


@dataclass(frozen=True, kw_only=True)
class PublishPlan:
    """What would be changed.

    Attributes:
        publication: what is sent.
        target: where.
        difference: to what stands on the Hub; where it was not asked, all files are new.
        reached: whether the Hub was asked.
        standing: what stands there; None if there is no repository, or the Hub was not asked.
        proposal: the open pull request that is gone on with.
        to_branch, to_tag, to_collect: whether branch and tag are to be made, and the repository to be put into the
            collection.
        notes: sentences on the target.
    """

    publication: Bundle
    target: Target
    difference: Difference
    reached: bool = True
    repo_state: RepoState | None = None
    proposal: PullRequestRef | None = None
    to_branch: bool = False
    to_tag: bool = False
    to_collect: bool = False
    notes: tuple[str, ...] = ()

    @property
    def has_nothing(self) -> bool:
        """Whether all is as it should be."""
        return not (self.difference or self.to_branch or self.to_tag or self.to_collect)


def compare(publication: Bundle, target: Target, who: Account | None = None) -> PublishPlan:
    """Return what publishing would change on the Hub.

    Args:
        publication: what is published.
        target: where.
        who: whose pull requests are gone on with; None: anybody's.

    Raises:
        UsageError: the target's parts cannot be used together.
        PublishError: the name is taken by something else, the tag stands elsewhere, results are of another model than
            the repository held, or there is no repository to propose anything to.
        ModelError: the Hub refuses to tell.
    """
    target.check()
    try:
        state = hub_repository.repo_state(publication.repo, target.branch)
    except Unreachable:
        notes = ("not compared with the Hub, which cannot be reached, or may not be (HF_HUB_OFFLINE)",)
        return PublishPlan(
            publication=publication, target=target, difference=Difference(publication.files), reached=False, notes=notes
        )
    if state is None:
        return _first(publication, target)
    changes = difference(publication, target, state.files)
    tagged = None if target.tag is None else state.tags.get(target.tag)
    problems = _taken(publication, target, state) + _other_model(publication, state)
    if target.private and not state.private:
        problems.append(
            f"{publication.repo}: --private is for new repositories, and this one is there and public. Make it private "
            "in its settings on the Hub, or leave --private out."
        )
    if tagged is not None and (changes or tagged != state.sha):
        problems.append(
            f"{publication.repo}: the tag '{target.tag}' stands at another commit ({tagged[:12]}), and a tag that "
            "others rely on is not moved. Choose another."
        )
    if problems:
        raise PublishError(strip_controls("\n".join(problems)))
    proposal = _proposal(publication, who) if target.create_pr and changes else None
    if proposal is not None:
        changes = difference(publication, target, hub_read.list_files(publication.repo, proposal.ref, "model"))
    remarks = []
    if target.branch is not None and not state.has_branch:
        remarks.append(f"the branch '{target.branch}' will be made, from main")
    if state.private and not target.private:
        remarks.append("the repository is private, and stays so")
    return PublishPlan(
        publication=publication,
        target=target,
        difference=changes,
        repo_state=state,
        proposal=proposal,
        to_branch=target.branch is not None and not state.has_branch,
        to_tag=target.tag is not None and tagged is None,
        to_collect=_to_collect(publication.repo, target),
        notes=tuple(remarks),
    )


def _first(publication: Bundle, target: Target) -> PublishPlan:
    """Return the plan for a repository that is not there."""
    if target.create_pr:
        raise PublishError(
            f"{publication.repo}: there is no such repository (or this token may not see it), and a pull request needs "
            "one. Leave --create-pr out, or have its owner make it."
        )
    if publication.shas:
        raise PublishError(
            f"{publication.repo}: results were made with this repository at {', '.join(sorted(publication.shas))}, but "
            "it is not there (or this token may not see it). Run eval with the folder, or log in."
        )
    branch = f", with the branch '{target.branch}'" if target.branch is not None else ""
    return PublishPlan(
        publication=publication,
        target=target,
        difference=Difference(publication.files),
        to_tag=target.tag is not None,
        to_collect=target.collection is not None,
        notes=(f"the repository will be made{', private' if target.private else ''}{branch}",),
    )


def difference(publication: Bundle, target: Target, there: Mapping[str, RemoteFile]) -> Difference:
    """Return how the files of a publication stand to those of a repository at a commit."""
    new, changed, same = list[File](), list[File](), list[File]()
    for file in publication.files:
        remote = there.get(file.path)
        (new if remote is None else same if file.is_same_as(remote) else changed).append(file)
    patterns = (*_OURS, *PICKLES, *OTHER_WEIGHTS) if target.replace else _OURS
    parts = checkpoints_files.find_parts(path for path in there if "/" not in path)
    rest = sorted(there.keys() - {file.path for file in publication.files})
    deleted = [path for path in rest if path in parts or _is_one_of(path, patterns)]
    kept = [path for path in rest if path not in deleted]
    return Difference(tuple(new), tuple(changed), tuple(same), tuple(deleted), tuple(kept))


def _is_one_of(path: str, patterns: Iterable[str]) -> bool:
    """Whether a path fits a pattern; one without a slash means files at the root."""
    return any(fnmatchcase(path, pattern) and ("/" in pattern or "/" not in path) for pattern in patterns)


def _taken(publication: Bundle, target: Target, state: RepoState) -> list[str]:
    """Return a sentence if the repository holds something else than this training's checkpoint."""
    models = sorted(path for path in state.files if not _is_one_of(path, _NO_MODEL))
    if target.replace or not models or _is_same_training(publication, state):
        return []
    return [
        f"{publication.repo}: this name is taken: the repository holds {len(models)} files that are not of this "
        f"training ({', '.join(models[:4])}{' ...' if len(models) > 4 else ''}). Choose another name; or, if what "
        "stands there is to be replaced, say --replace (its history keeps the old files)."
    ]


def _is_same_training(publication: Bundle, state: RepoState) -> bool:
    files = state.files
    if publication.record is None:
        # Nobody says how an adopted checkpoint was trained, so its weights have to be those that are there.
        weights = [file for file in publication.files if file.path.endswith(".safetensors")]
        return training_record.FILE not in files and all(
            w.path in files and w.is_same_as(files[w.path]) for w in weights
        )
    if training_record.FILE not in files or heads.FILE not in files:
        return False
    try:
        then = json.loads(_record_there(publication.repo, state))
        published = (then["key"], then["seed"], then["request"]["base"]["id"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    now = publication.record
    return published == (now.key, now.seed, now.request["base"]["id"])


def _record_there(repo: str, state: RepoState) -> bytes:
    """Return the training.json of a repository, proved by its digest: a damaged one says nothing of what is there."""
    # Not by the client's cache, which keeps a damaged file for good.
    with TemporaryDirectory() as to:
        path = hub_read.download_file(repo, state.sha, training_record.FILE, "model", Path(to))
        if not state.files[training_record.FILE].is_at(path):
            raise ModelError(f"{repo}: its {training_record.FILE} came damaged. Run the same command again.")
        return path.read_bytes()


def _other_model(publication: Bundle, state: RepoState) -> list[str]:
    """Return a sentence for each commit that results were made with, and that held another model than the folder."""
    problems = []
    ours = {file.path: file for file in publication.files if file.path in publication.parts}
    for sha in sorted(publication.shas):
        there = state.files if sha == state.sha else hub_read.list_files(publication.repo, sha, "model")
        parts = {*checkpoints_files.find_parts(path for path in there if "/" not in path)}
        parts |= {path for path in there if path in ours or _is_one_of(path, ("heads/*.safetensors",))}
        others = {path for path in parts & ours.keys() if not ours[path].is_same_as(there[path])}
        others |= parts ^ ours.keys()
        if others:
            problems.append(
                f"{publication.repo}: results were made with this repository at {sha[:12]}, which held another model "
                f"than the folder has ({', '.join(sorted(others)[:4])}). Run eval with the folder."
            )
    return problems


def _proposal(publication: Bundle, who: Account | None) -> PullRequestRef | None:
    """Return the newest open pull request with this checkpoint."""
    pull_requests = hub_repository.open_pull_requests(publication.repo, publication.title)
    return next((proposal for proposal in pull_requests if who is None or proposal.author == who.name), None)


def _to_collect(repo: str, target: Target) -> bool:
    if target.collection is None:
        return False
    collection = hub_repository.find_collection(repo.partition("/")[0], target.collection, repo)
    return collection is None or repo not in collection.models
