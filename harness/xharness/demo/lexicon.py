"""Lexicon and sentence templates of the demo."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from xharness import strict_yaml
from xharness.strict_yaml import Strict

PATH = Path(__file__).with_name("lexicon.yaml")

Gender = Literal["f", "m"]
Words = dict[str, str]
"""Language code -> words."""
Template = str | dict[Gender, str]
Templates = dict[str, Template]
"""Language code -> a sentence with slots: one for all, or one for a woman and one for a man."""


class Writing(Strict):
    """The writing conventions of a language."""

    script: str
    """First word of the Unicode names of its letters."""
    name_joint: str
    sentence_joint: str
    characters: bool
    """Whether the tokens for tagging are characters."""


class Relation(Strict):
    """A type of fact, with its statement, its denial, and a question for each of its slots."""

    statement: Templates
    denial: Templates | None = None
    questions: dict[str, Templates]

    @property
    def slots(self) -> tuple[str, ...]:
        """Slots of the statement, which are the same in every language."""
        return slots_of(next(iter(self.statement.values())))


class Lexicon(Strict):
    """All words of the demo in all its languages."""

    languages: dict[str, Writing]
    first_names: dict[Gender, list[Words]]
    family_names: list[Words]
    phrases: dict[str, list[Words]]
    relations: dict[str, Relation]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        problems = []
        for field, words in self._all_words():
            missing = [code for code in self.languages if not words.get(code)]
            unknown = [code for code in words if code not in self.languages]
            problems += [f"{field}: no words in '{code}'." for code in missing]
            problems += [f"{field}: '{code}' is not one of the languages." for code in unknown]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _all_words(self) -> Iterable[tuple[str, Mapping[str, Template]]]:
        for gender, names in self.first_names.items():
            yield from ((f"first_names.{gender}.{i}", words) for i, words in enumerate(names))
        yield from ((f"family_names.{i}", words) for i, words in enumerate(self.family_names))
        for slot, phrases in self.phrases.items():
            yield from ((f"phrases.{slot}.{i}", words) for i, words in enumerate(phrases))
        for name, relation in self.relations.items():
            yield f"relations.{name}.statement", relation.statement
            if relation.denial is not None:
                yield f"relations.{name}.denial", relation.denial
            yield from ((f"relations.{name}.questions.{s}", t) for s, t in relation.questions.items())

    @cached_property
    def people(self) -> list[tuple[Gender, int, int]]:
        """All people: (gender, index of the first name, index of the family name)."""
        return [
            (gender, first, family)
            for gender, names in self.first_names.items()
            for first in range(len(names))
            for family in range(len(self.family_names))
        ]


@dataclass(frozen=True)
class Fact:
    """A relation, and for each of its slots the index of the phrase (or person) that fills it."""

    relation: str
    values: tuple[tuple[str, int], ...]

    def value(self, slot: str) -> int:
        """Return the index of the phrase or person in a slot."""
        return dict(self.values)[slot]


@dataclass(frozen=True)
class Span:
    """Character offsets of the name that fills a slot; ``end`` is exclusive."""

    start: int
    end: int
    slot: str


@dataclass(frozen=True)
class Text:
    """A text and the names in it, in text order."""

    text: str
    spans: tuple[Span, ...]


@cache
def load() -> Lexicon:
    """Return the lexicon shipped with xharness."""
    return strict_yaml.parse(Lexicon, strict_yaml.read(PATH), PATH.name)


def slots_of(template: Template) -> tuple[str, ...]:
    """Return the slots of a template in text order.

    >>> slots_of("{person} lives {city}.")
    ('person', 'city')
    """
    words = template if isinstance(template, str) else template["f"]
    return tuple(slot for _, slot, _, _ in string.Formatter().parse(words) if slot)


def state(lexicon: Lexicon, language: str, fact: Fact) -> Text:
    """Return the sentence that states a fact."""
    return _fill(lexicon, language, lexicon.relations[fact.relation].statement[language], fact)


def deny(lexicon: Lexicon, language: str, fact: Fact) -> Text:
    """Return the sentence that denies a fact."""
    denial = lexicon.relations[fact.relation].denial
    assert denial is not None, f"'{fact.relation}' has no denial"
    return _fill(lexicon, language, denial[language], fact)


def ask(lexicon: Lexicon, language: str, fact: Fact, slot: str) -> Text:
    """Return the question whose answer is the phrase in one of the fact's slots."""
    return _fill(lexicon, language, lexicon.relations[fact.relation].questions[slot][language], fact)


def tell(lexicon: Lexicon, language: str, facts: Iterable[Fact]) -> Text:
    """Return several facts as one text."""
    separator = lexicon.languages[language].sentence_joint
    text, spans = "", []
    for fact in facts:
        sentence = state(lexicon, language, fact)
        text += separator if text else ""
        spans += [Span(s.start + len(text), s.end + len(text), s.slot) for s in sentence.spans]
        text += sentence.text
    return Text(text, tuple(spans))


def words(lexicon: Lexicon, language: str, text: str) -> list[re.Match[str]]:
    """Return matches of the words and punctuation marks of a text, or of its characters."""
    pattern = r"\S" if lexicon.languages[language].characters else r"[.,?!;।¿]|[^\s.,?!;।¿]+"
    return list(re.finditer(pattern, text))


def _fill(lexicon: Lexicon, language: str, template: Template, fact: Fact) -> Text:
    if not isinstance(template, str):
        gender, _, _ = lexicon.people[fact.value("person")]
        template = template[gender]
    text, spans = "", []
    for before, slot, _, _ in string.Formatter().parse(template):
        text += before
        if slot:
            left, name, right = _phrase(lexicon, language, slot, fact.value(slot))
            start = len(text) + len(left)
            spans.append(Span(start, start + len(name), slot))
            text += left + name + right
    return Text(text, tuple(spans))


def _phrase(lexicon: Lexicon, language: str, slot: str, index: int) -> tuple[str, str, str]:
    """Return the phrase in a slot in three parts: text before the name, the name, text after it."""
    if slot == "person":
        gender, first, family = lexicon.people[index]
        names = lexicon.first_names[gender][first][language], lexicon.family_names[family][language]
        return "", lexicon.languages[language].name_joint.join(names), ""
    phrase = lexicon.phrases[slot][index][language]
    if "<" not in phrase:
        return "", phrase, ""
    left, _, rest = phrase.partition("<")
    name, _, right = rest.partition(">")
    return left, name, right
