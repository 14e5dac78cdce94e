"""Facts of model cards: what is missing is listed at once, and the strictest license counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers import cards
from helpers.cards import FACTS, metadata_of, record, refused, run, score
from xharness import hardware
from xharness.errors import PublishError
from xharness.publishing.card import facts as card_facts
from xharness.publishing.card import licences, render
from xharness.publishing.card import prose as card_prose
from xharness.publishing.card.content import Card
from xharness.publishing.card.facts import Facts

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
    with pytest.raises(PublishError, match="is not filled in yet"):
        card_facts.read_facts(path)
    path.write_text(yaml.safe_dump({name: FILLED[name] for name in yaml.safe_load(lines)}), encoding="utf-8")
    return card_facts.read_facts(path)


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
    assert "400 W (given by the publisher)" in render.render(card)


def test_a_base_with_random_weights_needs_a_note(gathered: Callable[..., Card]) -> None:
    found = record(["mnli"])
    found.request["base"] = {"name": "tiny", "id": "ab" * 32}
    facts = Facts(developed_by="x", base_model="none", base_licence="apache-2.0")
    assert "base_note is missing" in refused(gathered, "mnli", facts=facts, found=found)
    card = gathered("mnli", facts=facts.model_copy(update={"base_note": "Two layers."}), found=found)
    head = metadata_of(card)
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
    assert "seeds: training.json contains this already" in said
    assert "base_model: found 'other/base', but training started from FacebookAI/xlm-roberta-large" in said


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
    text = render.render(gathered("mnli", found=found, allow_collapsed=True))
    assert "> **The training collapsed: mnli 33.0 (chance 33.3). This checkpoint is published to document that" in text
    diverged = record(["mnli"], status="diverged", reason="the loss was NaN")
    assert "diverged" in refused(gathered, "mnli", found=diverged, allow_collapsed=True)


def test_a_checkpoint_without_a_record_is_adopted_with_its_publishers_facts(tmp_path: Path) -> None:
    made = replace(cards.checkpoint("mnli", tmp_path), heads={}, phase=None, trained_on=())

    def gather(facts: Facts, **options: Any) -> Card:
        return card_facts.gather_facts(tmp_path, made, "org/other", [], facts, **options)

    said = refused(gather, Facts())
    assert "has no training.json" in said
    assert "--adopt" in said
    facts = filled(said, tmp_path / "facts.yaml")
    assert "--adopt" in refused(gather, facts), "all facts are there, but nobody said that it is foreign"
    card = gather(facts, adopt=True)
    text = render.render(card)
    assert render.problems(text) == []
    assert "This checkpoint was not trained by xharness" in text
    assert card.kind == "classification"


def test_a_tuned_checkpoint_has_a_card(gathered: Callable[..., Card]) -> None:
    found = record(["panx_en"])
    found.request["phase"] = "target"
    text = render.render(gathered("ccg", found=found, runs=[]))
    assert render.problems(text) == []
    assert "tuned on WikiANN (training set), in English, for use in other languages" in text
    assert "- target-tuned\n" in text


# --- Licenses -------------------------------------------------------------------------------------


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
    head = metadata_of(card)
    assert head["license"] == licence
    assert head.get("license_name") == name
    assert ("license_link" in head) == (licence == "other")


def test_a_base_that_allows_less_than_the_task_wins(gathered: Callable[..., Card]) -> None:
    facts = Facts(developed_by="x", base_licence="cc-by-nc-sa-4.0")
    assert gathered("anli", facts=facts, runs=[]).terms.id == "cc-by-nc-sa-4.0"
    assert gathered("mnli", facts=facts, runs=[]).terms.id == "cc-by-nc-sa-4.0"


@pytest.mark.parametrize(
    ("licence", "words"), [("mitt", "Did you mean 'mit'?"), ("other", "licence is missing: the license of the base")]
)
def test_a_base_whose_licence_says_nothing_is_refused(licence: str, words: str, gathered: Callable[..., Card]) -> None:
    assert words in refused(gathered, "mnli", facts=Facts(developed_by="x", base_licence=licence))


def test_the_terms_of_the_base_are_told_beside_stricter_ones(gathered: Callable[..., Card]) -> None:
    assert "The license of the base model (MIT) applies as well." in gathered("anli", runs=[]).terms.why
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
    assert why[1].startswith("Without the publisher's choice it would be CC BY-NC 4.0: It was trained on ANLI")


def test_a_licence_of_the_publisher_stands_in_place_of_all(gathered: Callable[..., Card]) -> None:
    licence = card_prose.Licence(id="other", name="ours", link="https://a.org", why="We say so.")
    terms = gathered("mnli", facts=FACTS.model_copy(update={"licence": licence}), runs=[]).terms
    assert (terms.id, terms.name, terms.why) == ("other", "ours", ("We say so.",))
    assert licences.derive_terms(card_prose.load("adopted"), [], None, None) is None


# --- The check before sending ---------------------------------------------------------------------


def test_the_energy_is_what_the_board_draws_over_the_hours(gathered: Callable[..., Card]) -> None:
    # 700 W over 11 h; the data sheets' figures are those of the boards that are named.
    assert "7.7 kWh: 700 W" in render.render(gathered())
    assert {name: gpu.watts for name, gpu in hardware.gpus().items()} == {
        "h200": 700,
        "h100": 700,
        "a100": 400,
        "l40s": 350,
        "l4": 72,
        "v100": 300,
        "t4": 70,
    }


def test_a_set_that_was_cut_is_told(gathered: Callable[..., Card], tmp_path: Path) -> None:
    made = cards.record(["mnli"])
    made.data["mnli"]["train"][0]["n"] = 500
    made.hardware["processes"] = 8
    text = render.render(gathered("mnli", found=made))
    assert "Trained on partial data: only some of the examples of MultiNLI." in text
    assert "62 kWh: 700 W (maximum board power in its data sheet) x 8 x" in text
