"""Collect everything that is published of a checkpoint: weights, card, results, training record."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from xharness import text as text_module
from xharness.checkpoints import files as checkpoints_files
from xharness.checkpoints import heads, training_record, zoo
from xharness.checkpoints.checkpoint import Checkpoint
from xharness.checkpoints.training_record import Record
from xharness.errors import PublishError, XharnessError, nearest_folder
from xharness.hub.upload import Digests, File, in_memory_file
from xharness.publishing import runs as publishing_runs
from xharness.publishing.card import facts as card_facts
from xharness.publishing.card import metadata as card_metadata
from xharness.publishing.card import render
from xharness.publishing.card.content import Card
from xharness.publishing.card.facts import Facts
from xharness.publishing.card.prose import SEVERAL
from xharness.publishing.runs import CollectedRuns
from xharness.results.runs import Run

CARD = "README.md"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.joblib", "*.npy", "*.npz")
OTHER_WEIGHTS = ("*.h5", "*.msgpack", "*.onnx", "*.onnx_data", "*.tflite", "*.ot", "*.gguf", "*.mlmodel")

_TOKENIZER = "tokenizer_config.json"
# The Hub's rules for names, copied from huggingface_hub so that it need not be imported.
_NAME = re.compile(r"(?!-|\.)[A-Za-z0-9_.-]+(?<![-.])")
_TOKEN = re.compile(r"(?<![\w/])hf_[A-Za-z0-9]{30,}(?!\w)")


@dataclass(frozen=True)
class Bundle:
    """All files that go into the repository.

    Attributes:
        repo: ``org/name``.
        folder: the checkpoint's folder.
        checkpoint: the checkpoint as read from ``folder``.
        record: its training record; None for an adopted checkpoint, which xharness did not train.
        card: text of README.md.
        files: all files sorted by path, README.md included.
        parts: paths of the files that make up the checkpoint and that its content hash covers.
        shas: commits of the repository at which results were computed. The repository must hold the same model there.
        notes: remarks for the user before anything is sent.
    """

    repo: str
    folder: Path
    checkpoint: Checkpoint
    record: Record | None
    card: str
    files: tuple[File, ...]
    parts: frozenset[str]
    shas: frozenset[str]
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """Start of the commit's first line and of a pull request's title; the version of xharness follows."""
        source = f"training {self.record.key}" if self.record is not None else f"checkpoint {self.checkpoint.id[:12]}"
        return f"Publish {self.repo.partition('/')[2]} ({source}"

    @property
    def size(self) -> int:
        """Total size in bytes."""
        return sum(file.size for file in self.files)


def prepare(
    folder: Path,
    repo: str,
    facts: Facts,
    *,
    results: Sequence[Path] = (),
    no_results: bool = False,
    adopt: bool = False,
    allow_collapsed: bool = False,
    public: bool = True,
) -> Bundle:
    """Return the files to publish, after every check that needs no Hub.

    Args:
        folder: the checkpoint.
        repo: ``org/name``.
        facts: facts from the publisher that no record holds.
        results: run folders of the checkpoint, or folders that contain run folders.
        no_results: publish without scores.
        adopt: xharness did not train the checkpoint, so it has no training.json.
        allow_collapsed: publish a training that ended at chance, marked as such.
        public: whether everybody can read the repository.

    Raises:
        PublishError: lists every problem that prevents publishing.
        ModelError: the folder holds no checkpoint or a damaged one.
    """
    problems = list(_name_problems(repo))
    if not folder.is_dir():
        raise PublishError("\n".join([f"{folder}: folder does not exist.{nearest_folder(folder)}", *problems]))
    problems += _unfinished_training(folder)
    digests = Digests()
    checkpoint = checkpoints_files.read_folder(str(folder), folder, False, digests.of)
    record = training_record.load(folder)
    parts = checkpoints_files.list_parts(str(folder), folder, checkpoint.files)
    pictures = [training_record.CURVE] if (folder / training_record.CURVE).is_file() else []
    problems += _file_problems(folder, [*parts, *pictures], checkpoint)
    if record is not None and isinstance(record.weights, dict):  # gather_facts reports records with other weights
        problems += _weight_problems(folder, record, parts, digests)
    collected = publishing_runs.collect(results, checkpoint, repo)
    problems += _result_problems(folder, results, no_results, collected)
    content: dict[str, bytes] = {}
    if not collected.problems and repo.isprintable():
        try:
            content = _render_card(folder, checkpoint, repo, collected.runs, facts, adopt, allow_collapsed, public)
            if record is not None:
                content[training_record.FILE] = publishing_runs.to_json_bytes(asdict(record))
            content |= publishing_runs.published_files(collected.runs)
        except PublishError as error:
            problems.append(str(error))
    problems += _token_problems(content)
    if problems:
        raise PublishError("\n".join(problems))
    files = [digests.file(folder, path) for path in [*parts, *pictures]]
    files += [in_memory_file(path, text) for path, text in content.items()]
    return Bundle(
        repo=repo,
        folder=folder,
        checkpoint=checkpoint,
        record=record,
        card=content[CARD].decode(),
        files=tuple(sorted(files, key=lambda file: file.path)),
        parts=frozenset(parts),
        shas=frozenset(collected.shas),
        notes=(*collected.notes, *_folder_notes(folder, {file.path for file in files})),
    )


def _unfinished_training(folder: Path) -> list[str]:
    """Return a problem if a training in the folder has not finished."""
    if not (folder / training_record.RUNNING).exists():
        return []
    return [
        f"{folder}: a training in this folder has not finished ({training_record.RUNNING}/ exists). Wait for it, or "
        "run the same `xharness train` again: it resumes, or cleans up after itself."
    ]


def _render_card(
    folder: Path,
    checkpoint: Checkpoint,
    repo: str,
    runs: Sequence[Run],
    facts: Facts,
    adopt: bool,
    allow_collapsed: bool,
    public: bool,
) -> dict[str, bytes]:
    """Return the validated card and the files of Community Evals."""
    card = card_facts.gather_facts(
        folder, checkpoint, repo, runs, facts, adopt=adopt, allow_collapsed=allow_collapsed, public=public
    )
    text = render.render(card)
    problems = [f"{CARD}: {problem}" for problem in render.problems(text)]
    problems += _zoo_name_problems(card, _base_name(folder))
    home = str(Path.home())
    if len(home) > 1 and (f"{home}/" in text or str(folder.resolve()) in text):
        problems.append(f"{CARD}: contains a path of this machine. Look at --card and at your file of facts.")
    if problems:
        raise PublishError("\n".join(problems))
    evals: Mapping[str, str] = card_metadata.eval_results(card, repo)
    return {CARD: text.encode(), **{path: yaml.encode() for path, yaml in evals.items()}}


def _result_problems(folder: Path, results: Sequence[Path], no_results: bool, collected: CollectedRuns) -> list[str]:
    """Return what is wrong with the given results, or that none were given."""
    if not results and not no_results:
        return [
            f"{folder}: no results were given. Evaluate it with `xharness eval --model {folder} --targets xtreme-r` "
            "and pass --results DIR; or pass --no-results, and the card says that it was not evaluated."
        ]
    if results and not collected.runs and not collected.problems:
        why = "; ".join(collected.notes)
        return [
            f"{', '.join(map(str, results))}: no run of this checkpoint was found ({why}). Evaluate it with "
            f"`xharness eval --model {folder}`, or replace --results by --no-results."
        ]
    return collected.problems


def _name_problems(repo: str) -> list[str]:
    owner, slash, name = repo.partition("/")
    valid = slash and _NAME.fullmatch(owner) and _NAME.fullmatch(name) and len(repo) <= 96
    if valid and "--" not in repo and ".." not in repo and not repo.endswith(".git"):
        return []
    return [
        f"{repo!a} cannot be the name of a repository. Give ORG/NAME (or USER/NAME): letters, digits, '-', '_' and "
        "'.', at most 96 characters, without '--' and '..', neither part starting or ending with '-' or '.', and "
        "not ending with '.git'."
    ]


def _token_problems(content: Mapping[str, bytes]) -> list[str]:
    """Return a problem if a file written for the Hub contains what looks like an access token of the Hub."""
    paths = [path for path, text in sorted(content.items()) if _TOKEN.search(text.decode())]
    if not paths:
        return []
    return [
        f"{', '.join(paths[:4])}: contains an access token of the Hub (hf_...). Remove it from the facts or the "
        "training record that it comes from, and revoke it in your settings on the Hub."
    ]


def _zoo_name_problems(card: Card, base: str | None) -> list[str]:
    """Return a problem if the zoo uses the repository's name for a different checkpoint."""
    entry = zoo.load().get(card.name)
    if entry is None:
        return []
    both_multitask = entry.task == SEVERAL and len(card.tasks) > 1
    same_training = (both_multitask or card.tasks == (entry.task,)) and card.phase == entry.phase
    if same_training and entry.encoder.model in (card.base.model, base):
        return []
    return [
        f"{card.repo}: '{entry.name}' is the zoo's name for {entry.encoder.model} trained on {entry.task}, but this is "
        f"{card.base.model or base or 'another encoder'} trained on {', '.join(card.tasks)}. Choose another name."
    ]


def _base_name(folder: Path) -> str | None:
    """Return the name of the base model in xharness.json."""
    path = folder / heads.FILE
    if not path.is_file():
        return None
    name: str = json.loads(path.read_text(encoding="utf-8"))["base"]["name"]
    return name


def _file_problems(folder: Path, parts: Sequence[str], checkpoint: Checkpoint) -> list[str]:
    """Return what is wrong with the files of the folder: custom code, empty files, links out of the folder."""
    problems = []
    with_code = ["config.json"] if checkpoint.remote_code else []
    if _TOKENIZER in parts and b'"auto_map"' in (folder / _TOKENIZER).read_bytes():
        with_code.append(_TOKENIZER)
    if with_code:
        problems.append(
            f"{folder}: {' and '.join(with_code)}: refers to Python code (auto_map), which xharness neither publishes "
            "nor pulls. Save model and tokenizer with classes of transformers."
        )
    empty = [part for part in parts if not (folder / part).stat().st_size]
    if empty:
        problems.append(f"{folder}: {', '.join(empty)}: file is empty. Copy or save the checkpoint again.")
    outside = [part for part in parts if not (folder / part).resolve().is_relative_to(folder.resolve())]
    if outside:
        problems.append(
            f"{folder}: {', '.join(outside[:4])}{' ...' if len(outside) > 4 else ''}: a link that points out of the "
            "folder. Copy the checkpoint with its files (cp -rL) and publish the copy."
        )
    return problems


def _weight_problems(folder: Path, record: Record, parts: Sequence[str], digests: Digests) -> list[str]:
    """Return where the weights to publish differ from those that the training wrote."""
    weights = [part for part in parts if part.endswith(".safetensors")]
    unknown = [part for part in weights if part not in record.weights]
    if unknown:
        return [
            f"{folder}: {training_record.FILE} does not list {', '.join(unknown)}: it belongs to another checkpoint. "
            "Copy or train the checkpoint again."
        ]
    sent = replace(record, weights={name: digest for name, digest in record.weights.items() if name in weights})
    try:
        training_record.check_weights(sent, folder, digests.of)
    except XharnessError as error:
        return [f"{error} {training_record.FILE} describes other weights. Copy or train the checkpoint again."]
    return []


def _folder_notes(folder: Path, sent: set[str]) -> list[str]:
    """Return notes on files of the folder that are not sent, and on a local path that is."""
    notes = []
    rest = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir() if path.name not in sent)
    rest = [name for name in rest if name != "heads/" and not name.startswith(".")]
    pickles = [name for name in rest if any(fnmatchcase(name, pattern) for pattern in PICKLES + OTHER_WEIGHTS)]
    if pickles:
        notes.append(f"not sent, because xharness publishes safetensors only: {', '.join(pickles)}")
    others = [name for name in rest if name not in pickles]
    if others:
        notes.append(f"not sent: {', '.join(others[:8])}{' ...' if len(others) > 8 else ''}")
    base = _base_name(folder)
    if base is not None and text_module.holds_path(base):
        notes.append(
            f"{heads.FILE} is part of the checkpoint's hash and is sent unchanged; it names the base model '{base}'"
        )
    return notes
