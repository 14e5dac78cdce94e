"""The `xharness eval` commands that reproduce a card's scores."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from xharness.publishing.card.content import Card, Section
from xharness.publishing.card.scores import changed_settings
from xharness.results.score import TUNED
from xharness.tasks.recipes import DEFAULT, TUNING_LANGUAGES, Values, list_recipes
from xharness.text import one_line

_EVAL = "xharness eval --model"
_OPTIONS = ("dtype", "layer", "pooling", "center", "prefix", "head", "limit")
_SWITCHES = ("special_tokens", "whiten", "trust_remote_code")
_TUNING_OPTIONS = {"shots", "train_n", "max_steps", "average_last", "lora", *Values.model_fields}


def commands(card: Card) -> list[str]:
    """Return the commands that compute the scores of the card, with every option that differs from its default."""
    lines = dict[str, None]()
    for section in card.scores.sections:
        groups: dict[tuple[str, tuple[int, ...]], list[str]] = {}
        for name, cells in section.cells.items():
            codes = "" if list(cells) == list(section.results.tasks[name].spec.languages) else ",".join(cells)
            seeds = tuple(sorted({seed for cell in cells.values() for seed in cell.scores}))
            groups.setdefault((codes, seeds if section.phase == TUNED else ()), []).append(name)
        for (codes, seeds), names in groups.items():
            own = [name for name in names if name in (section.settings.get("task_files") or {})]
            lines |= dict.fromkeys(f"# {name}.yaml is a task file of the publisher" for name in own)
            targets = ",".join(f"{name}.yaml" if name in own else name for name in names)
            languages_option = [f"--languages {codes}"] if codes else []
            words = [_EVAL, card.repo, "--targets", targets, *languages_option, *_options(card, section, seeds, names)]
            lines[" ".join(words)] = None
    return list(lines) or [f"{_EVAL} {card.repo} --targets xtreme"]


def _options(card: Card, section: Section, seeds: tuple[int, ...], names: Sequence[str]) -> Iterator[str]:
    """Yield the options of `xharness eval` for a section's settings."""
    settings, tune = section.settings, section.settings.get("tune") or {}
    values = {name: settings.get(name) for name in _OPTIONS}
    values["label_map"] = ",".join(f"{name}={own}" for name, own in (settings.get("label_map") or {}).items()) or None
    yield from (f"--{'' if settings[name] else 'no-'}{_flag(name)}" for name in _SWITCHES if name in settings)
    if section.phase == TUNED:
        kinds = {card.kind, *(head.kind for head in card.heads)}
        fresh = any(section.results.tasks[name].spec.kind in kinds for name in names)
        yield f"--tune{' --fresh-head' if fresh else ''} --seeds {','.join(map(str, seeds))}"
        values |= {name: value for name, value in changed_settings(settings).items() if name in _TUNING_OPTIONS}
        recipe = str(tune.get("recipe", DEFAULT))
        if recipe != DEFAULT:
            values["recipe"] = recipe if recipe in list_recipes() else f"{recipe}.yaml"
        if tune.get("languages", list(TUNING_LANGUAGES)) != list(TUNING_LANGUAGES):
            values["tune_language"] = ",".join(tune["languages"])
    yield from (f"--{_flag(name)} {_quoted(value)}" for name, value in values.items() if value is not None)


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _quoted(value: Any) -> str:
    """Return a value quoted for the shell, on one line and without backticks, which would end the code block."""
    return shlex.quote(one_line(str(value)).replace("`", " "))
