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
from xharness.publishing.card.publisher_facts import NONE, OF_RECORDS, GivenSet, MissingFacts
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
    """Return all that the card of a checkpoint says.

    Args:
        folder: of the checkpoint, with its training.json and xharness.json.
        checkpoint: the same, as it was read.
        repo: ``org/name``.
        runs: its RUNs, each known to be of this checkpoint.
        facts: what only the publisher knows.
        adopt: a checkpoint that xharness did not train is meant, and what the record would say is among the facts.
        allow_collapsed: a training that came to nothing better than chance is published as what it is.
        public: whether everybody can read the repository.

    Raises:
        PublishError: facts are missing or contradict the record; all of them are listed, with the lines to write.
        ModelError: training.json or xharness.json is none that xharness writes.
        DataError: a score cannot be what it says.
    """
    record, own = training_record.load(folder), _zoo_record(folder, checkpoint)
    wrong = training_record.record_problems(record) if record is not None else None
    if wrong is not None:
        raise ModelError(f"{folder / training_record.FILE}: not a training record of xharness: {wrong}. Train again.")
    lacking = MissingFacts()
    training = _of_record(record, facts, lacking) if record else _given(facts, lacking)
    tasks = tuple(record.request["tasks"]) if record else tuple(facts.tasks)
    languages = tuple(record.request.get("languages", ()) if record else facts.languages)
    if record and facts.mlm_text:
        languages = tuple(dict.fromkeys([*languages, *facts.mlm_text.languages]))
    phase = (record.request.get("phase") if record else facts.phase) or (own.phase if own else "intermediate")
    prose = _prose(tasks, phase, record is None)
    base = _base(record, own, facts, lacking)
    terms, summary = licences.terms(prose, tasks, base, facts.licence), facts.summary or prose.summary
    if facts.developed_by is None:
        lacking.fields["developed_by"] = "nobody would answer for the checkpoint."
    if facts.licence is None and (prose.licence.id == GIVEN or (base is not None and terms is None)):
        lacking.fields["licence"] = "nothing in model_cards/ says under which licence such weights are."
    if summary is None:
        lacking.fields["summary"] = "nothing in model_cards/ says what this checkpoint is."
    scores = card_scores.merge_runs(runs)
    lacking.problems += _without_interval(scores)
    warnings = _warnings(record, training, allow_collapsed, public, lacking)
    lacking.refuse(repo, "" if record or adopt else _foreign(folder))
    assert terms is not None
    assert base is not None
    assert summary is not None
    assert facts.developed_by is not None
    head = _shown_head(checkpoint)
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


def _zoo_record(folder: Path, checkpoint: Checkpoint) -> CheckpointRecord | None:
    path = folder / heads.FILE
    there = [head.file for head in checkpoint.heads.values() if head.file]
    return heads.read(path, str(folder), there) if path.is_file() else None


def _foreign(folder: Path) -> str:
    """Return what can be done with a checkpoint that xharness did not train."""
    return (
        f" {folder} has no {training_record.FILE}: xharness did not train it. Publish such a checkpoint with --adopt, "
        "and say yourself what a record would say."
    )


def _warnings(
    record: Record | None, training: Training, allow_collapsed: bool, public: bool, lacking: MissingFacts
) -> list[str]:
    """Return what a reader has to know before anything else."""
    warnings = [] if public else ["This repository was private when it was published: log in first (hf auth login)."]
    if record is not None:
        warnings += _status(record, allow_collapsed, lacking)
    warnings += card_training.other_data(record) if record is not None else []
    if training.partial:
        warnings.append(f"Trained on partial data: {training.partial}. It is no checkpoint of the whole training set.")
    return warnings


def _of_record(record: Record, facts: Facts, lacking: MissingFacts) -> Training:
    """Return how it was trained by its record, and note what the record cannot say or says otherwise."""
    given = [name for name in OF_RECORDS if getattr(facts, name) not in (None, [])]
    if given:
        lacking.problems.append(
            f"{', '.join(given)}: {training_record.FILE} says this already. Take it out of the file of facts."
        )
    device = str(record.hardware.get("device"))
    if facts.watts is None and find_gpu(device) is None:
        lacking.fields["watts"] = (
            f"the power of '{device}' is not in gpus.yaml, and the energy of the training is estimated from it."
        )
    for name in card_training.licence_missing(record):
        lacking.problems.append(
            f"{name}: neither {training_record.FILE} nor a spec tells the licence of this training data. Train with a "
            "task file that has a 'licence'."
        )
    training = card_training.of_record(record, facts.watts)
    if not record.request.get("mlm"):
        if facts.mlm_text is not None:
            lacking.problems.append("mlm_text: there was no masked language modelling in this training.")
    elif facts.mlm_text is None:
        lacking.fields["mlm_text"] = (
            "masked language modelling went on beside the tasks, and nothing says on which text."
        )
    else:
        text = _given_set(facts.mlm_text, ["masked language modelling"], facts.mlm_text.languages)
        return replace(training, sets=(*training.sets, text))
    return training


def _status(record: Record, allow_collapsed: bool, lacking: MissingFacts) -> list[str]:
    """Return the warning of a training that did not end well; one that nobody may publish is noted."""
    why = shorten_paths(record.reason or "no reason is recorded")
    if record.status == DIVERGED:
        lacking.problems.append(f"The training diverged ({why}), so there is no checkpoint. Train with another seed.")
    if record.status != COLLAPSED:
        return []
    if not allow_collapsed:
        lacking.problems.append(
            f"The training collapsed ({why}). Train with another seed; or publish it as what it is, with "
            "--allow-collapsed."
        )
    return [f"The training collapsed: {why}. This checkpoint is published to show that, and not to be used."]


def _given(facts: Facts, lacking: MissingFacts) -> Training:
    """Return how a checkpoint was trained that has no record, as its publisher says, and note what is not said."""
    reasons = {
        "phase": "an intermediate checkpoint and one tuned for a target are read differently.",
        "tasks": "the scores mean little where nobody knows what it was trained on.",
        "languages": "zero-shot is what it was not trained on.",
        "training_data": "a card names the data and its licence.",
        "recipe": "nobody could train it again.",
        "seeds": "nobody could train it again.",
        "hardware": "a card tells what the training took.",
        "seconds": "a card tells what the training took.",
        "watts": "the energy of the training is estimated from it.",
    }
    lacking.fields |= {name: why for name, why in reasons.items() if getattr(facts, name) in (None, [])}
    return card_training.as_given(
        [_given_set(each, facts.tasks, facts.languages) for each in facts.training_data],
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


def _base(record: Record | None, own: CheckpointRecord | None, facts: Facts, lacking: MissingFacts) -> Base | None:
    """Return what training began with, or note what is not known of it."""
    name, identity = "", ""
    if record is not None:
        name, identity = str(record.request["base"]["name"]), str(record.request["base"]["id"])
    elif own is not None:
        name, identity = own.base_name, own.base_id
    name = name.partition("@")[0]
    read_there = bool(SHA.fullmatch(identity)) and is_hub_id(name)
    if read_there and facts.base_model not in (None, name):
        lacking.problems.append(f"base_model: found '{facts.base_model}', but training began with {name}.")
    model = name if read_there else facts.base_model
    if model is None:
        where = f"training began with the local folder '{shorten_paths(name)}'" if name else "nothing says it"
        lacking.fields["base_model"] = f"{where}; readers need its id on the Hub."
    elif model != NONE and not is_hub_id(model):
        lacking.problems.append(f"base_model: found '{model}', expected ORG/NAME on the Hub, or none.")
    if model == NONE and facts.base_note is None:
        lacking.fields["base_note"] = "with 'base_model: none', readers have to learn what training began with."
    known = zoo.load().encoder_of(model) if model not in (None, NONE) else None
    licence = facts.base_licence or (known.licence if known else None)
    if licence is None:
        lacking.fields["base_licence"] = "the weights are derived from it, and zoo.yaml does not list it."
    elif licence not in card_prose.licences():
        hint = did_you_mean(licence, card_prose.licences())
        lacking.problems.append(f"base_licence: no licence '{licence}' is known.{hint} licences.yaml lists them.")
    elif licence == OTHER and facts.licence is None:
        lacking.fields["licence"] = "the licence of the base has no identifier on the Hub; give name and link."
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


def _without_interval(scores: Scores) -> list[str]:
    lacking: dict[str, list[str]] = {}
    for section in scores.sections:
        for name, codes in card_scores.without_interval(section).items():
            lacking.setdefault(name, []).extend(codes)
    return [
        f"{name}: no confidence interval for {' '.join(dict.fromkeys(codes))}. Run eval again: the predictions are "
        "scored anew, and nothing is computed twice."
        for name, codes in lacking.items()
    ]


def _shown_head(checkpoint: Checkpoint) -> Head | None:
    """Return the head that the card's code shows: the root's own, else the first that has labels one can read."""
    own = [head for head in checkpoint.heads.values() if head.file is None]
    others = sorted(checkpoint.heads.values(), key=lambda head: head.kind == "tagging")
    return next(iter([*own, *others]), None)
