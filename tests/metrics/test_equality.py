"""Every metric equals, to the last bit, a plain and slow restatement of its rules, over 10,000 odd cases and more.

The restatements follow descriptions of the official scripts (evaluate.py, seqeval 0.0.12, the scorers of SQuAD v1.1
and MLQA v1) in another style than `metrics`: places are judged one by one, and sets are built from definitions.
"""

import re
import string
import sys
import unicodedata
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from xharness import metrics
from xharness.metrics import classification, question_answering, retrieval, tagging
from xharness.metrics.question_answering import MLQA_LANGUAGES, normal_mlqa, normal_squad
from xharness.metrics.retrieval import Ranking
from xharness.metrics.tagging import chunks

ENOUGH = 10_000
BATCH = 50


class Draw:
    """Choices made from drawn bytes: Hypothesis draws a thousand bytes at once as quickly as one choice."""

    def __init__(self, data):
        self.left = iter(data)

    def number(self, low, high):
        return low + next(self.left, 0) % (high - low + 1)

    def one(self, options):
        return options[self.number(0, len(options) - 1)]

    def some(self, low, high, make):
        return [make() for _ in range(self.number(low, high))]


def agree_on_many(make, check, size):
    """Check at least ``ENOUGH`` different cases, each made of about ``size`` bytes."""
    seen = set()

    # The cases are made of long byte strings on purpose, which hypothesis finds large.
    @settings(max_examples=ENOUGH // BATCH * 5 // 4, suppress_health_check=list(HealthCheck))
    @given(st.binary(min_size=BATCH * size, max_size=BATCH * size))
    def batch(data):
        draw = Draw(data)
        for _ in range(BATCH):
            case = make(draw)
            check(*case)
            seen.add(repr(case))

    batch()
    assert len(seen) >= ENOUGH


def percent_overlap(gold, predicted):
    """F1, precision and recall of two lists, by the order of operations in evaluate.py."""
    gold, predicted = sorted(set(gold)), sorted(set(predicted))
    correct = 0
    for item in gold:
        correct += predicted.count(item)
    if correct == 0:
        return {"f1": 0.0, "precision": 0.0, "recall": 0.0}
    precision, recall = correct / len(predicted), correct / len(gold)
    return {
        "f1": 2 * precision * recall / (precision + recall) * 100,
        "precision": precision * 100,
        "recall": recall * 100,
    }


# --- Labels ---

LABELS = ["", " ", "0", "1", "00", "a", "A", "neutral", "entailment", "entailment ", "é", "e\u0301", "\u200b", "a\r"]


def label_case(draw):
    pairs = draw.some(1, 12, lambda: (draw.one(LABELS), draw.one(LABELS)))
    # Half of the pairs agree, and now and then one side holds a number where the other holds its text.
    pairs = [(gold, draw.one([gold, predicted])) for gold, predicted in pairs]
    return [gold for gold, _ in pairs], [int(p) if p in ("0", "1") and draw.one([0, 1]) else p for _, p in pairs]


def check_accuracy(golds, predictions):
    right = 0.0
    for place in range(len(golds)):
        if f"{golds[place]}" == f"{predictions[place]}":
            right += 1.0
    assert classification.accuracy(golds, predictions, "en").scores == {"accuracy": right / len(golds) * 100}


def test_accuracy():
    agree_on_many(label_case, check_accuracy, 40)


# --- Tags ---

IOB = ["O", "O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]
# One letter or sign each, then what only looks like a tag of entities, then other schemes' tags.
ODD = [*"BIOESXLU-._", "", "--", "B-", "I-", "O-", "-PER", "I-X-Y", "B-X-Y", "I-Y", "i-PER", "B-PER "]
ODD += ["E-PER", "S-PER", "E-LOC", "S-LOC", "O-PER", ".-PER", "L-PER", "B-É", "I-E\u0301", "B-人名", "I-人名"]
UPOS = ["ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NOUN", "NOUN", "NUM", "PART", "PRON", "PROPN"]
UPOS += ["PUNCT", "SCONJ", "SCONJ", "SYM", "SYM", "VERB", "X", "X", "_", "O"]


def tag_case(*choices):
    """Return what makes sentences of one of several sets of tags, and predictions near them."""

    def make(draw):
        tags = draw.one(choices)
        golds = draw.some(1, 3, lambda: draw.some(0, 7, lambda: draw.one(tags)))
        golds[0].append(draw.one(tags))  # a word there must be
        return golds, [[draw.one([tag, tag, draw.one(tags)]) for tag in sentence] for sentence in golds]

    return make


def ends(before, after):
    """Whether an entity ends between two (letter, type)."""
    (letter, kind), (next_letter, next_kind) = before, after
    if letter == "E" or letter == "S":
        return True
    if (letter == "B" or letter == "I") and (next_letter == "B" or next_letter == "S" or next_letter == "O"):
        return True
    return letter != "O" and letter != "." and kind != next_kind


def starts(before, after):
    """Whether an entity starts between two (letter, type)."""
    (letter, kind), (next_letter, next_kind) = before, after
    if next_letter == "B" or next_letter == "S":
        return True
    if (letter == "E" or letter == "S" or letter == "O") and (next_letter == "E" or next_letter == "I"):
        return True
    return next_letter != "O" and next_letter != "." and kind != next_kind


def entities(sentences):
    """Every place where an entity ends, with the last place where one started; the border of sentences is an O."""
    row = [tag for sentence in sentences for tag in [*sentence, "O"]]
    # The first letter and what follows the last hyphen; an empty tag, which seqeval cannot read, has neither.
    read = [("O", "")] + [("".join(tag[:1]), tag.split("-")[-1]) for tag in row]
    steps = list(pairwise(read))
    beginnings = [place for place, step in enumerate(steps) if starts(*step)]
    return [
        (step[0][1], max((b for b in beginnings if b < place), default=0), place - 1)
        for place, step in enumerate(steps)
        if ends(*step)
    ]


def check_entities(golds, predictions):
    assert chunks(golds) == set(entities(golds))
    expected = percent_overlap(entities(golds), entities(predictions))
    assert tagging.entity_f1(golds, predictions, "de").scores == expected
    if all(tag in IOB for sentence in golds for tag in sentence):
        assert chunks(golds) == set(get_entities(golds))  # seqeval 1.2.2 reads these tags by the same rules


def test_entity_f1():
    agree_on_many(tag_case(IOB, IOB, ODD, IOB + ODD), check_entities, 70)


def check_units(golds, predictions):
    words = [(s, w) for s in range(len(golds)) for w in range(len(golds[s]))]
    right = len([1 for s, w in words if golds[s][w] == predictions[s][w]])
    expected = percent_overlap(entities(golds), entities(predictions)) | {"token_accuracy": right / len(words) * 100}
    assert tagging.udpos_f1(golds, predictions, "de").scores == expected


def test_udpos_f1():
    agree_on_many(tag_case(UPOS, UPOS, ["SYM", "SCONJ", "INTJ", "X"], UPOS + ODD), check_units, 70)


# --- Answers ---

PIECES = [*"aAbxİßΣς的中國龥龦々ー1-.,!?'$+<|`~^_€£°।،؟«»“”’…、。「」–—¿¡·๏ๆ \t\n", '"', "", "  ", "\r\n"]
# Spaces, signs without width, combining marks, half a pair, a picture.
PIECES += [*"\u00a0\u3000\u2028\x85\u200b\u200d\ufeff\u00ad\u0301\u0300\u064b\ud800\U0001f600"]
PIECES += ["a", "an", "the", "The ", " A ", "the-", "is a ", "der ", " eine", "dem", "la ", "los", " El ", "của ", "là"]
PIECES += ["la\u0300", "những ", "ال", "وال", "الا", "ل", "ا", "كتاب", "उत्तर", "หนึ่ง", "北京", "308"]
PIECES += ["word ", "word", " two"]
PUNCTUATION = {ord(c) for c in string.punctuation} | {
    code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code))[0] == "P"
}
NO_PUNCTUATION = dict.fromkeys(PUNCTUATION)
MLQA_ARTICLES = {
    "ar": "",
    "de": "ein eine einen einem eines einer der die das den dem des",
    "en": "a an the",
    "es": "un una unos unas el la los las",
    "hi": "",
    "vi": "của là cái chiếc những",
    "zh": "",
}


def text_of(draw):
    return "".join(draw.some(0, 5, lambda: draw.one(PIECES)))


def answer_case(draw):
    golds = {str(n): draw.some(1, 2, lambda: text_of(draw)) for n in range(draw.number(1, 3))}
    predictions = {"9": "nobody asked"} if draw.number(0, 9) == 0 else {}
    for question, answers in golds.items():
        near = draw.one(answers)
        predictions[question] = draw.one([near, near + draw.one(PIECES), draw.one(PIECES) + near, text_of(draw)])
        if draw.number(0, 9) == 0:
            del predictions[question]
    return golds, predictions


def squad_words(text):
    text = re.sub("[" + re.escape(string.punctuation) + "]", "", text.lower())
    return re.sub(r"(?<!\w)(?:a|an|the)(?!\w)", " ", text).split()


def mlqa_words(text, language):
    text = text.lower().translate(NO_PUNCTUATION)
    articles = MLQA_ARTICLES[language].split()
    text = text.replace("ال", " ") if language == "ar" else text
    text = re.sub(r"\w+", lambda run: " " if run[0] in articles else run[0], text)
    if language != "zh":
        return text.split()
    words, rest = [], ""
    for character in text:
        if "\u4e00" <= character <= "\u9fa5":
            words += [*rest.split(), character]
            rest = ""
        else:
            rest += character
    return words + rest.split()


def word_f1(predicted, correct):
    common = sum(min(predicted.count(word), correct.count(word)) for word in set(predicted))
    if common == 0:
        return 0
    precision, recall = 1.0 * common / len(predicted), 1.0 * common / len(correct)
    return (2 * precision * recall) / (precision + recall)


def answers_measured(golds, predictions, words):
    exact_match = f1 = 0
    for question in golds:
        if question in predictions:
            found = words(predictions[question])
            right = [words(answer) for answer in golds[question]]
            exact_match += max(" ".join(found) == " ".join(answer) for answer in right)
            f1 += max(word_f1(found, answer) for answer in right)
    scores = {"exact_match": 100.0 * exact_match / len(golds), "f1": 100.0 * f1 / len(golds)}
    return scores, {
        "missing": len(golds.keys() - predictions.keys()),
        "unknown": len(predictions.keys() - golds.keys()),
    }


def check_squad(golds, predictions):
    measured = question_answering.squad(golds, predictions, "th")
    assert (measured.scores, measured.counts) == answers_measured(golds, predictions, squad_words)


def test_squad():
    agree_on_many(answer_case, check_squad, 60)


def check_mlqa(golds, predictions):
    for language in MLQA_ARTICLES:
        measured = question_answering.mlqa(golds, predictions, language)
        expected = answers_measured(golds, predictions, partial(mlqa_words, language=language))
        assert (measured.scores, measured.counts) == expected, language


@pytest.mark.slow  # sixty rounds of questions, in each of seven languages
def test_mlqa_in_all_seven_languages():
    assert set(MLQA_ARTICLES) == set(MLQA_LANGUAGES)
    agree_on_many(answer_case, check_mlqa, 60)


def test_every_character_of_unicode():
    # Further on, no character is punctuation, a space, or another one in lower case.
    for start in range(0, 0x20000, 4096):
        text = "".join(f"x{chr(code)}y {chr(code)} " for code in range(start, start + 4096))
        assert normal_squad(text).split() == squad_words(text)
        for language in ("ar", "vi", "zh"):
            assert normal_mlqa(text, language).split() == mlqa_words(text, language)


# --- Pairs and rankings ---

IDS = ["", "de-1", "de-2", "de-2 ", "de-3", "en-1", "en-2", "en-3", "en-3\r", "e\u0301", "é"]


def pair_case(draw):
    golds = draw.some(1, 8, lambda: (draw.one(IDS), draw.one(IDS)))
    # Found pairs: some right, some turned round, some wrong, some twice, all in another order.
    near = draw.some(0, 6, lambda: draw.one(golds)[:: draw.one([1, 1, 1, -1])])
    return golds, near + draw.some(0, 3, lambda: (draw.one(IDS), draw.one(IDS)))


def check_bucc(golds, predictions):
    assert retrieval.bucc_f1(golds, predictions, "de").scores == percent_overlap(golds, predictions)
    assert retrieval.bucc_f1(set(golds), predictions[::-1], "de").scores == percent_overlap(golds, predictions)


def test_bucc_f1():
    agree_on_many(pair_case, check_bucc, 60)


def candidate_order(draw, count):
    """Return all candidates of a pool in some order."""
    start, step = draw.number(0, count - 1), draw.number(1, count - 1)
    return [f"Q{(start + step * place) % count}" for place in range(count)]


def mention_case(draw):
    golds, predictions = {}, {"unknown": ["Q1"]} if draw.number(0, 9) == 0 else {}
    for query in range(draw.number(1, 6)):
        entities = draw.some(
            1, 2, lambda: draw.one(["", " "]) + f"Q{draw.number(0, 36)}" + draw.one(["", "\n", "\u3000"])
        )
        golds[f"m{query}"] = entities
        found = candidate_order(draw, 37)[: draw.one([0, 1, 5, 19, 20, 21, 22, 37])]
        if draw.number(0, 2) == 0:
            found = [draw.one(found) for _ in found]  # some stand there twice
        if draw.number(0, 9):
            predictions[f"m{query}"] = found
    return golds, predictions


def check_mrr(golds, predictions):
    total = 0.0
    for query in golds:
        for place, candidate in enumerate(predictions.get(query, []), start=1):
            if place <= 20 and candidate == golds[query][0].strip():
                total += 1.0 / place
                break
    measured = retrieval.mrr_at_20(golds, predictions, "fa")
    assert measured.scores == {"mrr@20": total / len(golds) * 100, "map@20": total / len(golds) * 100}
    assert measured.counts["missing"] == len([query for query in golds if query not in predictions])


def test_mrr_at_20():
    agree_on_many(mention_case, check_mrr, 110)


def question_case(draw):
    golds, predictions = {}, {"unknown": Ranking(("Q1",))} if draw.number(0, 9) == 0 else {}
    for question in range(draw.number(1, 4)):
        order = candidate_order(draw, 37)
        first, step = draw.number(0, 36), draw.one([1, 2, 5, 11])
        right = [f"Q{(first + step * n) % 37}" for n in range(draw.one([1, 2, 3, 11, 19, 20, 21, 30, 37]))]
        golds[f"q{question}"] = right + right[: draw.number(0, 1)]
        shown = tuple(order[: draw.one([0, 1, 5, 11, 19, 20, 21, 37])])
        ranks = tuple(place for place, candidate in enumerate(order, start=1) if candidate in right)
        form = draw.number(0, 9)
        if form == 1:
            ranks = None
        if form == 2 and shown:
            shown, ranks = tuple(draw.one(shown) for _ in shown), None
        if form:
            predictions[f"q{question}"] = Ranking(shown, ranks)
    return golds, predictions


def precisions(places):
    """The sum, over the places of right candidates, of how many stand up to there, divided by the place."""
    total = 0.0
    for place in places:
        total += len([other for other in places if other <= place]) / place
    return total


def check_map(golds, predictions):
    cut = uncut = 0.0
    for question, found in predictions.items():
        if question not in golds:
            continue
        right, shown = set(golds[question]), found.candidates[:20]
        places = [n + 1 for n in range(len(shown)) if shown[n] in right and shown[n] not in shown[:n]]
        cut += precisions(places) / min(len(right), 20)
        uncut += precisions(found.ranks or ()) / len(right)
    expected = {"map@20": cut / len(golds) * 100, "map": uncut / len(golds) * 100}
    if any(found.ranks is None for question, found in predictions.items() if question in golds):
        del expected["map"]
    measured = retrieval.map_at_20(golds, predictions, "th")
    assert measured.scores == expected
    assert measured.counts["unknown"] == len([question for question in predictions if question not in golds])


def test_map_at_20():
    agree_on_many(question_case, check_map, 60)


# --- Cases with a known answer, each metric at its ends ---


@pytest.mark.parametrize(
    ("metric", "golds", "perfect"),
    [
        ("accuracy", ["a", "b"], ["a", "b"]),
        ("entity_f1", [["B-PER", "O"]], [["B-PER", "O"]]),
        ("udpos_f1", [["NOUN", "X"]], [["NOUN", "X"]]),
        ("squad", {"q": ["a dog"]}, {"q": "Dog!"}),
        ("mlqa", {"q": ["a dog"]}, {"q": "«Dog»"}),
        ("bucc_f1", [("a", "b")], [("a", "b")]),
        ("mrr_at_20", {"m": ["Q1"]}, {"m": ["Q1"]}),
        ("map_at_20", {"q": ["1", "2"]}, {"q": Ranking(("2", "1"), (1, 2))}),
    ],
)
def test_what_is_right_scores_100(metric, golds, perfect):
    assert set(metrics.METRICS[metric](golds, perfect, "en").scores.values()) == {100.0}
