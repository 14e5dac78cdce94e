"""Model cards: true, whole, the same every time; what is partial stays out of the metadata, what is missing is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import EvalResultEntry, ModelCard
from huggingface_hub import parse_eval_result_entries as parse_entries

from helpers import cards
from helpers.cards import FACTS, NAMES, TUNE, record, run, score, tuned, write
from xharness import hardware as costs
from xharness.data.hub_layout import front_matter
from xharness.errors import ModelError, PublishError, SpecError
from xharness.publishing import runs as published_runs
from xharness.publishing.card import facts as card_facts
from xharness.publishing.card import licences as card_licence
from xharness.publishing.card import metadata as card_metadata
from xharness.publishing.card import prose as card_prose
from xharness.publishing.card import record_check as damage
from xharness.publishing.card import render as rendering
from xharness.publishing.card.content import Card
from xharness.publishing.card.facts import Facts
from xharness.publishing.card.markdown import code, plain
from xharness.publishing.card.publisher_facts import MlmText
from xharness.tasks import task_spec as spec
from xharness.tasks.benchmarks import benchmarks

REPO = "org/xlmr-squad"


@pytest.fixture
def gathered(tmp_path: Path) -> Callable[..., Card]:
    """Return what gathers the card of a sample; what is not given is as in the gold cards."""

    def make(task: str = "squad_v1", *, facts: Facts = FACTS, runs: Any = None, **options: Any) -> Card:
        made = write(task, tmp_path, options.pop("found", None))
        return card_facts.gather(
            tmp_path, made, f"org/{NAMES[task]}", cards.runs(task) if runs is None else runs, facts, **options
        )

    return make


def refused(make: Callable[..., Card], *arguments: Any, **options: Any) -> str:
    with pytest.raises(PublishError) as caught:
        make(*arguments, **options)
    return str(caught.value)


FILLED = {
    "developed_by": "somebody",
    "base_model": "org/base",
    "base_licence": "mit",
    "watts": 400,
    "licence": {"id": "mit", "why": "We say so."},
    "summary": "It answers.",
    "phase": "target",
    "tasks": ["boolq"],
    "languages": ["en"],
    "training_data": [{"name": "BoolQ", "licence": "cc-by-sa-3.0"}],
    "recipe": "As others do it.",
    "seeds": [42],
    "hardware": "1 x a GPU",
    "seconds": 3600,
}


def filled(said: str, path: Path) -> Facts:
    """Return the facts that an error asks for, filled in: all of its lines, and no other."""
    lines = said.partition("--facts FILE:\n\n")[2]
    path.write_text(lines, encoding="utf-8")
    with pytest.raises(PublishError, match="is still to be filled in"):
        card_facts.read_facts(path)
    path.write_text(yaml.safe_dump({name: FILLED[name] for name in yaml.safe_load(lines)}), encoding="utf-8")
    return card_facts.read_facts(path)


def head_of(card: Card) -> dict[str, Any]:
    return front_matter(rendering.render(card))[0]


def entries(card: Card, benchmark: str = "xtreme") -> dict[str, EvalResultEntry]:
    """Return task id -> entry of a file of Community Evals."""
    files = card_metadata.eval_results(card, REPO)
    found = parse_entries(yaml.safe_load(files.get(f".eval_results/{benchmark}.yaml", "[]")))
    assert len({entry.task_id for entry in found}) == len(found)
    return {entry.task_id: entry for entry in found}


# --- The ten cards --------------------------------------------------------------------------------


@pytest.mark.parametrize("task", NAMES)
def test_the_card_of_each_checkpoint_is_as_it_was_looked_at(
    task: str, gathered: Callable[..., Card], gold: Callable[[str, str], None]
) -> None:
    card = gathered(task)
    text = rendering.render(card)
    assert rendering.problems(text) == []
    assert text == rendering.render(card)
    gold(f"cards/{NAMES[task]}.md", text)


def test_every_intermediate_task_has_prose_and_a_gold_card() -> None:
    assert {*spec.list_intermediate(), spec.MIXTURE} == set(NAMES)
    assert {*NAMES, card_prose.TUNED, card_prose.ADOPTED} == set(card_prose.names())
    for name in card_prose.names():
        prose = card_prose.load(name)
        assert prose.name == name
        if name in spec.list_intermediate():
            assert set(prose.examples) == {spec.load_training(name).kind}


def test_the_client_of_the_hub_reads_the_front_matter_back(gathered: Callable[..., Card]) -> None:
    card = gathered("anli")
    data = ModelCard(rendering.render(card)).data
    assert (data.license, data.library_name, data.pipeline_tag) == (
        "cc-by-nc-4.0",
        "transformers",
        "text-classification",
    )
    assert (data.base_model, data.base_model_relation) == ("FacebookAI/xlm-roberta-large", "finetune")
    assert data.datasets == ["facebook/anli", "stanfordnlp/snli", "nyu-mll/glue"]
    assert data.model_name == "xlmr-anli"
    found = {(r.dataset_type, r.dataset_config, r.metric_type, r.metric_name): r for r in data.eval_results}
    german = found["unimelb-nlp/wikiann", "de", "f1", "F1 (tuned, zero-shot)"]
    assert german.metric_value == 77.5
    assert german.metric_args["seeds"] == [1, 2]
    assert german.metric_args["collapsed_seeds"] == [2]
    assert german.metric_args["deviation"] == pytest.approx(1.4142)
    assert german.metric_args["interval_95"] == [76.0, 78.75]
    assert german.dataset_revision == "e1" * 20


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
    text = rendering.render(card)
    line = next(line for line in text.splitlines() if line.startswith("| German (de) |"))
    assert line.endswith("| **partial** |")
    assert next(line for line in text.splitlines() if line.startswith("| English (en) |")).endswith("| whole |")
    assert "- XQuAD is **partial**: no score for 10 languages" in text
    configs = {each["dataset"]["config"] for each in head_of(card)["model-index"][0]["results"]}
    assert configs == {"en"}
    assert set(entries(card)) == {"xquad_en"}


def test_a_head_tuned_on_a_sample_gives_no_official_score(gathered: Callable[..., Card]) -> None:
    scores = [tuned("panx", "de", 70.0, 1, told={"data_status": ["sample"]})]
    card = gathered(runs=[run(scores, seed=1, tune=TUNE)])
    assert "model-index" not in head_of(card)
    assert card_metadata.eval_results(card, REPO) == {}
    assert "tuned on sample data" in rendering.render(card)


def test_one_partial_seed_makes_the_mean_partial(gathered: Callable[..., Card]) -> None:
    runs = [
        run([tuned("panx", "de", 70.0, seed, n=10000 if seed == 1 else 9)], seed=seed, tune=TUNE) for seed in (1, 2)
    ]
    card = gathered(runs=runs)
    assert "not the expected number of examples" in rendering.render(card)
    assert card_metadata.eval_results(card, REPO) == {}


def whole(task: str, value: float, benchmark: str | None = None) -> list[Any]:
    return [score(task, code, value + i / 10) for i, code in enumerate(spec.load_task(task).languages_in(benchmark))]


def test_a_mean_is_in_community_evals_only_where_it_is_the_benchmarks(gathered: Callable[..., Card]) -> None:
    card = gathered(runs=[run(whole("pawsx", 80.0))])
    found = entries(card)
    assert found["pawsx"].value == pytest.approx(80.3)
    assert "overall" not in found
    assert found["pawsx_de"].dataset_id == "org/xtreme"
    assert found["pawsx_de"].source_url == (
        f"https://huggingface.co/{REPO}/blob/main/{card.scores.sections[0].place}/seed0/pawsx/de.json"
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
    assert len(head_of(card)["model-index"][0]["results"][0]["metrics"]) == 6, "all three are in the model-index"
    only_native = gathered(runs=runs[2:])
    assert card_metadata.eval_results(only_native, REPO) == {}
    assert only_native.scores.results is None


def test_a_collapsed_seed_is_in_the_mean_and_said(gathered: Callable[..., Card]) -> None:
    text = rendering.render(gathered("mnli"))
    assert "- PAN-X (WikiANN): seed 2 collapsed in training and is in the mean; without it the mean is 60.2." in text
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
    assert "hf auth login" in rendering.render(gathered(public=False))
    assert "hf auth login" not in rendering.render(gathered())


def test_runs_of_other_settings_are_told_apart(gathered: Callable[..., Card]) -> None:
    runs = [run([score("tatoeba", "de", 40.0)], layer=7), run([score("tatoeba", "de", 60.0)])]
    card = gathered(runs=runs)
    text = rendering.render(card)
    assert "### As it is\n" in text
    assert "### As it is (layer 7)\n" in text
    assert entries(card)["tatoeba_de"].value == 60.0, "the one with xharness' own settings stands for the target"


def test_sections_that_differ_in_their_type_only_have_other_titles(gathered: Callable[..., Card]) -> None:
    made = {dtype: [score("tatoeba", "de", value, dtype=dtype)] for dtype, value in (("bfloat16", 1), ("float32", 2))}
    card = gathered(runs=[run(scores, dtype=dtype) for dtype, scores in made.items()])
    text = rendering.render(card)
    assert "### As it is, in bfloat16\n" in text
    assert "Of a target that was scored in several ways, one stands" in text
    assert entries(card)["tatoeba_de"].value == 2, "the more exact one"
    assert "float32" in str(entries(card)["tatoeba_de"].notes)


def test_seeds_do_not_make_a_score_as_it_is_another_one(gathered: Callable[..., Card]) -> None:
    runs = [run([score("tatoeba", "de", 60.0)]), run([score("tatoeba", c, 60.0, seed=1) for c in ("de", "ar")], seed=1)]
    card = gathered(runs=runs)
    section = card.scores.sections[0]
    assert {code: list(cell.scores) for code, cell in section.cells["tatoeba"].items()} == {"ar": [1], "de": [0]}
    text = rendering.render(card)
    assert "Evaluated once, in bfloat16" in text
    assert "of different checkpoints" not in text
    found = entries(card)
    assert (found["tatoeba_de"].notes, found["tatoeba_de"].value) == ("as is, 1,000 examples, bfloat16", 60.0)
    assert str(found["tatoeba_ar"].source_url).endswith("/seed1/tatoeba/ar.json")


def test_a_mean_over_languages_with_other_seeds_is_partial(gathered: Callable[..., Card]) -> None:
    def of(seed: int, codes: Any) -> Any:
        return run([tuned("pawsx", code, 70.0 + seed, seed) for code in codes], seed=seed, tune=TUNE)

    codes = list(spec.load_task("pawsx").languages)
    assert "pawsx" in entries(gathered(runs=[of(1, codes), of(2, codes)]))
    card = gathered(runs=[of(1, codes), of(2, codes[1:])])
    assert "PAWS-X is **partial**: languages of different tuned checkpoints." in rendering.render(card)
    assert "pawsx" not in entries(card)
    assert [entries(card)[f"pawsx_{code}"].value for code in codes[:2]] == [71.0, 71.5]


def test_a_mean_of_data_that_is_not_known_to_be_whole_is_partial(gathered: Callable[..., Card]) -> None:
    scores = whole("pawsx", 80.0)
    card = gathered(runs=[run([replace(scores[0], data_status="unknown"), *scores[1:]])])
    assert "PAWS-X is **partial**: " in rendering.render(card)
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
        values = {code: 60.0 if code != "ro" else 60.0 + 10 * seed for code in spec.load_task("xquad").languages}
        return run([tuned("xquad", code, value, seed) for code, value in values.items()], seed=seed, tune=TUNE)

    card = gathered(runs=[of(1), of(2)])
    assert "sd 0.00" in str(entries(card)["xquad"].notes)
    assert "sd 0.59" in str(entries(card, "xtreme-r")["xquad"].notes)


def test_a_state_is_said_to_be_chosen_as_it_was(gathered: Callable[..., Card]) -> None:
    card = gathered(runs=[run([tuned("tydiqa", "fi", 60.0, 1, selected_by="last")], seed=1, tune=TUNE)])
    assert "state chosen by last" in str(entries(card)["tydiqa_fi"].notes)
    assert "chosen by last" in rendering.render(card)


def test_the_usual_choices_of_tuning_are_not_named(gathered: Callable[..., Card]) -> None:
    usual = {**TUNE, "recipe": "jiant", "selected_by": "average", "average_last": 3, "given": {}}
    runs = [run([tuned("panx", "de", 60.0, 1, selected_by="average")], seed=1, tune=usual)]
    assert "### Tuned in English only (zero-shot), state an average of the last\n" in rendering.render(
        gathered(runs=runs)
    )
    assert gathered(runs=runs).scores.results is None, "only the state that English chose stands for the checkpoint"


def test_both_numbers_of_udpos_are_told(gathered: Callable[..., Card]) -> None:
    scores = [tuned("udpos", "de", 70.0, 1, scores={"f1": 70.0, "token_accuracy": 74.5})]
    text = rendering.render(gathered(runs=[run(scores, seed=1, tune=TUNE)]))
    assert "F1 70.0 (of runs of equal tags, as the benchmark counts); accuracy of words 74.5." in text


def test_the_commands_make_the_scores_that_are_shown(gathered: Callable[..., Card]) -> None:
    tune = {**TUNE, "recipe": "xtreme", "given": {"learning_rate": 1e-05}, "max_steps": 100, "lora": None}
    own = [score("tatoeba", "de", 50.0), *whole("pawsx", 80.0)]
    heads = run([tuned(name, "de", 60.0, 3) for name in ("xnli", "panx")], seed=3, tune={**tune, "train_n": 500})
    card = gathered("mnli", runs=[run(own, layer=7, prefix="query: ", limit=10, whiten=False), heads])
    start = "xharness eval --model org/xlmr-mnli --targets"
    assert [line for line in rendering.render(card).splitlines() if line.startswith("xharness eval")] == [
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
    text = rendering.render(card)
    assert "This checkpoint was not evaluated on any target." in text
    assert rendering.problems(text) == []
    assert "model-index" not in head_of(card)


# --- What is missing ------------------------------------------------------------------------------


def test_every_missing_fact_is_listed_at_once_with_the_lines_to_write(
    gathered: Callable[..., Card], tmp_path: Path
) -> None:
    found = record(["mnli"], hardware={"device": "cpu (8 threads)", "processes": 1})
    request = {**found.request, "base": {"name": "/home/somebody/tiny", "id": "ab" * 32}}
    said = refused(gathered, "mnli", facts=Facts(), found=replace(found, request=request))
    for name in ("developed_by", "watts", "base_model", "base_licence"):
        assert f"\n{name} is missing: " in said
    assert "'tiny'" in said
    assert "/home/" not in said
    given = filled(said, tmp_path / "facts.yaml")
    card = gathered("mnli", facts=given, found=replace(found, request=request))
    assert (card.base.model, card.base.licence) == ("org/base", "mit")
    assert "400 W (the publisher's figure)" in rendering.render(card)


def test_a_base_with_random_weights_needs_a_note(gathered: Callable[..., Card]) -> None:
    found = record(["mnli"])
    found.request["base"] = {"name": "tiny", "id": "ab" * 32}
    facts = Facts(developed_by="x", base_model="none", base_licence="apache-2.0")
    assert "base_note is missing" in refused(gathered, "mnli", facts=facts, found=found)
    card = gathered("mnli", facts=facts.model_copy(update={"base_note": "Two layers."}), found=found)
    head = head_of(card)
    assert head["license"] == "apache-2.0"
    assert "base_model" not in head
    assert "base_model_relation" not in head


def test_a_score_without_an_interval_is_refused(gathered: Callable[..., Card]) -> None:
    runs = [run([score("xquad", "de", 60.0, intervals={}), score("xquad", "en", 60.0)])]
    said = refused(gathered, runs=runs)
    assert "xquad: no confidence interval for de. Run eval again" in said


def test_facts_that_the_record_knows_better_are_refused(gathered: Callable[..., Card]) -> None:
    facts = Facts(developed_by="x", seeds=[1], base_model="other/base")
    said = refused(gathered, facts=facts)
    assert "seeds: training.json says this already" in said
    assert "base_model: found 'other/base', but training began with FacebookAI/xlm-roberta-large" in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("developd_by: x", "developd_by: no such field. Did you mean 'developed_by'?"),
        ("watts: -1", "watts: found -1"),
        ("licence: {id: mitt, why: x}", "Did you mean 'mit'?"),
        ("licence: {id: other, why: x}", "licence.name: field required beside the id 'other'."),
        ("[", "not valid YAML"),
    ],
)
def test_a_wrong_file_of_facts_names_the_field(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(PublishError, match=r"facts\.yaml") as caught:
        card_facts.read_facts(path)
    assert words in str(caught.value)


def test_a_collapsed_training_is_published_only_as_such(gathered: Callable[..., Card]) -> None:
    found = record(["mnli"], status="collapsed", reason="mnli 33.0 (chance 33.3)")
    assert "--allow-collapsed" in refused(gathered, "mnli", found=found)
    text = rendering.render(gathered("mnli", found=found, allow_collapsed=True))
    assert "> **The training collapsed: mnli 33.0 (chance 33.3). This checkpoint is published to show that" in text
    diverged = record(["mnli"], status="diverged", reason="the loss was NaN")
    assert "diverged" in refused(gathered, "mnli", found=diverged, allow_collapsed=True)


def test_a_checkpoint_without_a_record_is_adopted_with_its_publishers_facts(tmp_path: Path) -> None:
    made = replace(cards.checkpoint("mnli", tmp_path), heads={}, phase=None, trained_on=())

    def gather(facts: Facts, **options: Any) -> Card:
        return card_facts.gather(tmp_path, made, "org/other", [], facts, **options)

    said = refused(gather, Facts())
    assert "has no training.json" in said
    assert "--adopt" in said
    facts = filled(said, tmp_path / "facts.yaml")
    assert "--adopt" in refused(gather, facts), "all facts are there, but nobody said that it is foreign"
    card = gather(facts, adopt=True)
    text = rendering.render(card)
    assert rendering.problems(text) == []
    assert "xharness did not train this checkpoint" in text
    assert card.kind == "classification"


def test_a_tuned_checkpoint_has_a_card(gathered: Callable[..., Card]) -> None:
    found = record(["panx_en"])
    found.request["phase"] = "target"
    text = rendering.render(gathered("ccg", found=found, runs=[]))
    assert rendering.problems(text) == []
    assert "tuned on WikiANN (training set), in English, to be used in other languages" in text
    assert "- target-tuned\n" in text


# --- Licences -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tasks", "licence", "name"),
    [
        (["mnli", "qqp"], "mit", None),
        (["anli", "mnli"], "cc-by-nc-4.0", None),
        (["ccg", "mnli"], "other", "ldc2005t13-training-data"),
        (["anli", "ccg"], "other", "cc-by-nc-4.0-and-ldc2005t13-training-data"),
    ],
)
def test_a_mixture_has_the_strictest_licence_of_what_was_in_it(
    tasks: list[str], licence: str, name: str | None, gathered: Callable[..., Card]
) -> None:
    card = gathered("multitask", found=record(tasks), runs=[])
    assert (card.terms.id, card.terms.name) == (licence, name)
    head = head_of(card)
    assert head["license"] == licence
    assert head.get("license_name") == name
    assert ("license_link" in head) == (licence == "other")


def test_a_base_that_allows_less_than_the_task_wins(gathered: Callable[..., Card]) -> None:
    facts = Facts(developed_by="x", base_licence="cc-by-nc-sa-4.0")
    assert gathered("anli", facts=facts, runs=[]).terms.id == "cc-by-nc-sa-4.0"
    assert gathered("mnli", facts=facts, runs=[]).terms.id == "cc-by-nc-sa-4.0"


@pytest.mark.parametrize(
    ("licence", "words"), [("mitt", "Did you mean 'mit'?"), ("other", "licence is missing: the licence of the base")]
)
def test_a_base_whose_licence_says_nothing_is_refused(licence: str, words: str, gathered: Callable[..., Card]) -> None:
    assert words in refused(gathered, "mnli", facts=Facts(developed_by="x", base_licence=licence))


def test_the_terms_of_the_base_are_told_beside_stricter_ones(gathered: Callable[..., Card]) -> None:
    assert (
        "The terms of the encoder that training began with (MIT) hold as well." in gathered("anli", runs=[]).terms.why
    )
    found = Facts(developed_by="x", base_licence="cc-by-nc-sa-4.0")
    assert gathered("ccg", facts=found, runs=[]).terms.name == "cc-by-nc-sa-4.0-and-ldc2005t13-training-data"


def test_a_mixture_with_a_task_whose_terms_nobody_knows_asks_for_a_licence(gathered: Callable[..., Card]) -> None:
    found = record(["mnli", "panx_en"])
    assert "\nlicence is missing" in refused(gathered, "multitask", found=found, runs=[])
    given = card_prose.Licence(id="mit", why="We say so.")
    terms = gathered("multitask", found=found, runs=[], facts=FACTS.model_copy(update={"licence": given})).terms
    assert terms.why == ("We say so.",)


def test_a_licence_that_is_freer_than_what_is_known_is_said_to_be(gathered: Callable[..., Card]) -> None:
    given = card_prose.Licence(id="mit", why="We say so.")
    why = gathered("anli", facts=FACTS.model_copy(update={"licence": given}), runs=[]).terms.why
    assert why[1].startswith("Without this word of its publisher it would be CC BY-NC 4.0: ANLI, on which")


def test_a_licence_of_the_publisher_stands_in_place_of_all(gathered: Callable[..., Card]) -> None:
    licence = card_prose.Licence(id="other", name="ours", link="https://a.org", why="We say so.")
    terms = gathered("mnli", facts=FACTS.model_copy(update={"licence": licence}), runs=[]).terms
    assert (terms.id, terms.name, terms.why) == ("other", "ours", ("We say so.",))
    assert card_licence.terms(card_prose.load("adopted"), [], None, None) is None


# --- Text of others -------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a|b", "x\ny", "<img src=x>", "`tick`", "**bold** [l](u)", "\x1b[31mred", "_it_ a_b"])
def test_text_of_others_breaks_no_table_and_brings_no_markup(text: str) -> None:
    shown = plain(text)
    assert "\n" not in shown
    assert "<" not in shown
    assert "\x1b" not in shown
    assert shown.replace("\\|", "").count("|") == 0
    assert code(text).count("`") == 2
    assert "|" not in code(text)


def test_a_hostile_record_changes_nothing_but_its_own_cell(gathered: Callable[..., Card]) -> None:
    found = record(["mnli"])
    evil = "x | y\n\n# Evil\n<script>alert(1)</script> {{ 1 + 1 }} [a](javascript:x)"
    found.data["mnli"]["train"][0] |= {"licence": evil, "split": evil, "language": "en"}
    found.notes.append(evil)
    text = rendering.render(gathered("mnli", found=found))
    assert "\n# Evil" not in text
    assert "<script" not in text
    assert "[a](" not in text
    assert rendering.problems(text) == []


@pytest.mark.parametrize(
    "text", ["\u202eevil", "a\n---\nb", "```\nrm -rf", "/home/somebody/x", "B" * 300_000, "'; ls; '"]
)
def test_hostile_settings_and_results_are_neutral(text: str, gathered: Callable[..., Card]) -> None:
    scores = [score("tatoeba", "de", 50.0, device=text, notes=(text,))]
    card = gathered(runs=[run(scores, prefix=text, label_map={text: text})])
    shown = rendering.render(card)
    assert rendering.problems(shown) == []
    assert len(shown) < 100_000
    assert not any(bad in shown for bad in ("\u202e", "/home/", "\n---\nb", "```\nrm"))
    assert ModelCard(shown).data.model_name == "xlmr-squad"
    assert len(str(entries(card)["tatoeba_de"].notes)) < 2_000


@pytest.mark.parametrize(
    "changes",
    [
        {"seconds": "long"},
        {"tokens": "many"},
        {"losses": {}},
        {"request": {}},
        {"data": {"mnli": {}}},
        {"data": {"mnli": {"train": [{}]}}},
        {"hardware": {}},
        {"evaluations": [None]},
        {"probes": {"mnli": {"n": 1}}},
        {"attempts": "none"},
        {"notes": [1]},
    ],
)
def test_a_damaged_record_is_refused_by_name(changes: dict[str, Any], gathered: Callable[..., Card]) -> None:
    with pytest.raises(
        ModelError, match=r"training\.json: not a training record of xharness: .*" + next(iter(changes))
    ):
        gathered("mnli", found=record(["mnli"], **changes))


def test_a_record_with_nan_is_refused(gathered: Callable[..., Card]) -> None:
    found = record(["mnli"])
    found.losses.append([1, "mnli", 0.5, 0.0])
    assert damage.find(found) is None
    found.losses.append([2, "mnli", float("nan"), 0.0])
    assert str(damage.find(found)).startswith("losses is ")
    with pytest.raises(PublishError, match="cannot be written as JSON"):
        published_runs.as_json({"loss": float("nan")})


def test_data_that_a_task_does_not_have_is_told_first(gathered: Callable[..., Card]) -> None:
    found = record(["mnli"])
    found.data["mnli"]["train"][0] |= {"source": "other/rows", "origin": "native"}
    text = rendering.render(gathered("mnli", found=found))
    assert (
        "> **What is called MultiNLI here was read from other/rows, which is not where xharness has it from.**" in text
    )
    assert "which is not where" not in rendering.render(gathered("mnli"))


def test_the_text_of_masked_language_modelling_is_asked_for(gathered: Callable[..., Card]) -> None:
    found = record(["mnli"])
    found.request["mlm"] = {"sha256": "ab" * 32, "share": 0.2}
    assert "\nmlm_text is missing: " in refused(gathered, "mnli", found=found)
    given = MlmText(name="Wikipedia", licence="cc-by-sa-4.0", languages=["sw", "ta"], id="org/wiki")
    card = gathered("mnli", found=found, facts=FACTS.model_copy(update={"mlm_text": given}))
    head = head_of(card)
    assert head["datasets"] == ["nyu-mll/glue", "org/wiki"]
    assert head["language"][:4] == ["multilingual", "en", "sw", "ta"]
    assert "zero-shot" not in head["tags"]
    assert rendering.problems(rendering.render(card)) == []
    assert "mlm_text: there was no" in refused(gathered, facts=FACTS.model_copy(update={"mlm_text": given}))


def test_no_path_of_the_machine_is_on_a_card(gathered: Callable[..., Card]) -> None:
    found = record(["mnli"])
    found.data["mnli"]["train"][0] |= {"source": "/home/somebody/rows.tsv", "origin": "own file", "revision": None}
    found.attempts[0]["reason"] = "see /home/somebody/log/1.txt"
    text = rendering.render(gathered("mnli", found=found))
    assert "/home/" not in text
    assert "rows.tsv" in text
    assert "/home/" in str(found)


# --- The check before sending ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("license: mit", "license: mitt", "license: 'mitt' is not in licences.yaml. Did you mean 'mit'?"),
        ("license: mit", "license: other", "license_name: field required beside 'license: other'."),
        ("- en\n", "- english\n", "language: 'english' is no code"),
        ("library_name: transformers\n", "", "library_name: field required."),
        ("library_name:", "libary_name:", "libary_name: no such field of a model card. Did you mean 'library_name'?"),
        ("pipeline_tag: question-answering", "pipeline_tag: answers", "pipeline_tag: found 'answers'"),
        ("base_model: FacebookAI/xlm-roberta-large", "base_model: /x/y", "base_model: '/x/y' is no id"),
        ("      value: 88.0", "      value: .nan", "found nan, expected a number"),
        ("      value: 88.0", "      vlue: 88.0", "model-index: huggingface_hub cannot read it (KeyError: 'value')"),
        ("| recipe | jiant |", "| recipe | None |", "a cell of a table is blank"),
        ("| recipe | jiant |", "| recipe |  |", "a cell of a table is blank"),
        ("| recipe | jiant |", "| recipe | a | b |", "a row of a table has 3 cells, its head 2"),
        ("## Limits", "## {{ limits }}", "a blank was not filled"),
        ("## Limits", "See /home/somebody/zoo/x", "a path of this machine"),
        ("model.eval()", "model.eval(", "its Python code cannot be read"),
        ("---\nlanguage", "--\nlanguage", "no front matter"),
        ("## Limits", "x" * 1_000_001, "characters, more than"),
    ],
)
def test_a_card_that_is_wrong_is_found_before_it_is_sent(
    old: str, new: str, words: str, gathered: Callable[..., Card]
) -> None:
    text = rendering.render(gathered())
    assert text.count(old) >= 1
    assert any(words in problem for problem in rendering.problems(text.replace(old, new, 1)))


def test_a_prose_file_that_is_wrong_names_its_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = yaml.safe_load((card_prose.assets.MODEL_CARDS / "mnli.yaml").read_text(encoding="utf-8"))
    content["examples"] = {"classification": {"text_a": "x"}}
    content["uzes"] = content.pop("uses")
    with pytest.raises(SpecError) as caught:
        card_prose.strict_yaml.parse(card_prose.Prose, content, "mnli.yaml")
    assert "uzes: no such field. Did you mean 'uses'?" in str(caught.value)
    assert "examples.classification: found text_a, expected text_a and text_b." in str(caught.value)


def test_the_energy_is_what_the_board_draws_over_the_hours(gathered: Callable[..., Card]) -> None:
    # 700 W over 11 h; the data sheets' figures are those of the boards that are named.
    assert "7.7 kWh: 700 W" in rendering.render(gathered())
    assert {name: gpu.watts for name, gpu in costs.gpus().items()} == {
        "h200": 700,
        "h100": 700,
        "a100": 400,
        "l40s": 350,
        "l4": 72,
        "v100": 300,
        "t4": 70,
    }


def test_one_partial_language_of_one_seed_keeps_the_mean_of_the_target_out(gathered: Callable[..., Card]) -> None:
    codes = spec.load_task("pawsx").languages
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


def test_a_set_that_was_cut_is_told(gathered: Callable[..., Card], tmp_path: Path) -> None:
    made = cards.record(["mnli"])
    made.data["mnli"]["train"][0]["n"] = 500
    made.hardware["processes"] = 8
    text = rendering.render(gathered("mnli", found=made))
    assert "Trained on partial data: a part of the examples of MultiNLI." in text
    assert "62 kWh: 700 W (its data sheet's most for the board) x 8 x" in text
