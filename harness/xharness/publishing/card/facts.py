"""Gather the facts of a model card; list everything that is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from xharness.checkpoints import heads, training_record, zoo
from xharness.checkpoints.checkpoint import Checkpoint
from xharness.checkpoints.heads import CheckpointRecord, Head
from xharness.checkpoints.training_record import Record
from xharness.errors import ModelError, did_you_mean
from xharness.hardware import find_gpu
from xharness.hub.errors import SHA
from xharness.hub.read import is_hub_id
from xharness.metrics.seeds import COLLAPSED, DIVERGED
from xharness.publishing.card import licences
from xharness.publishing.card import prose as card_prose
from xharness.publishing.card import scores as card_scores
from xharness.publishing.card import training as card_training
from xharness.publishing.card.content import Base, Card, Scores, Training, TrainingSet
from xharness.publishing.card.prose import ADOPTED, ENCODER, GIVEN, OTHER, SEVERAL, TUNED, Prose
from xharness.publishing.card.publisher_facts import NONE, RECORDED_FIELDS, GivenSet, MissingFacts
from xharness.publishing.card.publisher_facts import Facts as Facts
from xharness.publishing.card.publisher_facts import read_facts as read_facts
from xharness.results.runs import Run
from xharness.text import shorten_paths


def gather_facts(
    folder: Path,
    checkpoint: Checkpoint,
    repo: str,
    runs: Sequence[Run],
    facts: Facts,
    *,
    adopt: bool = False,
    allow_collapsed: bool = False,
    public: bool = True,
) -> Card:
    """Return the content of a checkpoint's card.

    Args:
        folder: folder of the checkpoint, with its training.json and xharness.json.
        checkpoint: the checkpoint as read from ``folder``.
        repo: ``org/name``.
        runs: runs of this checkpoint, already checked to belong to it.
        facts: facts from the publisher.
        adopt: xharness did not train the checkpoint; ``facts`` replace the training record.
        allow_collapsed: accept a training that ended at chance, and say so on the card.
        public: whether everybody can read the repository.

    Raises:
        PublishError: facts are missing or contradict the training record; lists all of them, with the lines to write.
        ModelError: training.json or xharness.json was not written by xharness.
        DataError: a score is impossible for its target.
    """
    record, own = _load_record(folder), _checkpoint_record(folder, checkpoint)
    missing = MissingFacts()
    training = _recorded_training(record, facts, missing) if record else _given_training(facts, missing)
    tasks = tuple(record.request["tasks"]) if record else tuple(facts.tasks)
    languages = tuple(record.request.get("languages", ()) if record else facts.languages)
    if record and facts.mlm_text:
        languages = tuple(dict.fromkeys([*languages, *facts.mlm_text.languages]))
    phase = (record.request.get("phase") if record else facts.phase) or (own.phase if own else "intermediate")
    prose = _prose(tasks, phase, record is None)
    base = _base_model(record, own, facts, missing)
    terms, summary = licences.derive_terms(prose, tasks, base, facts.licence), facts.summary or prose.summary
    unlicensed = facts.licence is None and (prose.licence.id == GIVEN or (base is not None and terms is None))
    _require(missing, developed_by=facts.developed_by is not None, licence=not unlicensed, summary=summary is not None)
    scores = card_scores.merge_runs(runs)
    missing.problems += _interval_problems(scores)
    warnings = _warnings(record, training, allow_collapsed, public, missing)
    missing.raise_if_any(repo, "" if record or adopt else _adopt_hint(folder))
    assert terms is not None
    assert base is not None
    assert summary is not None
    assert facts.developed_by is not None
    head = _example_head(checkpoint)
    return Card(
        repo=repo,
        prose=prose,
        summary=summary,
        phase=phase,
        adopted=record is None,
        warnings=tuple(warnings),
        tasks=tasks,
        languages=languages,
        base=base,
        terms=terms,
        developed_by=facts.developed_by,
        contact=facts.contact,
        kind=(head.kind if head else checkpoint.head) or ENCODER,
        head=head,
        heads=tuple(h for h in checkpoint.heads.values() if h.file),
        training=training,
        scores=scores,
        checkpoint=checkpoint.id,
    )


def _require(missing: MissingFacts, **is_known: bool) -> None:
    """Add the facts that every card needs and that are not known to ``missing``."""
    reasons = {
        "developed_by": "a card names who is responsible for the checkpoint.",
        "licence": "model_cards/ has no license for such weights.",
        "summary": "model_cards/ has no summary for this checkpoint.",
    }
    missing.fields |= {name: reasons[name] for name, known in is_known.items() if not known}


def _load_record(folder: Path) -> Record | None:
    """Return the training record of a checkpoint, None if it has none.

    Raises:
        ModelError: training.json was not written by xharness.
    """
    record = training_record.load(folder)
    problem = training_record.record_problems(record) if record is not None else None
    if problem is not None:
        raise ModelError(f"{folder / training_record.FILE}: not a training record of xharness: {problem}. Train again.")
    return record


def _checkpoint_record(folder: Path, checkpoint: Checkpoint) -> CheckpointRecord | None:
    path = folder / heads.FILE
    files = [head.file for head in checkpoint.heads.values() if head.file]
    return heads.read(path, str(folder), files) if path.is_file() else None


def _adopt_hint(folder: Path) -> str:
    """Return the hint for a checkpoint that xharness did not train."""
    return (
        f" {folder} has no {training_record.FILE}: xharness did not train it. Publish such a checkpoint with --adopt "
        "and give the facts of its training yourself."
    )


def _warnings(
    record: Record | None, training: Training, allow_collapsed: bool, public: bool, missing: MissingFacts
) -> list[str]:
    """Return the warnings at the top of the card."""
    warnings = [] if public else ["This repository was private when it was published: log in first (hf auth login)."]
    if record is not None:
        warnings += _status_warnings(record, allow_collapsed, missing)
    warnings += card_training.other_data(record) if record is not None else []
    if training.partial:
        warnings.append(
            f"Trained on partial data: {training.partial}. It is not a checkpoint of the complete training set."
        )
    return warnings


def _recorded_training(record: Record, facts: Facts, missing: MissingFacts) -> Training:
    """Describe the training from its record; add facts that the record lacks or that contradict it to ``missing``."""
    given = [name for name in RECORDED_FIELDS if getattr(facts, name) not in (None, [])]
    if given:
        missing.problems.append(
            f"{', '.join(given)}: {training_record.FILE} contains this already. Remove it from the file of facts."
        )
    device = str(record.hardware.get("device"))
    if facts.watts is None and find_gpu(device) is None:
        missing.fields["watts"] = (
            f"the power of '{device}' is not in gpus.yaml, and the training's energy is estimated from it."
        )
    for name in card_training.licence_missing(record):
        missing.problems.append(
            f"{name}: neither {training_record.FILE} nor a spec has the license of this training data. Train with a "
            "task file that has a 'licence'."
        )
    training = card_training.from_record(record, facts.watts)
    if not record.request.get("mlm"):
        if facts.mlm_text is not None:
            missing.problems.append("mlm_text: this training did no masked language modeling.")
    elif facts.mlm_text is None:
        missing.fields["mlm_text"] = (
            "masked language modeling ran alongside the tasks, but the record does not name its text."
        )
    else:
        text = _given_set(facts.mlm_text, ["masked language modeling"], facts.mlm_text.languages)
        return replace(training, sets=(*training.sets, text))
    return training


def _status_warnings(record: Record, allow_collapsed: bool, missing: MissingFacts) -> list[str]:
    """Return the warning for a collapsed training; add a training that may not be published to ``missing``."""
    why = shorten_paths(record.reason or "no reason is recorded")
    if record.status == DIVERGED:
        missing.problems.append(f"The training diverged ({why}), so there is no checkpoint. Train with another seed.")
    if record.status != COLLAPSED:
        return []
    if not allow_collapsed:
        missing.problems.append(
            f"The training collapsed ({why}). Train with another seed; or publish it, marked as collapsed, with "
            "--allow-collapsed."
        )
    return [f"The training collapsed: {why}. This checkpoint is published to document that. Do not use it."]


def _given_training(facts: Facts, missing: MissingFacts) -> Training:
    """Describe the training of a checkpoint without a record from the facts; add missing facts to ``missing``."""
    reasons = {
        "phase": "a card says whether the checkpoint is intermediate or tuned for a target.",
        "tasks": "scores mean little if the training tasks are not known.",
        "languages": "which scores are zero-shot depends on the training languages.",
        "training_data": "a card names the data and its license.",
        "recipe": "the training could not be reproduced.",
        "seeds": "the training could not be reproduced.",
        "hardware": "a card states the cost of the training.",
        "seconds": "a card states the cost of the training.",
        "watts": "the training's energy is estimated from it.",
    }
    missing.fields |= {name: why for name, why in reasons.items() if getattr(facts, name) in (None, [])}
    return card_training.from_publisher(
        [_given_set(data, facts.tasks, facts.languages) for data in facts.training_data],
        recipe=facts.recipe or "",
        seeds=facts.seeds,
        hardware=facts.hardware or "",
        seconds=facts.seconds or 0.0,
        watts=facts.watts or 0.0,
    )


def _given_set(given: GivenSet, tasks: Sequence[str], languages: Sequence[str]) -> TrainingSet:
    return TrainingSet(
        task=", ".join(tasks),
        title=given.name,
        paper=None,
        source=given.id or given.name,
        on_hub=given.id is not None and is_hub_id(given.id),
        revision=None,
        language=" ".join(languages),
        split="not recorded",
        licence=given.licence,
        status="not recorded",
        origin="not recorded",
        used=given.rows,
        available=None,
    )


def _prose(tasks: Sequence[str], phase: str, adopted: bool) -> Prose:
    if adopted:
        return card_prose.load(ADOPTED)
    if phase == "target":
        return card_prose.load(TUNED)
    if len(tasks) > 1:
        return card_prose.load(SEVERAL)
    return card_prose.load(tasks[0] if tasks and tasks[0] in card_prose.names() else ADOPTED)


def _base_model(
    record: Record | None, own: CheckpointRecord | None, facts: Facts, missing: MissingFacts
) -> Base | None:
    """Return the base model; add what is not known of it to ``missing``."""
    name, identity = "", ""
    if record is not None:
        name, identity = str(record.request["base"]["name"]), str(record.request["base"]["id"])
    elif own is not None:
        name, identity = own.base_name, own.base_id
    name = name.partition("@")[0]
    read_there = bool(SHA.fullmatch(identity)) and is_hub_id(name)
    if read_there and facts.base_model not in (None, name):
        missing.problems.append(f"base_model: found '{facts.base_model}', but training started from {name}.")
    model = name if read_there else facts.base_model
    if model is None:
        where = f"training started from the local folder '{shorten_paths(name)}'" if name else "no record names it"
        missing.fields["base_model"] = f"{where}; readers need its id on the Hub."
    elif model != NONE and not is_hub_id(model):
        missing.problems.append(f"base_model: found '{model}', expected ORG/NAME on the Hub, or none.")
    if model == NONE and facts.base_note is None:
        missing.fields["base_note"] = "with 'base_model: none', readers need to know what training started from."
    known = zoo.load().encoder_of(model) if model not in (None, NONE) else None
    licence = facts.base_licence or (known.licence if known else None)
    if licence is None:
        missing.fields["base_licence"] = "the weights are derived from the base model, and zoo.yaml does not list it."
    elif licence not in card_prose.licences():
        hint = did_you_mean(licence, card_prose.licences())
        missing.problems.append(f"base_licence: unknown license '{licence}'.{hint} licences.yaml lists them.")
    elif licence == OTHER and facts.licence is None:
        missing.fields["licence"] = "the license of the base has no identifier on the Hub; give name and link."
    if model is None or licence not in card_prose.licences():
        return None
    return Base(
        model=None if model == NONE else model,
        title=known.title if known else ("an encoder with random weights" if model == NONE else model),
        revision=identity if read_there else None,
        content=None if read_there or not identity else identity,
        licence=licence,
        note=facts.base_note,
    )


def _interval_problems(scores: Scores) -> list[str]:
    languages: dict[str, list[str]] = {}
    for section in scores.sections:
        for name, codes in card_scores.without_interval(section).items():
            languages.setdefault(name, []).extend(codes)
    return [
        f"{name}: no confidence interval for {' '.join(dict.fromkeys(codes))}. Run eval again: it scores the stored "
        "predictions without running the model."
        for name, codes in languages.items()
    ]


def _example_head(checkpoint: Checkpoint) -> Head | None:
    """Return the head for the example code: the model's own, else the first whose labels are readable words."""
    own = [head for head in checkpoint.heads.values() if head.file is None]
    others = sorted(checkpoint.heads.values(), key=lambda head: head.kind == "tagging")
    return next(iter([*own, *others]), None)
