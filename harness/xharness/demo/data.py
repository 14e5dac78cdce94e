"""Generate the demo's parallel data sets."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from xharness.demo import lexicon as demo_lexicon
from xharness.demo.lexicon import Fact, Lexicon
from xharness.files import write_text

ORGANISATION = "xharness"
SOURCE_LANGUAGE = "en"
SIZES = {
    "demo-nli": {"train": 3000, "validation": 120, "test": 180},
    "demo-ner": {"train": 1500, "validation": 100, "test": 160},
    "demo-qa": {"train": 3000, "validation": 100, "test": 160},
    "demo-bitext": {"test": 200},
    "demo-parallel": {"train": 3000},
}
"""Rows per language. Training sets are English, but for the parallel sentences that the encoder is aligned on."""
ENTITIES = {"person": "PER", "organisation": "ORG", "city": "LOC"}
SHARES = {"test": 0.25, "validation": 0.1}
"""Which part of all people, and of all pairs of an organisation and a city, a split has for itself."""
OFFICES = 0.15
"""Which part of the plain sentences speaks of an organisation's office instead of a person."""

Row = dict[str, Any]


def make_data(to: Path, *, seed: int = 0) -> Path:
    """Write all data sets of the demo below a folder, and a MANIFEST.tsv of them; return the folder.

    The splits share no person (first and family name together), and no pair of an organisation and the city of its
    office, so what the test data states occurs nowhere in what is trained on, in any language. In the test data all
    languages hold the same sentences.
    """
    lexicon = demo_lexicon.load()
    lines = ["hub_id\tconfig\tsplit\trows\tstatus\tsource\tlicence"]
    for name, sizes in SIZES.items():
        configs: dict[str, list[str]] = {}
        for split, size in sizes.items():
            plans = list(_plans(lexicon, name, split, size, seed))
            for language in _languages(lexicon, name, split):
                rows = [_ROWS[name](lexicon, language, plan, f"{split}-{i}") for i, plan in enumerate(plans)]
                path = to / ORGANISATION / name / language / f"{split}-00000-of-00001.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(pa.Table.from_pylist(rows), path)
                configs.setdefault(language, []).append(split)
                source = "written for xharness: harness/xharness/demo/lexicon.yaml"
                lines.append(f"{ORGANISATION}/{name}\t{language}\t{split}\t{size}\tcomplete\t{source}\tApache-2.0")
        write_text(to / ORGANISATION / name / "README.md", _card(name, configs))
    write_text(to / "MANIFEST.tsv", "\n".join(lines) + "\n")
    return to


def _languages(lexicon: Lexicon, name: str, split: str) -> list[str]:
    if name in ("demo-bitext", "demo-parallel"):
        return [code for code in lexicon.languages if code != SOURCE_LANGUAGE]
    return [SOURCE_LANGUAGE] if split == "train" else list(lexicon.languages)


def _card(name: str, configs: dict[str, list[str]]) -> str:
    head = {
        "license": "apache-2.0",
        "configs": [
            {"config_name": code, "data_files": [{"split": s, "path": f"{code}/{s}-*"} for s in splits]}
            for code, splits in configs.items()
        ],
    }
    front = yaml.safe_dump(head, sort_keys=False)
    return f"---\n{front}---\n\n{_DESCRIPTIONS[name]}\n\nMade by `xharness demo` from a lexicon written for it.\n"


_DESCRIPTIONS = {
    "demo-nli": "Does the hypothesis follow from the premise (entailment), deny it (contradiction), or speak of "
    "something else (neutral)?",
    "demo-ner": "People, organizations and places, IOB2; the tokens of Chinese are characters.",
    "demo-qa": "Questions on a short text about two people; the answer is a span of the text.",
    "demo-bitext": "Sentences and their English translations.",
    "demo-parallel": "Sentences and their English translations, to align the demo's encoder on.",
}


class _Facts:
    """Draws facts at random, about the people and offices that one split has for itself."""

    def __init__(self, lexicon: Lexicon, split: str, seed: int, name: str) -> None:
        self.lexicon = lexicon
        self.random = random.Random(f"{seed} {name} {split}")
        phrases = {slot: range(len(entries)) for slot, entries in lexicon.phrases.items()}
        offices = [(o, c) for o in phrases["organisation"] for c in phrases["city"]]
        self.people = _share(range(len(lexicon.people)), split, seed)
        self.offices = _share(offices, split, seed)
        self.personal = [r for r, relation in lexicon.relations.items() if "person" in relation.slots]

    def about(self, person: int, relation: str) -> Fact:
        """Return a fact about a person."""
        slots = [slot for slot in self.lexicon.relations[relation].slots if slot != "person"]
        values = [(slot, self.random.randrange(len(self.lexicon.phrases[slot]))) for slot in slots]
        return Fact(relation, (("person", person), *values))

    def life(self, person: int, count: int) -> list[Fact]:
        """Return several facts about a person, each of another relation."""
        return [self.about(person, relation) for relation in self.random.sample(self.personal, count)]

    def office(self) -> Fact:
        """Return the fact that an organisation has an office in a city."""
        organisation, city = self.random.choice(self.offices)
        return Fact("office", (("organisation", organisation), ("city", city)))


def _share(things: Sequence[Any], split: str, seed: int) -> list[Any]:
    """Return the part of the things that is the split's own."""
    shuffled = list(things)
    random.Random(f"{seed} shares").shuffle(shuffled)
    test = round(SHARES["test"] * len(shuffled))
    validation = test + round(SHARES["validation"] * len(shuffled))
    return {"test": shuffled[:test], "validation": shuffled[test:validation], "train": shuffled[validation:]}[split]


def _plans(lexicon: Lexicon, name: str, split: str, size: int, seed: int) -> Iterator[Any]:
    """Yield what the examples of a data set say, before any language; no two are the same in English."""
    facts = _Facts(lexicon, split, seed, name)
    seen: set[str] = set()
    while len(seen) < size:
        plan = _PLANS[name](facts, len(seen))
        english = repr(_ROWS[name](lexicon, SOURCE_LANGUAGE, plan, ""))
        if english not in seen:
            seen.add(english)
            yield plan


def _plan_pair(facts: _Facts, index: int) -> tuple[tuple[Fact, ...], Fact, bool, str]:
    """Return premise, what the hypothesis speaks of, whether it denies it, and the label."""
    label = ("entailment", "neutral", "contradiction")[index % 3]
    *premise, other = facts.life(facts.random.choice(facts.people), 3)
    if label == "neutral":
        # Denied as often as not, so that a negation alone does not give the label away.
        return tuple(premise), other, facts.random.random() < 0.5, label
    return tuple(premise), facts.random.choice(premise), label == "contradiction", label


def _plan_sentences(facts: _Facts, index: int) -> tuple[Fact, ...]:
    # By chance and not by index: there are few offices, and a plan that was seen must not be asked for for ever.
    if facts.random.random() < OFFICES:
        return (facts.office(),)
    return tuple(facts.life(facts.random.choice(facts.people), 1 + index % 2))


def _plan_parallel(facts: _Facts, index: int) -> tuple[tuple[Fact, ...], str]:
    """Return what a pair of sentences says, and how: ``state`` or ``deny`` it, or the slot that is asked for."""
    planned = _plan_sentences(facts, index)
    relation = facts.lexicon.relations[planned[0].relation]
    if len(planned) > 1:
        return planned, "state"
    return planned, facts.random.choice(["state", *(["deny"] if relation.denial else []), *relation.questions])


def _plan_bitext(facts: _Facts, index: int) -> tuple[tuple[Fact, ...], str]:
    """Return a pair as for training, but never a question that leaves out what the split has for itself."""
    planned, form = _plan_parallel(facts, index)
    return planned, "state" if form == "person" or planned[0].relation == "office" else form


def _plan_question(facts: _Facts, index: int) -> tuple[tuple[Fact, ...], Fact, str]:
    """Return the context, four facts of different relations about two people; which of them is asked; for what."""
    one, two = facts.random.sample(facts.people, 2)
    relations = facts.random.sample(facts.personal, 4)
    context = [facts.about(one if i < 2 else two, relation) for i, relation in enumerate(relations)]
    facts.random.shuffle(context)
    asked = facts.random.choice(context)
    return tuple(context), asked, facts.random.choice(list(facts.lexicon.relations[asked.relation].questions))


def _pair(lexicon: Lexicon, language: str, plan: tuple[tuple[Fact, ...], Fact, bool, str], name: str) -> Row:
    premise, hypothesis, denied, label = plan
    say = demo_lexicon.deny if denied else demo_lexicon.state
    return {
        "premise": demo_lexicon.tell(lexicon, language, premise).text,
        "hypothesis": say(lexicon, language, hypothesis).text,
        "label": label,
    }


def _tagged(lexicon: Lexicon, language: str, plan: tuple[Fact, ...], name: str) -> Row:
    text = demo_lexicon.tell(lexicon, language, plan)
    words = demo_lexicon.words(lexicon, language, text.text)
    tags = ["O"] * len(words)
    for span in text.spans:
        inside = [i for i, w in enumerate(words) if span.start <= w.start() < span.end]
        if span.slot in ENTITIES:
            for i in inside:
                tags[i] = ("B-" if i == inside[0] else "I-") + ENTITIES[span.slot]
    return {"tokens": [w.group() for w in words], "ner_tags": tags}


def _question(lexicon: Lexicon, language: str, plan: tuple[tuple[Fact, ...], Fact, str], name: str) -> Row:
    context, asked, slot = plan
    text = demo_lexicon.tell(lexicon, language, context)
    before = context.index(asked)
    start = len(demo_lexicon.tell(lexicon, language, (*context[:before], asked)).spans)
    slots = len(demo_lexicon.state(lexicon, language, asked).spans)
    span = next(s for s in text.spans[start - slots : start] if s.slot == slot)
    return {
        "id": f"{language}-{name}",
        "question": demo_lexicon.ask(lexicon, language, asked, slot).text,
        "context": text.text,
        "answers": {"text": [text.text[span.start : span.end]], "answer_start": [span.start]},
    }


def _translation(lexicon: Lexicon, language: str, plan: tuple[tuple[Fact, ...], str], name: str) -> Row:
    return {"text": _sentence(lexicon, language, *plan), "english": _sentence(lexicon, SOURCE_LANGUAGE, *plan)}


def _sentence(lexicon: Lexicon, language: str, facts: tuple[Fact, ...], form: str) -> str:
    if form == "state":
        return demo_lexicon.tell(lexicon, language, facts).text
    if form == "deny":
        return demo_lexicon.deny(lexicon, language, facts[0]).text
    return demo_lexicon.ask(lexicon, language, facts[0], form).text


_PLANS: dict[str, Callable[[_Facts, int], Any]] = {
    "demo-nli": _plan_pair,
    "demo-ner": _plan_sentences,
    "demo-qa": _plan_question,
    "demo-bitext": _plan_bitext,
    "demo-parallel": _plan_parallel,
}
_ROWS: dict[str, Callable[[Lexicon, str, Any, str], Row]] = {
    "demo-nli": _pair,
    "demo-ner": _tagged,
    "demo-qa": _question,
    "demo-bitext": _translation,
    "demo-parallel": _translation,
}
