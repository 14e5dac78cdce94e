"""Recipes: what they say is what their sources say, and each value tells where it is from."""

from __future__ import annotations

from pathlib import Path

import pytest

from xharness.errors import SpecError, UsageError
from xharness.tasks import recipes
from xharness.tasks.recipes import GIVEN, OURS, Values, load_recipe
from xharness.tasks.registry import list_training, load_training

# Read off the sources (jiant at daa5a258, google-research/xtreme at 838c13b6): what they say, and nothing else.
SAID = {
    ("jiant", "mnli"): {"learning_rate": 1e-5, "batch_size": 32, "epochs": 2, "max_length": 256, "warmup": 0.1},
    ("jiant", "paws"): {"learning_rate": 1e-5, "batch_size": 32, "epochs": 5, "max_length": 256},
    ("jiant", "panx_en"): {"learning_rate": 1e-5, "batch_size": 32, "epochs": 10, "max_length": 256},
    ("jiant", "ud_en"): {"learning_rate": 1e-5, "batch_size": 32, "epochs": 10, "max_length": 256},
    ("jiant", "squad_v1"): {"learning_rate": 1e-5, "batch_size": 16, "epochs": 2, "max_length": 384},
    ("jiant", "tydiqa_en"): {"batch_size": 16, "epochs": 2, "max_length": 384, "weight_decay": 0.01, "patience": 30},
    ("xtreme", "mnli"): {"learning_rate": 3e-5, "batch_size": 32, "epochs": 5, "max_length": 128, "warmup": 0},
    ("xtreme", "paws"): {"learning_rate": 2e-5, "epochs": 5, "eval_every": 200, "weight_decay": 0, "patience": None},
    ("xtreme", "ud_en"): {"learning_rate": 2e-5, "batch_size": 32, "epochs": 10, "max_length": 128},
    ("xtreme", "squad_v1"): {"learning_rate": 3e-5, "batch_size": 32, "epochs": 3, "warmup": 500, "weight_decay": 1e-4},
    ("xtreme", "copa"): {"learning_rate": 3e-5, "batch_size": 32, "epochs": 5, "max_length": 128},
}


@pytest.mark.parametrize(("name", "task"), SAID)
def test_a_recipe_says_what_its_source_says(name, task):
    settings = load_recipe(name).settings(load_training(task))
    said = SAID[name, task]
    assert {field: getattr(settings, field) for field in said} == said
    assert {settings.origins[field] for field in said} == {name}


@pytest.mark.parametrize("name", recipes.list_recipes())
def test_every_training_set_has_all_settings_each_with_its_origin(name):
    for task in list_training():
        settings = load_recipe(name).settings(load_training(task))
        assert settings.origins.keys() == Values.model_fields.keys() == settings.values.keys()
        assert set(settings.origins.values()) <= {name, OURS}
        assert [line[0] for line in settings.lines] == list(Values.model_fields)


def test_what_a_source_does_not_say_is_marked():
    jiant = load_recipe("jiant")
    for task in ("qqp", "hellaswag", "ccg", "cosmosqa", "commonsenseqa", "social_iqa", "copa", "anli", "squad_v2"):
        assert jiant.settings(load_training(task)).origins["epochs"] == OURS, task
    assert jiant.settings(load_training("copa")).origins["batch_size"] == OURS
    assert load_recipe("xtreme").settings(load_training("qqp")).origins["learning_rate"] == OURS


def test_what_is_given_counts_more_and_is_said_to_be_given():
    spec = load_training("mnli")
    plain = load_recipe().settings(spec)
    settings = load_recipe().settings(spec, epochs=1, patience=None)
    assert (settings.epochs, settings.patience, settings.batch_size) == (1.0, None, 32)
    assert {name for name, origin in settings.origins.items() if origin == GIVEN} == {"epochs", "patience"}
    assert settings.hash != plain.hash
    # The same training has the same key, whoever asked for it.
    assert load_recipe().settings(spec, epochs=2).hash == plain.hash


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"learnin_rate": 1e-5}, "no setting 'learnin_rate'. Did you mean 'learning_rate'?"),
        ({"learning_rate": -1.0}, "mnli: learning_rate: found -1.0 (float), expected greater than 0."),
        ({"batch_size": 0}, "mnli: batch_size: found 0 (int), expected greater than 0."),
        ({"learning_rate": None}, "mnli: learning_rate: found None"),
        ({"epochs": float("inf")}, "mnli: epochs: found inf (float), expected a finite number."),
    ],
)
def test_a_setting_that_cannot_be_is_refused(given, words):
    with pytest.raises(UsageError) as error:
        load_recipe().settings(load_training("mnli"), **given)
    assert words in str(error.value)


def test_an_unknown_recipe_has_a_nearest_name():
    with pytest.raises(UsageError, match=r"no recipe named 'xtrem'. Did you mean 'xtreme'"):
        load_recipe("xtrem")


def own(folder: Path, change: dict[str, str], name: str = "mine") -> str:
    text = Path(recipes.assets.TASKS / "recipes" / "jiant.yaml").read_text(encoding="utf-8")
    for old, new in {"name: jiant": f"name: {name}", **change}.items():
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_recipe_of_the_users_own(tmp_path):
    settings = load_recipe(own(tmp_path, {"learning_rate: 1.0e-5": "learning_rate: 5.0e-5"})).settings(
        load_training("mnli")
    )
    assert (settings.recipe, settings.learning_rate, settings.origins["learning_rate"]) == ("mine", 5e-5, "mine")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"learning_rate: 1.0e-5": "learning_rate: 1e-5"}, "YAML reads 1e-5 as text; write 1.0e-5."),
        ({"paws: {epochs: 5}": "pws: {epochs: 5}"}, "tasks.pws: no training set has this name. Did you mean 'paws'?"),
        ({"paws: {epochs: 5}": "paws: {epohcs: 5}"}, "tasks.paws.epohcs: no such field. Did you mean 'epochs'?"),
        ({"paws: {epochs: 5}": "paws: {epochs: null}"}, "tasks.paws.epochs: found None"),
        (
            {"paws: {epochs: 5}": "paws: {epochs: 5, ours: [epoch]}"},
            "tasks.paws.ours: 'epoch' is not set here. Did you",
        ),
        ({"  schedule: linear\n": ""}, "default.schedule: field required, as it is not set for classification,"),
        ({"schedule: linear": "schedule: cosine"}, "default.schedule: found 'cosine', expected 'linear'."),
        ({"span_qa: {": "span: {"}, "kinds.span"),
        ({"name: mine": "name: ours"}, "mine.yaml: name: found 'ours', expected 'mine' as the file is called."),
    ],
)
def test_a_wrong_recipe_names_the_field(tmp_path, change, words):
    with pytest.raises(SpecError) as error:
        load_recipe(own(tmp_path, change))
    assert words in str(error.value)


def test_a_recipe_cannot_be_called_as_an_origin(tmp_path):
    with pytest.raises(SpecError, match=r"given.yaml: name: found 'given', expected another name"):
        load_recipe(own(tmp_path, {}, name="given"))
