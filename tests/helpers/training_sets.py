"""Training sets of a few dozen rows that a tiny encoder learns in seconds, in the layout of the Hub."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from helpers.data_folder import Row, write_dataset

THINGS = ["cat", "dog", "house", "river", "stone", "teacher", "city", "bread", "horse", "window"]
DEEDS = ["sees", "finds", "likes", "opens", "sells", "paints"]


def make_training_folder(to: Path, *, rows: int = 96, dev: int = 32, seed: int = 0) -> Path:
    """Write mnli, commonsenseqa, ud_en_hub, squad_v1 and squad_v2 below ``to`` and return it."""
    import datasets

    datasets.disable_progress_bars()
    chance = random.Random(seed)
    text, whole = datasets.Value("string"), datasets.Value("int32")
    names = ["entailment", "neutral", "contradiction"]
    types: Any = {"premise": text, "hypothesis": text, "label": datasets.ClassLabel(names=names), "idx": whole}
    pairs = {"train": nli_rows(rows, chance), "validation_matched": nli_rows(dev, chance)}
    write_dataset(to / "nyu-mll/glue", {"mnli": pairs}, datasets.Features(types))
    choices = datasets.Features(
        {
            "id": text,
            "question": text,
            "question_concept": text,
            "choices": {"label": datasets.List(text), "text": datasets.List(text)},
            "answerKey": text,
        }
    )
    asked = {"train": _choices(rows, chance), "validation": _choices(dev, chance)}
    write_dataset(to / "tau/commonsense_qa", {"default": asked}, choices)
    tags = datasets.ClassLabel(names=_TAGS)
    tagged = datasets.Features({"tokens": datasets.List(text), "pos_tags": datasets.List(tags)})
    sentences = {"train": _tagged(rows, chance), "validation": _tagged(dev, chance)}
    write_dataset(to / "google/xtreme", {"udpos.English": sentences}, tagged)
    answers = {"text": datasets.List(text), "answer_start": datasets.List(whole)}
    questions = datasets.Features({"id": text, "title": text, "context": text, "question": text, "answers": answers})
    for repo, config, empty in (("rajpurkar/squad", "plain_text", 0.0), ("rajpurkar/squad_v2", "squad_v2", 0.4)):
        splits = {"train": _questions(rows, chance, empty), "validation": _questions(dev, chance, empty)}
        write_dataset(to / repo, {config: splits}, questions)
    return to


def make_zoo_folder(to: Path, *, rows: int = 48, dev: int = 16, seed: int = 0) -> Path:
    """Write training data of all nine intermediate tasks below ``to`` and return it; CCGbank as a table."""
    import datasets

    make_training_folder(to, rows=rows, dev=dev, seed=seed)
    chance = random.Random(seed)
    text, whole = datasets.Value("string"), datasets.Value("int32")
    names = ["entailment", "neutral", "contradiction"]
    pair: Any = {"premise": text, "hypothesis": text, "label": datasets.ClassLabel(names=names)}
    nli = datasets.Features({**pair, "idx": whole})
    asked = {"question1": text, "question2": text, "idx": whole}
    same = datasets.Features({**asked, "label": datasets.ClassLabel(names=["not_duplicate", "duplicate"])})

    def nli_pairs(count: int) -> list[Row]:
        return [{k: v for k, v in row.items() if k != "idx"} for row in nli_rows(count, chance)]

    write_dataset(
        to / "nyu-mll/glue",
        {
            "mnli": {"train": nli_rows(rows, chance), "validation_matched": nli_rows(dev, chance)},
            "qqp": {"train": _duplicates(rows, chance), "validation": _duplicates(dev, chance)},
        },
        {"mnli": nli, "qqp": same},
    )
    rounds = {f"{split}_r{i}": count for i in (1, 2, 3) for split, count in (("train", rows), ("dev", dev))}
    anli = {
        split: [{**row, "uid": f"{split}-{i}"} for i, row in enumerate(nli_pairs(count))]
        for split, count in rounds.items()
    }
    write_dataset(to / "facebook/anli", {"plain_text": anli}, datasets.Features({**pair, "uid": text}))
    snli = {"train": nli_pairs(rows), "validation": nli_pairs(dev)}
    write_dataset(to / "stanfordnlp/snli", {"plain_text": snli}, datasets.Features(pair))
    endings = {"train": _endings(rows, chance), "validation": _endings(dev, chance)}
    write_dataset(to / "Rowan/hellaswag", {"default": endings})
    answers = {"train": _answers(rows, chance), "validation": _answers(dev, chance)}
    write_dataset(to / "allenai/cosmos_qa", {"default": answers})
    ccg = to / "raw/ccgbank"
    ccg.mkdir(parents=True)
    for split, count in (("train", rows), ("dev", dev)):
        lines = (row["tokens"] for row in _tagged(count, chance))
        tags = dict.fromkeys(THINGS, "N") | dict.fromkeys(DEEDS, "(S[dcl]\\NP)/NP") | {"the": "NP[nb]/N", ".": "."}
        made = [f"{' '.join(words)}\t{' '.join(tags[word] for word in words)}\n" for words in lines]
        (ccg / f"{split}.tsv").write_text("".join(made), encoding="utf-8")
    return to


def _duplicates(count: int, chance: random.Random) -> list[Row]:
    made = []
    for number in range(count):
        first = " ".join(_sentence(chance))
        second = first if number % 2 else " ".join(_sentence(chance))
        made.append({"question1": first, "question2": second, "idx": number, "label": number % 2})
    return made


def _endings(count: int, chance: random.Random) -> list[Row]:
    made = []
    for number in range(count):
        endings = [f"bad {chance.choice(THINGS)}" for _ in range(4)]
        endings[number % 4] = f"good {chance.choice(THINGS)}"
        before = {"ind": number, "ctx_a": " ".join(_sentence(chance)), "ctx_b": "then the"}
        made.append({**before, "endings": endings, "label": str(number % 4)})
    return made


def _answers(count: int, chance: random.Random) -> list[Row]:
    made: list[Row] = []
    for number in range(count):
        answers = {f"answer{i}": f"{'good' if i == number % 4 else 'bad'} {chance.choice(THINGS)}" for i in range(4)}
        asked = {"id": f"c{number}", "context": " ".join(_sentence(chance)), "question": "which is good ?"}
        made.append({**asked, **answers, "label": number % 4})
    return made


_TAGS = ["NOUN", "PUNCT", "ADP", "NUM", "SYM", "SCONJ", "ADJ", "PART", "DET"]
_TAGS += ["CCONJ", "PROPN", "PRON", "X", "_", "ADV", "INTJ", "VERB", "AUX"]


def _sentence(chance: random.Random) -> list[str]:
    return ["the", chance.choice(THINGS), chance.choice(DEEDS), "the", chance.choice(THINGS), "."]


def nli_rows(count: int, chance: random.Random) -> list[Row]:
    made = []
    for number in range(count):
        label = number % 3
        premise = " ".join(_sentence(chance))
        hypothesis = ["yes", "perhaps", "no"][label] + " " + " ".join(_sentence(chance)[: 2 + number % 4])
        made.append({"premise": premise, "hypothesis": hypothesis, "label": label, "idx": number})
    return made


def _choices(count: int, chance: random.Random) -> list[Row]:
    made = []
    for number in range(count):
        right = chance.randrange(5)
        texts = [f"{'good' if place == right else 'bad'} {chance.choice(THINGS)}" for place in range(5)]
        made.append(
            {
                "id": f"q{number}",
                "question": " ".join(_sentence(chance)),
                "question_concept": "x",
                "choices": {"label": list("ABCDE"), "text": texts},
                "answerKey": "ABCDE"[right],
            }
        )
    return made


def _tagged(count: int, chance: random.Random) -> list[Row]:
    kinds = dict.fromkeys(THINGS, "NOUN") | dict.fromkeys(DEEDS, "VERB") | {"the": "DET", ".": "PUNCT"}
    sentences = [_sentence(chance)[: 3 + number % 4] for number in range(count)]
    return [{"tokens": words, "pos_tags": [_TAGS.index(kinds[w]) for w in words]} for words in sentences]


def _questions(count: int, chance: random.Random, empty: float) -> list[Row]:
    made = []
    for number in range(count):
        words = [word for _ in range(3) for word in _sentence(chance)]
        answer = chance.choice(THINGS)
        place = chance.randrange(len(words))
        words[place:place] = ["answer", answer]
        context = " ".join(words)
        start = context.index(f"answer {answer}") + len("answer ")
        none = chance.random() < empty
        made.append(
            {
                "id": f"s{number}",
                "title": "t",
                "context": context.replace("answer ", "") if none else context,
                "question": "which answer ?",
                "answers": {"text": [] if none else [answer], "answer_start": [] if none else [start]},
            }
        )
    return made
