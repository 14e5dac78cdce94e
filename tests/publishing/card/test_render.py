"""Model cards as they are rendered: equal to the gold cards, safe against text of others, checked before sending."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from helpers.cards import FACTS, NAMES, entries, metadata_of, record, refused, run, score
from xharness.checkpoints import training_record
from xharness.errors import ModelError, PublishError, SpecError
from xharness.publishing import runs as publishing_runs
from xharness.publishing.card import prose as card_prose
from xharness.publishing.card import render
from xharness.publishing.card.content import Card
from xharness.publishing.card.publisher_facts import MlmText
from xharness.tasks import registry
from xharness.text import escape_markdown, markdown_code

# --- The ten cards --------------------------------------------------------------------------------


@pytest.mark.parametrize("task", NAMES)
def test_the_card_of_each_checkpoint_is_as_it_was_looked_at(
    task: str, gathered: Callable[..., Card], gold: Callable[[str, str], None]
) -> None:
    card = gathered(task)
    text = render.render(card)
    assert render.problems(text) == []
    assert text == render.render(card)
    gold(f"cards/{NAMES[task]}.md", text)


def test_every_intermediate_task_has_prose_and_a_gold_card() -> None:
    assert {*registry.list_intermediate(), registry.MIXTURE} == set(NAMES)
    assert {*NAMES, card_prose.TUNED, card_prose.ADOPTED} == set(card_prose.names())
    for name in card_prose.names():
        prose = card_prose.load(name)
        assert prose.name == name
        if name in registry.list_intermediate():
            assert set(prose.examples) == {registry.load_training(name).kind}


def test_the_client_of_the_hub_reads_the_front_matter_back(gathered: Callable[..., Card]) -> None:
    card = gathered("anli")
    data = ModelCard(render.render(card)).data
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


# --- Text of others -------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a|b", "x\ny", "<img src=x>", "`tick`", "**bold** [l](u)", "\x1b[31mred", "_it_ a_b"])
def test_text_of_others_breaks_no_table_and_brings_no_markup(text: str) -> None:
    shown = escape_markdown(text)
    assert "\n" not in shown
    assert "<" not in shown
    assert "\x1b" not in shown
    assert shown.replace("\\|", "").count("|") == 0
    assert markdown_code(text).count("`") == 2
    assert "|" not in markdown_code(text)


def test_a_hostile_record_changes_nothing_but_its_own_cell(gathered: Callable[..., Card]) -> None:
    found = record(["mnli"])
    evil = "x | y\n\n# Evil\n<script>alert(1)</script> {{ 1 + 1 }} [a](javascript:x)"
    found.data["mnli"]["train"][0] |= {"licence": evil, "split": evil, "language": "en"}
    found.notes.append(evil)
    text = render.render(gathered("mnli", found=found))
    assert "\n# Evil" not in text
    assert "<script" not in text
    assert "[a](" not in text
    assert render.problems(text) == []


@pytest.mark.parametrize(
    "text", ["\u202eevil", "a\n---\nb", "```\nrm -rf", "/home/somebody/x", "B" * 300_000, "'; ls; '"]
)
def test_hostile_settings_and_results_are_neutral(text: str, gathered: Callable[..., Card]) -> None:
    scores = [score("tatoeba", "de", 50.0, device=text, notes=(text,))]
    card = gathered(runs=[run(scores, prefix=text, label_map={text: text})])
    shown = render.render(card)
    assert render.problems(shown) == []
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
    assert training_record.record_problems(found) is None
    found.losses.append([2, "mnli", float("nan"), 0.0])
    assert str(training_record.record_problems(found)).startswith("losses is ")
    with pytest.raises(PublishError, match="cannot be written as JSON"):
        publishing_runs.to_json_bytes({"loss": float("nan")})


def test_data_that_a_task_does_not_have_is_told_first(gathered: Callable[..., Card]) -> None:
    found = record(["mnli"])
    found.data["mnli"]["train"][0] |= {"source": "other/rows", "origin": "native"}
    text = render.render(gathered("mnli", found=found))
    assert "> **MultiNLI was read from other/rows, which is not the source that xharness uses.**" in text
    assert "which is not the source" not in render.render(gathered("mnli"))


def test_the_text_of_masked_language_modelling_is_asked_for(gathered: Callable[..., Card]) -> None:
    found = record(["mnli"])
    found.request["mlm"] = {"sha256": "ab" * 32, "share": 0.2}
    assert "\nmlm_text is missing: " in refused(gathered, "mnli", found=found)
    given = MlmText(name="Wikipedia", licence="cc-by-sa-4.0", languages=["sw", "ta"], id="org/wiki")
    card = gathered("mnli", found=found, facts=FACTS.model_copy(update={"mlm_text": given}))
    head = metadata_of(card)
    assert head["datasets"] == ["nyu-mll/glue", "org/wiki"]
    assert head["language"][:4] == ["multilingual", "en", "sw", "ta"]
    assert "zero-shot" not in head["tags"]
    assert render.problems(render.render(card)) == []
    assert "mlm_text: this training did no masked" in refused(
        gathered, facts=FACTS.model_copy(update={"mlm_text": given})
    )


def test_no_path_of_the_machine_is_on_a_card(gathered: Callable[..., Card]) -> None:
    found = record(["mnli"])
    found.data["mnli"]["train"][0] |= {"source": "/home/somebody/rows.tsv", "origin": "own file", "revision": None}
    found.attempts[0]["reason"] = "see /home/somebody/log/1.txt"
    text = render.render(gathered("mnli", found=found))
    assert "/home/" not in text
    assert "rows.tsv" in text
    assert "/home/" in str(found)


# --- The check before sending ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("license: mit", "license: mitt", "license: 'mitt' is not in licences.yaml. Did you mean 'mit'?"),
        ("license: mit", "license: other", "license_name: field required beside 'license: other'."),
        ("- en\n", "- english\n", "language: unknown code 'english'"),
        ("library_name: transformers\n", "", "library_name: field required."),
        ("library_name:", "libary_name:", "libary_name: no such field of a model card. Did you mean 'library_name'?"),
        ("pipeline_tag: question-answering", "pipeline_tag: answers", "pipeline_tag: found 'answers'"),
        ("base_model: FacebookAI/xlm-roberta-large", "base_model: /x/y", "base_model: '/x/y' is not an id"),
        ("      value: 88.0", "      value: .nan", "found nan, expected a number"),
        ("      value: 88.0", "      vlue: 88.0", "model-index: huggingface_hub cannot read it (KeyError: 'value')"),
        ("| recipe | jiant |", "| recipe | None |", "a table cell is empty"),
        ("| recipe | jiant |", "| recipe |  |", "a table cell is empty"),
        ("| recipe | jiant |", "| recipe | a | b |", "a table row has 3 cells, its header 2"),
        ("## Limits", "## {{ limits }}", "a placeholder is not filled in"),
        ("## Limits", "See /home/somebody/zoo/x", "a path of this machine"),
        ("model.eval()", "model.eval(", "its Python code has a syntax error"),
        ("---\nlanguage", "--\nlanguage", "no front matter"),
        ("## Limits", "x" * 1_000_001, "characters, more than"),
    ],
)
def test_a_card_that_is_wrong_is_found_before_it_is_sent(
    old: str, new: str, words: str, gathered: Callable[..., Card]
) -> None:
    text = render.render(gathered())
    assert text.count(old) >= 1
    assert any(words in problem for problem in render.problems(text.replace(old, new, 1)))


def test_a_prose_file_that_is_wrong_names_its_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = yaml.safe_load((card_prose.assets.MODEL_CARDS / "mnli.yaml").read_text(encoding="utf-8"))
    content["examples"] = {"classification": {"text_a": "x"}}
    content["uzes"] = content.pop("uses")
    with pytest.raises(SpecError) as caught:
        card_prose.strict_yaml.parse(card_prose.Prose, content, "mnli.yaml")
    assert "uzes: no such field. Did you mean 'uses'?" in str(caught.value)
    assert "examples.classification: found text_a, expected text_a and text_b." in str(caught.value)
