"""Render a card from its Jinja template and check the result."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from xharness import assets
from xharness.data.hub_layout import front_matter as read_front_matter
from xharness.errors import did_you_mean
from xharness.hub.read import is_hub_id
from xharness.metrics.bootstrap import COVERAGE, RESAMPLES
from xharness.publishing.card import prose as card_prose
from xharness.publishing.card import reproduce, score_tables, tables
from xharness.publishing.card.prose import ADOPTED, OTHER, SEVERAL, licences
from xharness.publishing.card.training import spec_of
from xharness.results import breakdowns
from xharness.results.aggregate import PARTIAL
from xharness.results.score import TUNED
from xharness.tasks.benchmarks import benchmarks
from xharness.tasks.languages import languages
from xharness.text import escape_markdown, holds_path

if TYPE_CHECKING:
    from jinja2 import Environment

    from xharness.publishing.card.content import Card

MAX_CHARACTERS = 1_000_000
"""Maximum number of characters of a card."""


def render(card: Card) -> str:
    """Return the text of README.md. The same card always gives the same text."""
    from xharness.publishing.card.metadata import front_matter

    examples = {**card_prose.load(ADOPTED).examples, **card.prose.examples}
    results, scores, known = card.scores.results, card.scores, languages()
    text = (
        _environment()
        .get_template("card.md.j2")
        .render(
            card=card,
            tables=tables,
            score_tables=score_tables,
            front_matter=front_matter(card),
            example=examples[card.kind],  # type: ignore[index]
            no_answer=_allows_no_answer(card),
            partial=PARTIAL,
            coverage=COVERAGE,
            resamples=f"{RESAMPLES:,}",
            base=escape_markdown(card.base.title[:1].upper() + card.base.title[1:]),
            trained_on=_trained_on(card),
            language_names=", ".join(
                known[code].name if code in known else escape_markdown(code) for code in card.languages
            ),
            commands=reproduce.commands(card),
            data_of_tasks=_data_of_tasks(card),
            grouped=results is not None and bool(breakdowns.by_script(results.tasks)),
            headline_words=_headline_words(card),
            headline_complete=results is not None and all(task.complete for task in results.tasks.values()),
            has_alternatives=_has_alternatives(card),
            other_metrics=_other_metrics(card),
            base_licence=licences()[card.base.licence],
            several_seeds=any(len(section.seeds) > 1 for section in scores.sections),
            papers=_papers(card),
        )
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(assets.MODEL_CARDS),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown: text of others goes through `escape_markdown` or `markdown_code`
    )
    environment.filters |= {"plain": escape_markdown, "python": _literal, "wrapped": _wrapped}
    return environment


def _literal(value: Any) -> str:
    """Return a text, or a list of texts, as Python source with unprintable characters escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(value)


def _wrapped(text: str) -> str:
    """Return our own prose, which is Markdown already, on one line."""
    return " ".join(text.split())


def _allows_no_answer(card: Card) -> bool:
    spec = spec_of(card.head.name) if card.head is not None else None
    return bool(getattr(getattr(spec, "input", None), "no_answer", False))


def _headline_words(card: Card) -> str:
    words: dict[bool, list[str]] = {True: [], False: []}
    for name, section in card.scores.headline.items():
        words[section.phase == TUNED].append(section.results.tasks[name].spec.title)
    parts = []
    if words[True]:
        parts.append(f"of zero-shot tuned scores for {', '.join(map(escape_markdown, words[True]))}")
    if words[False]:
        parts.append(f"of as-is scores for {', '.join(map(escape_markdown, words[False]))}")
    return f"Means over the languages other than English: {'; '.join(parts)}."


def _has_alternatives(card: Card) -> bool:
    """Whether a target was scored in several ways, one of which represents the checkpoint."""
    names = [name for section in card.scores.sections for name in section.results.tasks]
    return len(set(names)) < len(names)


def _other_metrics(card: Card) -> str:
    """Return a remark on the metrics of targets outside the benchmarks; '' if there are none."""
    known = {name for benchmark in benchmarks().values() for name in benchmark.tasks}
    if all(name in known for section in card.scores.sections for name in section.results.tasks):
        return ""
    return " (other targets with the metric named in the table)"


def _trained_on(card: Card) -> str:
    """Return the training sets, separated by semicolons because a title may contain commas."""
    specs = {name: spec_of(name) for name in card.tasks}
    titles = [spec.title if spec else name for name, spec in specs.items()]
    if card.adopted:
        titles = [part.title for part in card.training.sets]
    return "; ".join(map(escape_markdown, titles))


def _data_of_tasks(card: Card) -> dict[str, str]:
    """Return title -> what the data implies, for each task of a multi-task checkpoint."""
    if card.prose.name != SEVERAL:
        return {}
    known = [card_prose.load(name) for name in card.tasks if name in card_prose.names()]
    return {prose.title: prose.data for prose in known}


def _papers(card: Card) -> dict[str, list[str]]:
    """Return address -> titles, for the papers of the training sets and of the scored benchmarks and targets."""
    papers: dict[str, dict[str, None]] = {}
    for part in card.training.sets:
        if part.paper:
            papers.setdefault(part.paper, {})[part.title] = None
    for benchmark in benchmarks().values():
        if set(benchmark.tasks) & set(card.scores.headline):
            papers.setdefault(benchmark.paper, {})[benchmark.title] = None
    for section in card.scores.sections:
        for task in section.results.tasks.values():
            papers.setdefault(task.spec.paper, {})[task.spec.title] = None
    return {paper: list(titles) for paper, titles in papers.items()}


def problems(text: str) -> list[str]:
    """Return what is wrong with the text of a card, as sentences without its name; [] if the Hub accepts it.

    The text is parsed like any other card: front matter, model-index (with huggingface_hub's own reader), tables, code.
    """
    too_long = (
        [] if len(text) <= MAX_CHARACTERS else [f"it has {len(text):,} characters, more than {MAX_CHARACTERS:,}."]
    )
    head, body = read_front_matter(text)
    if not head:
        return [*too_long, "it has no front matter that can be read as YAML."]
    return [*too_long, *_front_matter_problems(head), *_index_problems(head), *_body_problems(body)]


_KEYS: dict[str, type] = {
    "language": list,
    "license": str,
    "license_name": str,
    "license_link": str,
    "library_name": str,
    "pipeline_tag": str,
    "base_model": str,
    "base_model_relation": str,
    "datasets": list,
    "metrics": list,
    "tags": list,
    "model-index": list,
}
_NEEDED = ("language", "license", "library_name", "pipeline_tag", "tags")


def _front_matter_problems(head: dict[str, Any]) -> Iterator[str]:
    from xharness.publishing.card.metadata import PIPELINES

    yield from (f"{name}: field required." for name in _NEEDED if name not in head)
    for name, value in head.items():
        if name not in _KEYS:
            yield f"{name}: no such field of a model card.{did_you_mean(name, _KEYS)}"
        elif not isinstance(value, _KEYS[name]) or not value:
            yield f"{name}: found {value!r}, expected a non-empty {_KEYS[name].__name__}."
        elif isinstance(value, list) and name != "model-index" and not all(isinstance(v, str) for v in value):
            yield f"{name}: found {value!r}, expected texts."
    codes = head.get("language") or []
    known = {"multilingual", *languages()}
    yield from (f"language: unknown code '{code}'." for code in codes if code not in known)
    licence = head.get("license")
    if licence is not None and licence not in licences():
        yield f"license: '{licence}' is not in licences.yaml.{did_you_mean(str(licence), licences())}"
    for name in ("license_name", "license_link"):
        if (licence == OTHER) != (name in head):
            yield f"{name}: {'field required' if licence == OTHER else 'only'} beside 'license: other'."
    if head.get("pipeline_tag") not in PIPELINES.values():
        yield f"pipeline_tag: found {head.get('pipeline_tag')!r}, expected one of {', '.join(PIPELINES.values())}."
    for name in ("base_model", "datasets"):
        ids = head.get(name, [])
        ids = ids if isinstance(ids, list) else [ids]
        yield from (f"{name}: '{id_}' is not an id on the Hub (org/name)." for id_ in ids if not is_hub_id(str(id_)))


def _index_problems(head: dict[str, Any]) -> Iterator[str]:
    from huggingface_hub import ModelCardData
    from huggingface_hub.repocard_data import model_index_to_eval_results

    index = head.get("model-index")
    if index is None:
        return
    try:
        name, results = model_index_to_eval_results(index)
        again = ModelCardData(model_name=name, eval_results=results).to_dict()  # type: ignore[no-untyped-call]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        yield f"model-index: huggingface_hub cannot read it ({type(error).__name__}: {error})."
        return
    if again["model-index"] != index:
        yield "model-index: huggingface_hub reads something else than what is written."
    for result in results:
        value = result.metric_value
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            yield f"model-index: {result.dataset_name} ({result.dataset_config}): found {value!r}, expected a number."


_EMPTY_CELLS = ("", "None", "nan", "inf", "-inf", "null")


def _body_problems(body: str) -> Iterator[str]:
    fenced, width, source = "", 0, list[str]()
    for line in body.splitlines():
        if line.startswith("```"):
            if fenced == "python":
                yield from _code_problems("\n".join(source))
            fenced, source = ("" if fenced else line[3:] or "text"), []
            continue
        if fenced:
            source.append(line)
            continue
        cells = (
            [cell.strip().strip("*`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] if line.startswith("|") else []
        )
        if cells and any(cell in _EMPTY_CELLS for cell in cells):
            yield f"a table cell is empty: {line[:80]}"
        if cells and width and len(cells) != width:
            yield f"a table row has {len(cells)} cells, its header {width}: {line[:80]}"
        width = len(cells)
        if re.search(r"TODO|FIXME|\{\{|\{%|: (?:None|nan)[.|]?$", line):
            yield f"a placeholder is not filled in: {line[:80]}"
        if holds_path(line):
            yield f"it contains a path of this machine: {line[:80]}"
    if fenced:
        yield "a code block is not closed."


def _code_problems(source: str) -> Iterator[str]:
    try:
        ast.parse(source)
    except SyntaxError as error:
        yield f"its Python code has a syntax error: {error.msg} (line {error.lineno})."
