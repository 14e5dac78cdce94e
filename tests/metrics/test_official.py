"""Every metric against an independent restatement of its rules, and by hand where the rules are odd."""

import re
import string
import unicodedata
import warnings
from itertools import chain, groupby

import pytest
import seqeval.metrics as seqeval
from hypothesis import given
from hypothesis import strategies as st

from helpers.tags import IOB, UPOS, tagged
from xharness import metrics
from xharness.errors import DataError, PredictionError, UsageError
from xharness.metrics import base, classification, question_answering, retrieval, tagging
from xharness.metrics.retrieval import Ranking
from xharness.metrics.tagging import chunks


def scores_of(gold, predicted):
    """F1, precision and recall of two sets, in percent."""
    correct = len(gold & predicted)
    precision = correct / len(predicted) if predicted else 0
    recall = correct / len(gold) if gold else 0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0
    return {"f1": f1 * 100, "precision": precision * 100, "recall": recall * 100}


# --- Accuracy ---


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("ab")), min_size=1))
def test_accuracy_is_the_share_of_equal_lines(pairs):
    golds, predictions = zip(*pairs, strict=True)
    expected = float(len([1 for gold, predicted in pairs if gold == predicted])) / len(pairs) * 100
    assert classification.accuracy(golds, predictions, "en").scores == {"accuracy": expected}


def test_accuracy_rounds_as_evaluate_does():
    # 100 * 7 / 25 would be 28.0; evaluate.py divides first.
    golds = ["a"] * 25
    assert classification.accuracy(golds, ["a"] * 7 + ["b"] * 18, "en").scores["accuracy"] == 28.000000000000004


def test_accuracy_of_indices_takes_numbers_and_text():
    assert classification.accuracy(["0", "1", "2"], [0, 2, 2], "fr").scores["accuracy"] == 2 / 3 * 100


# --- Entities and parts of speech ---


@given(tagged(IOB))
def test_entity_f1_equals_seqeval_on_iob(pair):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where there is nothing to divide by
        expected = {
            "f1": seqeval.f1_score(*pair) * 100,
            "precision": seqeval.precision_score(*pair) * 100,
            "recall": seqeval.recall_score(*pair) * 100,
        }
    assert tagging.entity_f1(*pair, "de").scores == pytest.approx(expected, abs=1e-12)


def iob_entities(sentences):
    """Entities by walking on from every first word: lenient IOB2, as conlleval reads it."""
    found = set()
    for number, tags in enumerate(sentences):
        for first, tag in enumerate(tags):
            before = tags[first - 1] if first else "O"
            if tag == "O" or (tag[0] == "I" and before[1:] == tag[1:]):
                continue
            last = first
            while last + 1 < len(tags) and tags[last + 1] == "I" + tag[1:]:
                last += 1
            found.add((number, tag[2:], first, last))
    return found


@given(tagged(IOB))
def test_entity_f1_equals_a_plain_walk(pair):
    golds, predictions = pair
    expected = scores_of(iob_entities(golds), iob_entities(predictions))
    assert tagging.entity_f1(golds, predictions, "de").scores == expected


def pos_units(sentences):
    """Runs of equal tags; every single SCONJ and SYM for itself."""
    found = set()
    for number, tags in enumerate(sentences):
        at = 0
        for tag, run in groupby(tags):
            length = len(list(run))
            step = 1 if tag.startswith("S") else length
            found |= {(number, tag, first, first + step) for first in range(at, at + length, step)}
            at += length
    return found


@given(tagged(UPOS))
def test_udpos_f1_is_over_runs_of_equal_tags(pair):
    golds, predictions = pair
    found = tagging.udpos_f1(golds, predictions, "de").scores
    words = list(zip(chain(*golds), chain(*predictions), strict=True))
    accuracy = sum(gold == predicted for gold, predicted in words) / len(words) * 100
    assert found == {**scores_of(pos_units(golds), pos_units(predictions)), "token_accuracy": accuracy}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("NOUN NOUN VERB", {("NOUN", 0, 1), ("VERB", 2, 2)}),
        ("SYM SYM", {("SYM", 0, 0), ("SYM", 1, 1)}),
        ("SCONJ SCONJ NOUN", {("SCONJ", 0, 0), ("SCONJ", 1, 1), ("NOUN", 2, 2)}),
        ("INTJ INTJ", {("INTJ", 0, 1)}),
        ("X", {("X", 0, 0)}),  # seqeval >= 0.0.18 loses this one
        ("X O X X", {("X", 0, 0), ("X", 2, 3)}),
        ("_ _ NOUN", {("_", 0, 1), ("NOUN", 2, 2)}),
        ("O O", set()),
        (". . B-X", {("X", 2, 2)}),
        ("I-PER I-PER", {("PER", 0, 1)}),
        ("B-PER B-PER", {("PER", 0, 0), ("PER", 1, 1)}),
        ("B-PER I-ORG", {("PER", 0, 0), ("ORG", 1, 1)}),
        ("B-A-PER I-PER", {("PER", 0, 1)}),
        ("B-PER E-PER O", {("PER", 0, 1)}),
        ("O-PER I-PER", {("PER", 1, 1)}),
        ("O-PER E-PER", {("PER", 1, 1)}),
        ("E-PER E-PER", {("PER", 0, 0), ("PER", 1, 1)}),
        ("S-PER I-PER", {("PER", 0, 0), ("PER", 1, 1)}),
    ],
)
def test_entities_by_hand(tags, expected):
    assert chunks([tags.split()]) == expected


def test_nothing_runs_over_the_border_of_sentences():
    assert chunks([["NOUN"], ["NOUN"]]) == {("NOUN", 0, 0), ("NOUN", 2, 2)}
    assert chunks([["B-PER"], ["I-PER"]]) == {("PER", 0, 0), ("PER", 2, 2)}


def test_one_wrong_tag_costs_udpos_a_whole_run():
    found = tagging.udpos_f1([["NOUN", "NOUN", "NOUN", "VERB"]], [["NOUN", "NOUN", "ADJ", "VERB"]], "en").scores
    assert found == {"f1": 40.0, "precision": 1 / 3 * 100, "recall": 50.0, "token_accuracy": 75.0}


def test_no_entity_at_all_scores_zero():
    assert tagging.entity_f1([["O"]], [["O"]], "en").scores == {"f1": 0, "precision": 0, "recall": 0}
    assert tagging.entity_f1([["B-PER"]], [["O"]], "en").scores["f1"] == 0


def test_a_sentence_of_another_length_is_named():
    with pytest.raises(PredictionError, match=r"Sentence 2 \(ur\): found 1 predicted tags, expected 2"):
        tagging.entity_f1([["O"], ["O", "O"], ["O"]], [["O"], ["O"], []], "ur")


# --- Answers ---

# What the rules treat specially: articles, Arabic's prefix, Han, punctuation of several scripts, spaces.
PIECES = [
    *"aA 的中x$-।،«’",
    " ",
    "\u3000",
    "the ",
    " an ",
    "ال",
    "كتاب",
    "der ",
    "la ",
    "của ",
    "龥",
    "龦",
    "é",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
ARTICLES = {
    "en": "a an the",
    "es": "un una unos unas el la los las",
    "de": "ein eine einen einem eines einer der die das den dem des",
    "vi": "của là cái chiếc những",
}


def words_of(text, ascii_only, language):
    """The words of an answer that count, cut character by character."""
    kept = []
    for character in text.lower():
        is_ascii = character in string.punctuation
        if is_ascii or (not ascii_only and unicodedata.category(character)[0] == "P"):
            continue
        kept.append(character)
    text = "".join(kept)
    if language == "ar":
        text = " ".join(text.split("ال"))
    if language == "zh":
        text = "".join(f" {c} " if 0x4E00 <= ord(c) <= 0x9FA5 else c for c in text)
    # Articles end where words do in the sense of regular expressions, which is not always at a space.
    articles = ARTICLES.get(language, "").split()
    pieces = re.split(r"(\W+)", text)
    return "".join(" " if piece in articles else piece for piece in pieces).split()


def answer_scores(golds, predictions, words):
    """EM and F1, by removing the words in common one by one."""
    matches = f1s = 0
    for question, answers in golds.items():
        if question not in predictions:
            continue
        predicted, best = words(predictions[question]), 0
        matches += any(words(answer) == predicted for answer in answers)
        for answer in answers:
            left, common = words(answer), 0
            length = len(left)
            for word in predicted:
                if word in left:
                    left.remove(word)
                    common += 1
            if common:
                precision, recall = common / len(predicted), common / length
                best = max(best, 2 * precision * recall / (precision + recall))
        f1s += best
    return {"exact_match": 100.0 * matches / len(golds), "f1": 100.0 * f1s / len(golds)}


GOLDS = st.dictionaries(st.sampled_from("pqrs"), st.lists(TEXTS, min_size=1, max_size=3), min_size=1)
ANSWERS = st.dictionaries(st.sampled_from("pqrst"), TEXTS)


@given(GOLDS, ANSWERS)
def test_squad_equals_a_plain_restatement(golds, predictions):
    measured = question_answering.squad(golds, predictions, "th")
    assert measured.scores == answer_scores(golds, predictions, lambda text: words_of(text, True, "en"))
    assert measured.counts == {
        "missing": len(set(golds) - set(predictions)),
        "unknown": len(set(predictions) - set(golds)),
    }


@given(GOLDS, ANSWERS, st.sampled_from(["ar", "de", "en", "es", "hi", "vi", "zh"]))
def test_mlqa_equals_a_plain_restatement(golds, predictions, language):
    expected = answer_scores(golds, predictions, lambda text: words_of(text, False, language))
    assert question_answering.mlqa(golds, predictions, language).scores == expected


def em_f1(metric, gold, predicted, language):
    found = metric({"q": [gold]}, {"q": predicted}, language).scores
    return found["exact_match"], found["f1"]


@pytest.mark.parametrize(
    ("gold", "predicted", "language", "squad", "mlqa"),
    [
        # Punctuation beyond ASCII stays in SQuAD and goes in MLQA.
        ("“Haus”", "Haus", "de", (0, 0), (100, 100)),
        ("उत्तर।", "उत्तर", "hi", (0, 0), (100, 100)),
        # Symbols of ASCII go in both, others in neither.
        ("$5", "5", "en", (100, 100), (100, 100)),
        ("€5", "5", "en", (0, 0), (0, 0)),
        # Articles are English in SQuAD, whatever the language.
        ("das Haus", "Haus", "de", (0, pytest.approx(200 / 3)), (100, 100)),
        ("a casa", "casa", "es", (100, 100), (0, pytest.approx(200 / 3))),
        ("của Đà Lạt", "Đà Lạt", "vi", (0, 80), (100, 100)),
        # Arabic's article goes wherever its letters stand.
        ("الكتاب", "كتاب", "ar", (0, 0), (100, 100)),
        ("والكتاب", "كتاب", "ar", (0, 0), (0, pytest.approx(200 / 3))),
        # Punctuation goes before articles do, so that it joins words.
        ("the-end", "theend", "en", (100, 100), (100, 100)),
        # Chinese words are characters in MLQA; in SQuAD they are what stands between spaces.
        ("北京大学", "北京", "zh", (0, 0), (0, pytest.approx(200 / 3))),
        ("308 分", "308分", "zh", (0, 0), (100, 100)),
        ("NFL 联盟", "nfl联盟", "zh", (0, 0), (100, 100)),
        # Characters after U+9FA5 are not split: the official range ends there.
        ("龥龥", "龥", "zh", (0, 0), (0, pytest.approx(200 / 3))),
        ("龦龦", "龦", "zh", (0, 0), (0, 0)),
        # Two answers of articles alone match, yet have no word in common.
        ("the", "a", "en", (100, 0), (100, 0)),
    ],
)
def test_squad_and_mlqa_differ(gold, predicted, language, squad, mlqa):
    assert em_f1(question_answering.squad, gold, predicted, language) == squad
    assert em_f1(question_answering.mlqa, gold, predicted, language) == mlqa


def test_the_best_gold_answer_counts_and_ids_are_counted():
    golds = {"1": ["red house", "house"], "2": ["x"], "3": ["y z"]}
    measured = question_answering.squad(golds, {"1": "the house", "3": "y", "9": "x"}, "en")
    assert measured.scores == {"exact_match": 100.0 / 3, "f1": 100.0 * (1 + 2 / 3) / 3}
    assert measured.counts == {"missing": 1, "unknown": 1}


def test_mlqa_refuses_other_languages():
    with pytest.raises(UsageError, match="no rules for the language 'th', only for ar, de, en, es, hi, vi, zh"):
        question_answering.mlqa({"1": ["x"]}, {"1": "x"}, "th")


# --- Pairs and rankings ---


def test_mined_pairs_are_sets():
    golds = [("a", "1"), ("b", "2"), ("c", "3"), ("c", "3")]
    found = retrieval.bucc_f1(golds, [("b", "2"), ("b", "2"), ("a", "2"), ("a", "1"), ("1", "a")], "de").scores
    assert found == {"f1": 2 * 0.5 * (2 / 3) / (0.5 + 2 / 3) * 100, "precision": 50.0, "recall": 2 / 3 * 100}
    assert retrieval.bucc_f1(golds, [], "de").scores == {"f1": 0, "precision": 0, "recall": 0}
    assert retrieval.bucc_f1(golds, [("b", "3")], "de").scores["f1"] == 0


def test_of_entities_the_first_20_count():
    golds = {"1": ["Q1 "], "2": ["Q2", "Q3"], "3": ["Q3"], "4": ["Q4"], "5": ["Q5"]}
    others = [f"P{i}" for i in range(20)]
    predictions = {"1": ["Q2", "Q1"], "2": ["Q3"], "3": [*others[:19], "Q3"], "4": [*others, "Q4"], "9": ["Q9"]}
    measured = retrieval.mrr_at_20(golds, predictions, "fa")
    expected = (1 / 2 + 0 + 1 / 20 + 0 + 0) / 5 * 100
    assert measured.scores == {"mrr@20": expected, "map@20": expected}
    assert measured.counts == {"missing": 1, "unknown": 1}
    rankings = {query: Ranking(tuple(found), (1,)) for query, found in predictions.items()}
    assert retrieval.mrr_at_20(golds, rankings, "fa") == measured


def test_average_precision_by_hand():
    golds = {"1": ["a", "b", "c"], "2": ["d"]}
    predictions = {"1": Ranking(("b", "x", "a", "b"), (1, 3, 30)), "2": Ranking(("x", "y"), (4,))}
    measured = retrieval.map_at_20(golds, predictions, "th")
    first = 1 + 2 / 3
    assert measured.scores == {
        "map@20": (first / 3 + 0) / 2 * 100,
        "map": ((first + 3 / 30) / 3 + 1 / 4) / 2 * 100,
    }
    assert measured.counts == {"missing": 0, "unknown": 0}


def test_average_precision_at_20_is_divided_by_20_at_most():
    golds = {"1": [f"t{i}" for i in range(25)]}
    found = Ranking(tuple(f"t{i}" for i in range(25)), tuple(range(1, 26)))
    assert retrieval.map_at_20(golds, {"1": found}, "en").scores == {"map@20": 100.0, "map": 100.0}


def test_uncut_precision_needs_all_ranks():
    golds = {"1": ["a"], "2": ["b"], "3": ["c"]}
    with_ranks, without = Ranking(("a",), (1,)), Ranking(("b",))
    assert retrieval.map_at_20(golds, {"1": with_ranks, "9": without}, "en").scores == {
        "map@20": 1 / 3 * 100,
        "map": 1 / 3 * 100,
    }
    assert retrieval.map_at_20(golds, {"1": with_ranks, "2": without}, "en").scores == {"map@20": 2 / 3 * 100}


@pytest.mark.parametrize(
    ("candidates", "ranks", "message"),
    [
        ("ax", (1,), "found 1 ranks, expected 2"),
        ("ax", (1, 3, 4), "found 3 ranks, expected 2"),
        ("ax", (3, 1), r"the ranks \[3, 1\] do not ascend from 1 on"),
        ("ab", (1, 1), "do not ascend"),
        ("xa", (0, 2), "do not ascend"),
        ("xa", (1, 3), r"by the ranks, .* among the first 2 are at \[1\], but by the candidates at \[2\]"),
        ("xa", (3, 4), r"by the ranks, .* among the first 2 are at \[\], but by the candidates at \[2\]"),
        ("xy", (2, 3), r"by the ranks, .* among the first 2 are at \[2\], but by the candidates at \[\]"),
    ],
)
def test_ranks_that_cannot_be_true_are_refused(candidates, ranks, message):
    with pytest.raises(PredictionError, match=rf"The question 'q7' \(hi\): .*{message}"):
        retrieval.map_at_20({"q7": ["a", "b"]}, {"q7": Ranking(tuple(candidates), ranks)}, "hi")


# --- Means and mistakes ---


def test_task_score_is_what_enters_the_average():
    scores = {"exact_match": 60.0, "f1": 71.0, "accuracy": 80.0, "token_accuracy": 90.0, "mrr@20": 50.0, "map@20": 40.0}
    tags_and_pairs = {"entity_f1": 71.0, "udpos_f1": 71.0, "bucc_f1": 71.0}
    answers_and_rankings = {"squad": 65.5, "mlqa": 65.5, "mrr_at_20": 50.0, "map_at_20": 40.0}
    of_training_sets = {"accuracy_f1": 75.5, "token_accuracy": 90.0, "squad_v2": 65.5}
    expected = {"accuracy": 80.0, **tags_and_pairs, **answers_and_rankings, **of_training_sets}
    assert {metric: base.task_score(keys, scores) for metric, keys in metrics.SCORE_KEYS.items()} == expected
    assert set(metrics.SCORE_KEYS) == set(metrics.METRICS)


def test_task_score_says_what_is_missing():
    with pytest.raises(DataError, match="have no 'exact_match'"):
        base.task_score(metrics.SCORE_KEYS["mlqa"], {"f1": 1.0})


def test_mean_adds_from_left_to_right():
    # sum() of Python 3.12 would give 2.0 / 4 here.
    assert base.mean([1.0, 1e100, 1.0, -1e100]) == 0.0
    with pytest.raises(DataError):
        base.mean([])


@pytest.mark.parametrize("metric", metrics.METRICS)
def test_empty_gold_is_said_to_be_empty(metric):
    with pytest.raises(DataError, match=r"\(en\)"):
        metrics.METRICS[metric]([] if "accuracy" in metric or "f1" in metric else {}, {}, "en")


def test_gold_without_words_or_answers_is_refused():
    with pytest.raises(DataError, match="have no words"):
        tagging.udpos_f1([[]], [[]], "en")
    with pytest.raises(DataError, match="'q7'"):
        question_answering.squad({"q7": []}, {}, "en")
    with pytest.raises(DataError, match="'q7'"):
        retrieval.mrr_at_20({"q7": []}, {}, "en")
    with pytest.raises(DataError, match="'q7'"):
        retrieval.map_at_20({"q7": ()}, {}, "en")


@pytest.mark.parametrize("metric", [classification.accuracy, tagging.entity_f1, tagging.udpos_f1])
def test_lengths_must_match(metric):
    with pytest.raises(PredictionError, match=r"Found 1 .*expected 2"):
        metric(["O", "O"], ["O"], "en")


# --- The official test's constants, where their inputs can be restated -----------------------------------------------
# evaluate_test.py of google-research/xtreme scores made-up predictions. What matters of them can be told in numbers: of
# BUCC's ten pairs a language how many are right, and for Mewsli-X at which rank the one right entity stands.


def test_the_official_constant_of_bucc():
    scores = []
    for language, right in {"de": 5, "fr": 5, "ru": 5, "zh": 7}.items():
        gold = [(f"{language}-{i}", f"en-{i}") for i in range(10)]
        made = gold[:right] + [(gold[i][0], "en-elsewhere") for i in range(right, 10)]
        scores.append(retrieval.bucc_f1(gold, made, language).scores["f1"])
    assert base.mean(scores) == 55.0


def test_the_official_constant_of_mewslix():
    ranks = {"ar": 16, "de": 2, "en": 12, "es": 12, "fa": 4, "ja": 14, "pl": 19, "ro": 6, "ta": 13, "tr": 8, "uk": 9}
    scores = []
    for language, rank in ranks.items():
        candidates = [f"Q{i}" for i in range(1, 21)]
        found = retrieval.mrr_at_20({"m": [f"Q{rank}"]}, {"m": candidates}, language)
        assert found.scores["map@20"] == found.scores["mrr@20"]
        scores.append(found.scores["map@20"])
    assert base.mean(scores) == 14.39025156130419
