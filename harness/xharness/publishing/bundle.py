"""Collect everything that is published of a checkpoint: weights, card, results, record."""

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
from xharness.publishing.runs import Collected
from xharness.results.runs import Run

CARD = "README.md"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.joblib", "*.npy", "*.npz")
OTHER_WEIGHTS = ("*.h5", "*.msgpack", "*.onnx", "*.onnx_data", "*.tflite", "*.ot", "*.gguf", "*.mlmodel")

_TOKENIZER = "tokenizer_config.json"
# The rules of the Hub's client, which has them from the Hub; it is not loaded for them.
_NAME = re.compile(r"(?!-|\.)[A-Za-z0-9_.-]+(?<![-.])")
_TOKEN = re.compile(r"(?<![\w/])hf_[A-Za-z0-9]{30,}(?!\w)")


@dataclass(frozen=True)
class Bundle:
    """All that goes into the repository.

    Attributes:
        repo: ``org/name``.
        folder: what is published.
        checkpoint: the same, as it was read.
        record: its training.json; None for a checkpoint of another's, which was adopted.
        card: the text of README.md.
        files: sorted by path, the card among them.
        parts: paths of the files that make up the checkpoint, and its content hash.
        shas: commits of the repository that results were made with, at which it has to hold the same model.
        notes: what is to be known before it is sent.
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
        """How the first line of the commit begins, and the name of a pull request; xharness' version follows."""
        of = f"training {self.record.key}" if self.record is not None else f"checkpoint {self.checkpoint.id[:12]}"
        return f"Publish {self.repo.partition('/')[2]} ({of}"

    @property
    def size(self) -> int:
        """Bytes in all."""
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
    """Return what would be published, all of it checked that can be checked without the Hub.

    Args:
        folder: the checkpoint.
        repo: ``org/name``.
        facts: what the user says where the record is silent.
        results: RUNs of the checkpoint, or folders that hold some.
        no_results: the checkpoint is published without scores.
        adopt: it was not trained by xharness, and has no training.json.
        allow_collapsed: a training that ended at chance is published as such.
        public: everybody will be able to read it.

    Raises:
        PublishError: names all that keeps it from being published.
        ModelError: the folder holds no checkpoint, or a damaged one.
    """
    problems = list(_wrong_name(repo))
    if not folder.is_dir():
        raise PublishError("\n".join([f"{folder}: there is no such folder.{nearest_folder(folder)}", *problems]))
    if (folder / training_record.RUNNING).exists():
        problems.append(
            f"{folder}: a training in this folder has not come to its end "
            f"({training_record.RUNNING}/ is there). Wait for it, or run the same "
            "`xharness train` again: it goes on, or tidies up behind itself."
        )
    digests = Digests()
    checkpoint = checkpoints_files.read_folder(str(folder), folder, False, digests.of)
    record = training_record.load(folder)
    parts = checkpoints_files.list_parts(str(folder), folder, checkpoint.files)
    pictures = [training_record.CURVE] if (folder / training_record.CURVE).is_file() else []
    problems += _wrong_parts(folder, [*parts, *pictures], checkpoint)
    if record is not None and isinstance(record.weights, dict):  # what else it may be is said where the card is made
        problems += _wrong_weights(folder, record, parts, digests)
    collected = publishing_runs.collect(results, checkpoint, repo)
    problems += _wrong_results(folder, results, no_results, collected)
    content: dict[str, bytes] = {}
    if not collected.problems and repo.isprintable():
        try:
            content = _written(folder, checkpoint, repo, collected.runs, facts, adopt, allow_collapsed, public)
            if record is not None:
                content[training_record.FILE] = publishing_runs.as_json(asdict(record))
            content |= publishing_runs.copies(collected.runs)
        except PublishError as error:
            problems.append(str(error))
    problems += _with_token(content)
    if problems:
        raise PublishError("\n".join(problems))
    local = [digests.file(folder, path) for path in [*parts, *pictures]]
    written_files = [in_memory_file(path, text) for path, text in content.items()]
    return Bundle(
        repo=repo,
        folder=folder,
        checkpoint=checkpoint,
        record=record,
        card=content[CARD].decode(),
        files=tuple(sorted([*local, *written_files], key=lambda file: file.path)),
        parts=frozenset(parts),
        shas=frozenset(collected.shas),
        notes=(*collected.notes, *_folder_notes(folder, {file.path for file in [*local, *written_files]})),
    )


def _written(
    folder: Path,
    checkpoint: Checkpoint,
    repo: str,
    runs: Sequence[Run],
    facts: Facts,
    adopt: bool,
    allow_collapsed: bool,
    public: bool,
) -> dict[str, bytes]:
    """Return the card and the files of Community Evals, both proved to be valid."""
    card = card_facts.gather_facts(
        folder, checkpoint, repo, runs, facts, adopt=adopt, allow_collapsed=allow_collapsed, public=public
    )
    text = render.render(card)
    problems = [f"{CARD}: {problem}" for problem in render.problems(text)]
    problems += _not_of_the_zoo(card, _base_name(folder))
    home = str(Path.home())
    if len(home) > 1 and (f"{home}/" in text or str(folder.resolve()) in text):
        problems.append(f"{CARD}: it names a folder of this machine. Look at --card, and at the facts that you gave.")
    if problems:
        raise PublishError("\n".join(problems))
    evals: Mapping[str, str] = card_metadata.eval_results(card, repo)
    return {CARD: text.encode(), **{path: yaml.encode() for path, yaml in evals.items()}}


def _wrong_results(folder: Path, results: Sequence[Path], no_results: bool, collected: Collected) -> list[str]:
    """Return what is wrong with the results that were given, or that none were."""
    if not results and not no_results:
        return [
            f"{folder}: no results were given. Score it with `xharness eval --model {folder} --targets xtreme-r`, and "
            "give --results DIR; or say --no-results, and the card says that it was not evaluated."
        ]
    if results and not collected.runs and not collected.problems:
        why = "; ".join(collected.notes)
        return [
            f"{', '.join(map(str, results))}: no RUN of this checkpoint was found ({why}). Score it with "
            f"`xharness eval --model {folder}`, or leave --results out and say --no-results."
        ]
    return collected.problems


def _wrong_name(repo: str) -> list[str]:
    owner, slash, name = repo.partition("/")
    valid = slash and _NAME.fullmatch(owner) and _NAME.fullmatch(name) and len(repo) <= 96
    if valid and "--" not in repo and ".." not in repo and not repo.endswith(".git"):
        return []
    return [
        f"{repo!a} cannot be the name of a repository. Give ORG/NAME (or USER/NAME), of letters, digits, '-', '_' "
        "and '.', at most 96 characters, without '--' and '..', and with neither '-' nor '.' at an end."
    ]


def _with_token(content: Mapping[str, bytes]) -> list[str]:
    """Return a sentence if a file that is written for the Hub holds what looks like one of its tokens."""
    holding = [path for path, text in sorted(content.items()) if _TOKEN.search(text.decode())]
    if not holding:
        return []
    return [
        f"{', '.join(holding[:4])}: a token of the Hub (hf_...) would stand in it. Take it out of the facts or the "
        "record that it comes from, and revoke it in your settings on the Hub."
    ]


def _not_of_the_zoo(card: Card, base: str | None) -> list[str]:
    """Return a sentence if the zoo has the repository's name for a checkpoint that this is not."""
    entry = zoo.load().get(card.name)
    if entry is None:
        return []
    several = entry.task == SEVERAL and len(card.tasks) > 1
    of_task = (several or card.tasks == (entry.task,)) and card.phase == entry.phase
    if of_task and entry.encoder.model in (card.base.model, base):
        return []
    return [
        f"{card.repo}: '{entry.name}' is the zoo's name for {entry.encoder.model} trained on {entry.task}, and this is "
        f"{card.base.model or base or 'another encoder'} trained on {', '.join(card.tasks)}. Choose another name."
    ]


def _base_name(folder: Path) -> str | None:
    """Return what xharness.json calls the checkpoint that training began with."""
    path = folder / heads.FILE
    if not path.is_file():
        return None
    name: str = json.loads(path.read_text(encoding="utf-8"))["base"]["name"]
    return name


def _wrong_parts(folder: Path, parts: Sequence[str], checkpoint: Checkpoint) -> list[str]:
    """Return what is wrong with the files of the folder: code, and links that lead out of it."""
    problems = []
    named = ["config.json"] if checkpoint.remote_code else []
    if _TOKENIZER in parts and b'"auto_map"' in (folder / _TOKENIZER).read_bytes():
        named.append(_TOKENIZER)
    if named:
        problems.append(
            f"{folder}: {' and '.join(named)}: Python code is named (auto_map), which xharness neither publishes nor "
            "pulls. Save model and tokenizer with classes that transformers has."
        )
    empty = [part for part in parts if not (folder / part).stat().st_size]
    if empty:
        problems.append(f"{folder}: {', '.join(empty)}: nothing is in it. Copy or save the checkpoint again.")
    outside = [part for part in parts if not (folder / part).resolve().is_relative_to(folder.resolve())]
    if outside:
        problems.append(
            f"{folder}: {', '.join(outside[:4])}{' ...' if len(outside) > 4 else ''}: a link that leads out of the "
            "folder. Copy the checkpoint with its files (cp -rL) and publish the copy."
        )
    return problems


def _wrong_weights(folder: Path, record: Record, parts: Sequence[str], digests: Digests) -> list[str]:
    """Return where the weights that would be sent are not those that the training wrote."""
    weights = [part for part in parts if part.endswith(".safetensors")]
    unknown = [part for part in weights if part not in record.weights]
    if unknown:
        return [
            f"{folder}: {training_record.FILE} does not know {', '.join(unknown)}: it is of another checkpoint. Copy "
            "or train the checkpoint again."
        ]
    sent = replace(record, weights={name: digest for name, digest in record.weights.items() if name in weights})
    try:
        training_record.check_weights(sent, folder, digests.of)
    except XharnessError as error:
        return [f"{error} {training_record.FILE} is of other weights. Copy or train the checkpoint again."]
    return []


def _folder_notes(folder: Path, sent: set[str]) -> list[str]:
    """Return what of the folder stays here, and what is sent though it names this machine."""
    notes = []
    rest = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir() if path.name not in sent)
    rest = [name for name in rest if name != "heads/" and not name.startswith(".")]
    pickles = [name for name in rest if any(fnmatchcase(name, pattern) for pattern in PICKLES + OTHER_WEIGHTS)]
    if pickles:
        notes.append(f"not sent, since xharness publishes safetensors only: {', '.join(pickles)}")
    others = [name for name in rest if name not in pickles]
    if others:
        notes.append(f"not sent: {', '.join(others[:8])}{' ...' if len(others) > 8 else ''}")
    base = _base_name(folder)
    if base is not None and text_module.holds_path(base):
        notes.append(f"{heads.FILE} counts in the checkpoint's hash and goes as it is; it names the base '{base}'")
    return notes
