"""Scores on model cards: what is partial stays out of the metadata, and seeds are merged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from helpers.cards import REPO, TUNE, entries, metadata_of, run, score, tuned
from xharness.publishing.card import metadata as card_metadata
from xharness.publishing.card import render
from xharness.publishing.card.content import Card
from xharness.tasks import registry
from xharness.tasks.benchmarks import benchmarks

# --- What is partial ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"n": 200, "settings": {"limit": 200}},
        {"data_status": "sample"},
        {"data_status": "stand-in"},
        {"data_status": "unknown"},
        {"selected_by": "test"},
    ],
)
def test_a_score_of_less_than_the_whole_test_data_is_marked_and_not_in_the_metadata(
    changes: dict[str, Any], gathered: Callable[..., Card]
) -> None:
    runs = [run([score("xquad", "de", 70.0, **changes), score("xquad", "en", 80.0)])]
    card = gathered(runs=runs)
    text = render.render(card)
    line = next(line for line in text.splitlines() if line.startswith("| German (de) |"))
    assert line.endswith("| **partial** |")
    assert next(line for line in text.splitlines() if line.startswith("| English (en) |")).endswith("| complete |")
    assert "- XQuAD is **partial**: no score for 10 languages" in text
    configs = {each["dataset"]["config"] for each in metadata_of(card)["model-index"][0]["results"]}
    assert configs == {"en"}
    assert set(entries(card)) == {"xquad_en"}


def test_a_head_tuned_on_a_sample_gives_no_official_score(gathered: Callable[..., Card]) -> None:
    scores = [tuned("panx", "de", 70.0, 1, told={"data_status": ["sample"]})]
    card = gathered(runs=[run(scores, seed=1, tune=TUNE)])
    assert "model-index" not in metadata_of(card)
    assert card_metadata.eval_results(card, REPO) == {}
    assert "tuned on sample data" in render.render(card)


def test_one_partial_seed_makes_the_mean_partial(gathered: Callable[..., Card]) -> None:
    runs = [
        run([tuned("panx", "de", 70.0, seed, n=10000 if seed == 1 else 9)], seed=seed, tune=TUNE) for seed in (1, 2)
    ]
    card = gathered(runs=runs)
    assert "not the expected number of examples" in render.render(card)
    assert card_metadata.eval_results(card, REPO) == {}


def whole(task: str, value: float, benchmark: str | None = None) -> list[Any]:
    return [
        score(task, code, value + i / 10) for i, code in enumerate(registry.load_task(task).languages_in(benchmark))
    ]


def test_a_mean_is_in_community_evals_only_where_it_is_the_benchmarks(gathered: Callable[..., Card]) -> None:
    card = gathered(runs=[run(whole("pawsx", 80.0))])
    found = entries(card)
    assert found["pawsx"].value == pytest.approx(80.3)
    assert "overall" not in found
    assert found["pawsx_de"].dataset_id == "org/xtreme"
    assert found["pawsx_de"].source_url == (
        f"https://huggingface.co/{REPO}/blob/main/{card.scores.sections[0].folder}/seed0/pawsx/de.json"
    )
    assert all(entry.verify_token is None and entry.date is None for entry in found.values())
    assert not entries(card, "xtreme-r"), "PAWS-X is no target of XTREME-R"


def test_the_overall_score_needs_every_target_and_language(gathered: Callable[..., Card]) -> None:
    scores = [each for name in benchmarks()["xtreme"].tasks for each in whole(name, 60.0, "xtreme")]
    assert "overall" in entries(gathered(runs=[run(scores)]))
    assert "overall" not in entries(gathered(runs=[run(scores[:-1])]))


def test_the_score_tuned_in_zero_shot_stands_for_a_target(gathered: Callable[..., Card]) -> None:
    other = {**TUNE, "track": "native", "languages": ["de"]}
    runs = [
        run([score("xquad", "de", 60.0)]),
        run([tuned("xquad", "de", 70.0, 1)], seed=1, tune=TUNE),
        run([tuned("xquad", "de", 90.0, 1, track="native")], seed=1, tune=other),
    ]
    card = gathered(runs=runs)
    found = entries(card)["xquad_de"]
    assert found.value == 71.25
    assert str(found.notes).startswith("tuned, zero-shot, 1,190 examples, 1 seed")
    assert [section.track for section in card.scores.sections] == [None, "zero-shot", "native"]
    assert len(metadata_of(card)["model-index"][0]["results"][0]["metrics"]) == 6, "all three are in the model-index"
    only_native = gathered(runs=runs[2:])
    assert card_metadata.eval_results(only_native, REPO) == {}
    assert only_native.scores.results is None


def test_a_collapsed_seed_is_in_the_mean_and_said(gathered: Callable[..., Card]) -> None:
    text = render.render(gathered("mnli"))
    assert (
        "- PAN-X (WikiANN): seed 2 collapsed in training and is included in the mean; without it the mean is 60.2."
        in text
    )
    assert "COLLAPSED in training" in text
    found = entries(gathered("mnli"))["panx_de"]
    assert "2 seeds, 1 of them collapsed in training, sd 1.41" in str(found.notes)


def test_mean_and_deviation_are_over_seeds(gathered: Callable[..., Card]) -> None:
    values = {1: 70.0, 2: 71.0, 3: 75.0}
    runs = [run([tuned("panx", "de", value, seed)], seed=seed, tune=TUNE) for seed, value in values.items()]
    cell = gathered(runs=runs).scores.sections[0].cells["panx"]["de"]
    assert cell.spreads["f1"].mean == 72.0
    assert cell.spreads["f1"].deviation == pytest.approx(7**0.5)
    assert cell.intervals["f1"] == pytest.approx((70.5, 73.25))


def test_a_seed_that_lacks_a_language_is_not_in_the_deviation_of_the_mean(gathered: Callable[..., Card]) -> None:
    both = [tuned("panx", "de", 70.0, 1), tuned("panx", "zh", 20.0, 1)]
    card = gathered(runs=[run(both, seed=1, tune=TUNE), run([tuned("panx", "de", 72.0, 2)], seed=2, tune=TUNE)])
    section = card.scores.sections[0]
    assert section.results.tasks["panx"].mean["score"] == 45.5
    assert section.summaries["panx"].scores == {1: 45.0, 2: None}
    assert section.summaries["panx"].every.deviation is None
    assert "panx: seed 2 has no score for zh" in section.notes


def test_a_private_repository_is_said_to_need_a_token(gathered: Callable[..., Card]) -> None:
    assert "hf auth login" in render.render(gathered(public=False))
    assert "hf auth login" not in render.render(gathered())


def test_runs_of_other_settings_are_told_apart(gathered: Callable[..., Card]) -> None:
    runs = [run([score("tatoeba", "de", 40.0)], layer=7), run([score("tatoeba", "de", 60.0)])]
    card = gathered(runs=runs)
    text = render.render(card)
    assert "### As is\n" in text
    assert "### As is (layer 7)\n" in text
    assert entries(card)["tatoeba_de"].value == 60.0, "the one with xharness' own settings stands for the target"


def test_sections_that_differ_in_their_type_only_have_other_titles(gathered: Callable[..., Card]) -> None:
    made = {dtype: [score("tatoeba", "de", value, dtype=dtype)] for dtype, value in (("bfloat16", 1), ("float32", 2))}
    card = gathered(runs=[run(scores, dtype=dtype) for dtype, scores in made.items()])
    text = render.render(card)
    assert "### As is, in bfloat16\n" in text
    assert "If a target was scored in several ways, the tables" in text
    assert entries(card)["tatoeba_de"].value == 2, "the more exact one"
    assert "float32" in str(entries(card)["tatoeba_de"].notes)


def test_seeds_do_not_make_a_score_as_it_is_another_one(gathered: Callable[..., Card]) -> None:
    runs = [run([score("tatoeba", "de", 60.0)]), run([score("tatoeba", c, 60.0, seed=1) for c in ("de", "ar")], seed=1)]
    card = gathered(runs=runs)
    section = card.scores.sections[0]
    assert {code: list(cell.scores) for code, cell in section.cells["tatoeba"].items()} == {"ar": [1], "de": [0]}
    text = render.render(card)
    assert "Evaluated once, in bfloat16" in text
    assert "of different checkpoints" not in text
    found = entries(card)
    assert (found["tatoeba_de"].notes, found["tatoeba_de"].value) == ("as is, 1,000 examples, bfloat16", 60.0)
    assert str(found["tatoeba_ar"].source_url).endswith("/seed1/tatoeba/ar.json")


def test_a_mean_over_languages_with_other_seeds_is_partial(gathered: Callable[..., Card]) -> None:
    def of(seed: int, codes: Any) -> Any:
        return run([tuned("pawsx", code, 70.0 + seed, seed) for code in codes], seed=seed, tune=TUNE)

    codes = list(registry.load_task("pawsx").languages)
    assert "pawsx" in entries(gathered(runs=[of(1, codes), of(2, codes)]))
    card = gathered(runs=[of(1, codes), of(2, codes[1:])])
    assert "PAWS-X is **partial**: languages of different tuned checkpoints." in render.render(card)
    assert "pawsx" not in entries(card)
    assert [entries(card)[f"pawsx_{code}"].value for code in codes[:2]] == [71.0, 71.5]


def test_a_mean_of_data_that_is_not_known_to_be_whole_is_partial(gathered: Callable[..., Card]) -> None:
    scores = whole("pawsx", 80.0)
    card = gathered(runs=[run([replace(scores[0], data_status="unknown"), *scores[1:]])])
    assert "PAWS-X is **partial**: " in render.render(card)
    assert len(entries(card)) == len(scores) - 1
    assert "pawsx" not in entries(card)


def test_seeds_of_other_data_are_no_seeds_of_one_score(gathered: Callable[..., Card]) -> None:
    runs = [run([tuned("panx", "de", 70.0, s, data_hash=f"{s:064x}")], seed=s, tune=TUNE) for s in (1, 2)]
    assert entries(gathered(runs=runs)) == {}


def test_whole_scores_stand_for_the_checkpoint_before_partial_ones(gathered: Callable[..., Card]) -> None:
    own = run(whole("pawsx", 80.0))
    trial = run([tuned("pawsx", "de", 90.0, 1, told={"data_status": ["sample"]})], seed=1, tune=TUNE)
    assert "pawsx" in entries(gathered(runs=[own, trial]))
    assert entries(gathered(runs=[own, trial]))["pawsx_de"].value != 90.0
    real = run([tuned("pawsx", each.language, 70.0, 1) for each in own.scores], seed=1, tune=TUNE)
    assert entries(gathered(runs=[own, real]))["pawsx"].value == 70.0, "tuned, though it is lower"


def test_a_deviation_is_over_the_languages_of_the_benchmark(gathered: Callable[..., Card]) -> None:
    def of(seed: int) -> Any:
        values = {code: 60.0 if code != "ro" else 60.0 + 10 * seed for code in registry.load_task("xquad").languages}
        return run([tuned("xquad", code, value, seed) for code, value in values.items()], seed=seed, tune=TUNE)

    card = gathered(runs=[of(1), of(2)])
    assert "sd 0.00" in str(entries(card)["xquad"].notes)
    assert "sd 0.59" in str(entries(card, "xtreme-r")["xquad"].notes)


def test_a_state_is_said_to_be_chosen_as_it_was(gathered: Callable[..., Card]) -> None:
    card = gathered(runs=[run([tuned("tydiqa", "fi", 60.0, 1, selected_by="last")], seed=1, tune=TUNE)])
    assert "checkpoint selected by last" in str(entries(card)["tydiqa_fi"].notes)
    assert "checkpoint selected by last" in render.render(card)


def test_the_usual_choices_of_tuning_are_not_named(gathered: Callable[..., Card]) -> None:
    usual = {**TUNE, "recipe": "jiant", "selected_by": "average", "average_last": 3, "given": {}}
    runs = [run([tuned("panx", "de", 60.0, 1, selected_by="average")], seed=1, tune=usual)]
    assert "### Tuned on English only (zero-shot), average of the last checkpoints\n" in render.render(
        gathered(runs=runs)
    )
    assert gathered(runs=runs).scores.results is None, "only the state that English chose stands for the checkpoint"


def test_both_numbers_of_udpos_are_told(gathered: Callable[..., Card]) -> None:
    scores = [tuned("udpos", "de", 70.0, 1, scores={"f1": 70.0, "token_accuracy": 74.5})]
    text = render.render(gathered(runs=[run(scores, seed=1, tune=TUNE)]))
    assert "F1 70.0 (over runs of equal tags, as the benchmark computes it); word-level accuracy 74.5." in text


def test_the_commands_make_the_scores_that_are_shown(gathered: Callable[..., Card]) -> None:
    tune = {**TUNE, "recipe": "xtreme", "given": {"learning_rate": 1e-05}, "max_steps": 100, "lora": None}
    own = [score("tatoeba", "de", 50.0), *whole("pawsx", 80.0)]
    heads = run([tuned(name, "de", 60.0, 3) for name in ("xnli", "panx")], seed=3, tune={**tune, "train_n": 500})
    card = gathered("mnli", runs=[run(own, layer=7, prefix="query: ", limit=10, whiten=False), heads])
    start = "xharness eval --model org/xlmr-mnli --targets"
    assert [line for line in render.render(card).splitlines() if line.startswith("xharness eval")] == [
        f"{start} tatoeba --languages de --no-whiten --dtype bfloat16 --layer 7 --prefix 'query: ' --limit 10",
        f"{start} pawsx --no-whiten --dtype bfloat16 --layer 7 --prefix 'query: ' --limit 10",
        f"{start} xnli,panx --languages de --tune --fresh-head --seeds 3 --dtype bfloat16 --train-n 500 "
        "--max-steps 100 --learning-rate 1e-05 --recipe xtreme",
    ]
    notes = str(entries(card)["panx_de"].notes)
    assert notes.endswith("bfloat16, recipe xtreme, train_n 500, max_steps 100, learning_rate 1e-05")


def test_what_was_not_evaluated_is_told_by_target_and_language(gathered: Callable[..., Card]) -> None:
    missing = {(m.benchmark, m.task): m for m in gathered().scores.missing}
    assert missing["xtreme", "xquad"].languages == ("es", "el", "ru", "tr", "ar", "vi", "th", "hi")
    assert len(missing["xtreme-r", "mewslix"].languages) == missing["xtreme-r", "mewslix"].of == 11
    assert ("xtreme", "pawsx") not in {
        (m.benchmark, m.task) for m in gathered(runs=[run(whole("pawsx", 1.0))]).scores.missing
    }


def test_a_checkpoint_that_was_not_evaluated_says_so(gathered: Callable[..., Card]) -> None:
    card = gathered(runs=[])
    text = render.render(card)
    assert "This checkpoint was not evaluated on any target." in text
    assert render.problems(text) == []
    assert "model-index" not in metadata_of(card)


# --- The check before sending ---------------------------------------------------------------------


def test_one_partial_language_of_one_seed_keeps_the_mean_of_the_target_out(gathered: Callable[..., Card]) -> None:
    codes = registry.load_task("pawsx").languages
    first = [tuned("pawsx", code, 80.0, 1) for code in codes]
    second = [tuned("pawsx", code, 80.0, 2, **({"data_status": "sample"} if code == "de" else {})) for code in codes]
    found = [run(first, seed=1, tune=TUNE), run(second, seed=2, tune=TUNE)]
    assert "pawsx" in entries(gathered(runs=found[:1]))
    assert {"pawsx", "pawsx_de"}.isdisjoint(entries(gathered(runs=found)))


def test_a_state_chosen_on_the_target_stands_for_nothing(gathered: Callable[..., Card]) -> None:
    chosen = {**TUNE, "selected_by": "target-dev"}
    found = [
        run([score("xquad", "de", 60.0)]),
        run([tuned("xquad", "de", 90.0, 1, selected_by="target-dev")], seed=1, tune=chosen),
    ]
    assert entries(gathered(runs=found))["xquad_de"].value == 61.25
    assert card_metadata.eval_results(gathered(runs=found[1:]), REPO) == {}
