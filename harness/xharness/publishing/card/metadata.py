"""YAML front matter, model-index and .eval_results files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from xharness.checkpoints import zoo
from xharness.hub.read import is_hub_id
from xharness.metrics.seeds import COLLAPSED, spread
from xharness.publishing.card import scores as card_scores
from xharness.publishing.card.content import Card, Cell, Section
from xharness.publishing.card.prose import ENCODER
from xharness.publishing.card.scores import changed_settings
from xharness.publishing.card.tables import metric_name
from xharness.results.aggregate import task_result
from xharness.results.score import TUNED
from xharness.tasks.benchmarks import benchmarks
from xharness.tasks.task_spec import TaskSpec
from xharness.text import one_line

HUB = "https://huggingface.co"
EVALS = ".eval_results"
# All of these are in huggingface.js (packages/tasks/src/pipelines.ts), multiple-choice too, although the Hub's page of
# models has no filter for it.
PIPELINES = {
    ENCODER: "feature-extraction",
    "classification": "text-classification",
    "multiple_choice": "multiple-choice",
    "span_qa": "question-answering",
    "tagging": "token-classification",
    "retrieval": "text-retrieval",
    "mining": "text-retrieval",
    "ranking": "text-retrieval",
}
"""Task kind -> the Hub's pipeline tag."""
_DIGITS = 4
# In reading order, because the client sorts by name. Without results, the client's `model_name` is not a key of a card.
_ORDER = (
    "language",
    "license",
    "license_name",
    "license_link",
    "library_name",
    "pipeline_tag",
    "base_model",
    "base_model_relation",
    "datasets",
    "metrics",
    "tags",
    "model-index",
)


def metadata(card: Card) -> dict[str, Any]:
    """Return the front matter of a card as the Hub reads it; unknown fields are left out.

    The model-index has one entry per target, language and metric, and only scores on complete, real test data.
    """
    from huggingface_hub import ModelCardData

    results = list(_results(card))
    codes = [code for section in card.scores.sections for cells in section.cells.values() for code in cells]
    scored = {code for code in codes if code not in card.languages}
    datasets = dict.fromkeys(part.source for part in card.training.sets if part.on_hub)
    metrics = dict.fromkeys(result.metric_type for result in results)
    further: dict[str, Any] = {"base_model_relation": "finetune"} if card.base.model else {}
    data = ModelCardData(
        language=["multilingual", *card.languages, *sorted(scored)],
        license=card.terms.id,
        license_name=card.terms.name,
        license_link=card.terms.link,
        library_name="transformers",
        pipeline_tag=PIPELINES[ENCODER if card.heads else card.kind],
        base_model=card.base.model,
        datasets=list(datasets) or None,
        metrics=list(metrics) or None,
        tags=_tags(card),
        model_name=card.name,
        eval_results=results or None,
        **further,
    )
    content: dict[str, Any] = data.to_dict()  # type: ignore[no-untyped-call]
    return {name: content[name] for name in _ORDER if name in content}


def front_matter(card: Card) -> str:
    """Return the metadata as YAML."""
    return _yaml(metadata(card)).strip()


def eval_results(card: Card, repo: str, *, revision: str = "main") -> dict[str, str]:
    """Return the files of Community Evals: path in the repository -> YAML.

    There is one value per task id: ``<target>_<language>`` for languages with complete test data, ``<target>`` if the
    mean covers all languages of the benchmark, and ``overall`` if all targets do. A target that was scored in several
    ways has the value that represents the checkpoint (`content.Scores.headline`). No value is marked as verified.

    Args:
        card: card of the checkpoint.
        repo: ``org/name``, the repository of the result files.
        revision: revision in the addresses of the result files.
    """
    files = {}
    for name in benchmarks():
        entries = list(_entries(card, repo, revision, name))
        if entries:
            files[f"{EVALS}/{name}.yaml"] = _yaml(entries)
    return files


def _tags(card: Card) -> list[str]:
    official = {n for n, section in card.scores.headline.items() if any(c.official for c in section.cells[n].values())}
    scored = [name for name, benchmark in benchmarks().items() if official.intersection(benchmark.tasks)]
    own = "target-tuned" if card.phase == "target" else "intermediate-training"
    zero_shot = ["zero-shot"] if card.languages == ("en",) else []
    return ["xharness", "cross-lingual-transfer", *zero_shot, own, *scored, *card.prose.tags]


def _yaml(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120, line_break="\n")


def _results(card: Card) -> Iterator[Any]:
    """Yield the entries of the model-index as huggingface_hub's EvalResult."""
    from huggingface_hub import EvalResult

    for section in card.scores.sections:
        for name, cells in section.cells.items():
            spec = section.results.tasks[name].spec
            for code, cell in cells.items():
                for metric in spec.score_keys if cell.official else ():
                    score, spread = cell.first, cell.spreads[metric]
                    yield EvalResult(
                        task_type=PIPELINES[spec.kind],
                        task_name=spec.title,
                        dataset_type=score.data_source if is_hub_id(score.data_source) else spec.name,
                        dataset_name=spec.title,
                        dataset_config=code,
                        dataset_split=spec.test_split,
                        dataset_revision=_one_line_texts(score.data_revision),
                        metric_type=metric,
                        metric_value=round(spread.mean or 0.0, _DIGITS),
                        metric_name=f"{metric_name(metric)} ({_phase_and_track(section)})",
                        metric_args=_metric_args(section, cell, metric),
                    )


def _metric_args(section: Section, cell: Cell, metric: str) -> dict[str, Any]:
    spread, interval = cell.spreads[metric], cell.intervals[metric]
    arguments: dict[str, Any] = {
        "n": cell.first.n,
        "seeds": list(cell.scores) if section.phase == TUNED else None,
        "phase": section.phase,
        "track": section.track,
        "selected_by": cell.first.selected_by,
        "dtype": cell.first.dtype,
        "settings": changed_settings(section.settings) or None,
        "collapsed_seeds": [seed for seed, state in cell.statuses.items() if state == COLLAPSED] or None,
        "deviation": None if spread.deviation is None else round(spread.deviation, _DIGITS),
        "interval_95": None if interval is None else [round(end, _DIGITS) for end in interval],
    }
    return {name: _one_line_texts(value) for name, value in arguments.items() if value is not None}


def _one_line_texts(value: Any) -> Any:
    """Return a value with every text in it reduced to one printable line."""
    if isinstance(value, dict):
        return {one_line(str(name)): _one_line_texts(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_one_line_texts(inner) for inner in value]
    return one_line(value) if isinstance(value, str) else value


def _phase_and_track(section: Section) -> str:
    return f"{section.phase}, {section.track}" if section.phase == TUNED else section.phase


def _entries(card: Card, repo: str, revision: str, benchmark: str) -> Iterator[dict[str, Any]]:
    """Yield the entries of a benchmark's file: overall, then each target and its languages."""
    results = card_scores.headline_results(card.scores.headline, benchmark)
    if results is None:
        return
    dataset = zoo.load().benchmark_dataset(benchmark, repo.partition("/")[0])
    tree, blob = f"{HUB}/{repo}/tree/{revision}", f"{HUB}/{repo}/blob/{revision}"

    def entry(task_id: str, value: float, url: str, notes: str) -> dict[str, Any]:
        from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

        entry_data = EvalResultEntry(
            dataset_id=dataset,
            task_id=task_id,
            value=round(value, _DIGITS),
            source_url=url,
            source_name="result files of xharness",
            notes=notes,
        )
        content: dict[str, Any] = eval_result_entries_to_yaml([entry_data])[0]
        return content

    if results.overall is not None:
        ways = dict.fromkeys(_phase_and_track(card.scores.headline[name]) for name in results.tasks)
        yield entry("overall", results.overall, f"{tree}/results", f"mean over all targets; {' and '.join(ways)}")
    for name, task in results.tasks.items():
        section = card.scores.headline[name]
        if task.complete and list(task.languages) == task.spec.languages_in(benchmark):
            cells = {code: section.cells[name][code] for code in task.languages}
            statuses = section.summaries[name].states
            notes = _notes(
                section, list(cells.values()), list(statuses.values()), _target_deviation(task.spec, cells, statuses)
            )
            yield entry(name, task.mean["score"], f"{tree}/{section.folder}", notes)
        for code in task.languages:
            cell = section.cells[name][code]
            if cell.official:
                value, deviation = _language_score(task.spec, cell)
                several = len(cell.scores) > 1
                file = f"{blob}/{section.folder}/seed{next(iter(cell.scores))}/{name}/{code}.json"
                notes = _notes(section, [cell], list(cell.statuses.values()), deviation)
                yield entry(f"{name}_{code}", value, f"{tree}/{section.folder}" if several else file, notes)


def _language_score(spec: TaskSpec, cell: Cell) -> tuple[float, float | None]:
    """Return a language's score as it enters the target's mean, and its deviation if it is a single metric."""
    means = [cell.spreads[key].mean or 0.0 for key in spec.score_keys]
    deviation = cell.spreads[spec.score_keys[0]].deviation if len(means) == 1 else None
    return sum(means) / len(means), deviation


def _target_deviation(spec: TaskSpec, cells: Mapping[str, Cell], seeds: Iterable[int]) -> float | None:
    """Return the standard deviation over seeds of a target's mean over these languages."""
    means = [task_result(spec, {c: cell.scores[seed] for c, cell in cells.items()}, None).mean for seed in seeds]
    return spread([mean["score"] for mean in means]).deviation


def _notes(section: Section, cells: Sequence[Cell], statuses: Sequence[str], deviation: float | None) -> str:
    scores = [cell.first for cell in cells]
    notes = [_phase_and_track(section), f"{sum(score.n for score in scores):,} examples"]
    if section.phase == TUNED:
        notes.append(f"{len(statuses)} seed{'s' if len(statuses) > 1 else ''}")
    if COLLAPSED in statuses:
        notes.append(f"{statuses.count(COLLAPSED)} of them collapsed in training")
    if deviation is not None:
        notes.append(f"sd {deviation:.2f}")
    if section.phase == TUNED:
        notes.append(f"checkpoint selected by {' and '.join(dict.fromkeys(score.selected_by for score in scores))}")
    notes += dict.fromkeys(score.dtype for score in scores if score.dtype)
    notes += [f"{name} {value}" for name, value in changed_settings(section.settings).items()]
    return one_line(", ".join(notes))
