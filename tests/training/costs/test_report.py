"""Plans of training, tuning and evaluation: how steps and tokens add up, what is printed, and unknown names."""

import json
import math
import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from xharness import hardware
from xharness.cli.plan import plan
from xharness.errors import UsageError
from xharness.tasks.recipes import DEFAULT, load_recipe
from xharness.tasks.registry import load_mixture, load_task, load_training
from xharness.tasks.selection import CHARACTERS_PER_TOKEN, Selection, select
from xharness.training import sampler
from xharness.training.costs import estimate, workload
from xharness.training.costs import report as costs_report

LARGE = hardware.load_encoder("xlm-roberta-large")
H200 = estimate.Machine(hardware.load_gpu("h200"), 1, "bfloat16")
RECIPE = load_recipe()
SIZES = st.integers(1, 2_000_000)


def of_size(name, train, dev=1000):
    spec = load_training(name)
    line = spec.languages["en"].model_copy(update={"train": train, "dev": dev})
    return spec.model_copy(update={"languages": {"en": line}})


def call(*arguments):
    """Run the command as the command line does, but let errors through."""
    finished = CliRunner().invoke(plan, [str(a) for a in arguments], standalone_mode=False)
    if finished.exception is not None:
        raise finished.exception
    return finished.output


LARGE_ON_H200 = ("--base", "xlm-roberta-large", "--gpu", "h200")


def test_the_plan_of_a_training_run(gold):
    gold("plan-train.txt", call("train", "mnli", *LARGE_ON_H200))


def test_the_plan_of_tuning(gold):
    gold(
        "plan-tune.txt", call("tune", "--targets", "xnli,xcopa,xquad,mlqa,tatoeba", *LARGE_ON_H200, "--seeds", "1,2,3")
    )


def test_sub_words_are_those_of_the_spec():
    spec, settings = load_training("mnli"), RECIPE.settings(load_training("mnli"))
    run = workload.training_run("mnli", [spec], RECIPE)
    each = spec.mean_characters / CHARACTERS_PER_TOKEN + 4
    assert run.tokens == pytest.approx(392702 * settings.epochs * each)
    assert run.steps == math.ceil(392702 * settings.epochs / settings.batch_size)
    assert run.sizes_known


@given(SIZES, SIZES)
def test_a_larger_training_set_costs_more(one, other):
    small, large = (
        estimate.training_cost(workload.training_run("mnli", [of_size("mnli", size)], RECIPE), LARGE, H200)
        for size in sorted((one, other))
    )
    assert small.flop <= large.flop
    assert small.seconds <= large.seconds
    assert small.disk <= large.disk
    assert small.memory == large.memory


@given(st.integers(1, 8), st.integers(1, 60_000))
def test_more_gpus_and_smaller_batches_need_no_more_of_each(gpus, batch_tokens):
    run = workload.training_run("squad_v1", [load_training("squad_v1")], RECIPE)
    one = estimate.training_cost(run, LARGE, estimate.Machine(H200.gpu, 1, "bfloat16", batch_tokens))
    several = estimate.training_cost(run, LARGE, estimate.Machine(H200.gpu, gpus, "bfloat16", batch_tokens))
    assert several.seconds <= one.seconds
    assert several.memory.activations <= one.memory.activations
    assert several.flop == one.flop


@given(st.lists(SIZES, min_size=2, max_size=2), st.integers(1, 300_000), st.floats(1, 10))
def test_a_mixture_is_made_of_capped_sizes(sizes, cap, temperature):
    names = ("mnli", "squad_v1")
    specs = [of_size(name, size) for name, size in zip(names, sizes, strict=True)]
    run = workload.training_run("both", specs, RECIPE, cap=cap, temperature=temperature)
    settings = [part.settings for part in run.parts]
    expected = sum(s.epochs * math.ceil(min(n, cap) / s.batch_size) for n, s in zip(sizes, settings, strict=True))
    assert run.steps == round(expected)
    assert sum(part.share for part in run.parts) == pytest.approx(1)
    assert sum(part.steps for part in run.parts) == pytest.approx(run.steps)
    shares = sampler.mixture(dict(zip(names, sizes, strict=True)), cap, temperature)
    assert [part.share for part in run.parts] == pytest.approx(list(shares.values()))


def test_runs_add_up_over_seeds():
    runs = workload.tuning_runs(select(["xnli", "xquad"]), RECIPE)
    once, thrice = (costs_report.sum_of(runs, LARGE, H200, seeds) for seeds in (1, 3))
    single = [costs_report.sum_of([run], LARGE, H200) for run in runs]
    for field in ("steps", "tokens", "flop", "seconds", "kept_bytes"):
        assert once[field] == pytest.approx(sum(one[field] for one in single))
        assert thrice[field] == pytest.approx(3 * once[field])
    assert once["memory_bytes"] == thrice["memory_bytes"] == max(one["memory_bytes"] for one in single)


def test_targets_with_one_training_set_share_a_run_and_others_come_after_another():
    runs = {run.name: run for run in workload.tuning_runs(select(["xquad", "mlqa", "xcopa", "tatoeba"]), RECIPE)}
    assert list(runs) == ["squad_v1", "social_iqa", "copa"]
    assert runs["squad_v1"].targets == ("xquad", "mlqa")
    assert runs["copa"].after == "social_iqa"
    assert runs["social_iqa"].after is None


def test_an_unknown_size_is_said_and_makes_the_sum_a_least_one():
    specs = [of_size("mnli", 392702), of_size("squad_v1", None)]
    run = workload.training_run("both", specs, RECIPE, cap=131072)
    assert not run.sizes_known
    assert run.steps == run.parts[0].settings.epochs * 131072 / run.parts[0].settings.batch_size
    assert "not known" in costs_report.mixture_table(run)
    assert "≥ 8,192" in costs_report.runs_table([run], LARGE, H200)
    assert "not confirmed: squad_v1" in costs_report.training_notes([run], LARGE, H200)
    alone = workload.training_run("squad_v1", specs[1:], RECIPE)
    assert alone.steps == 0
    assert costs_report.runs_table([alone], LARGE, H200).count("not known") == 5
    assert "total, 2 seeds, at least" in costs_report.runs_table([run, alone], LARGE, H200, 2)


def test_evaluating_on_development_data_is_counted():
    every = load_recipe("xtreme").settings(load_training("mnli"))
    run = workload.training_run("mnli", [load_training("mnli")], load_recipe("xtreme"))
    assert every.eval_examples is None
    assert run.parts[0].dev_tokens == pytest.approx(run.steps // every.eval_every * 9815 * run.parts[0].rows.tokens)
    without = workload.training_run("tydiqa_en", [load_training("tydiqa_en")], RECIPE)
    assert without.parts[0].dev_tokens == 0


def test_choices_stand_in_rows_of_their_own_and_long_texts_are_cut():
    spec = load_training("social_iqa")
    each = workload.rows(spec, 256)
    assert each.number == 3
    once = spec.mean_characters / CHARACTERS_PER_TOKEN
    assert once < each.tokens < 3 * (once + 4)
    assert workload.rows(spec, 10).length == 10


def test_evaluation_counts_candidates_once_per_pool():
    by_name = {each.target: each for each in workload.evaluations(select(["mewslix", "lareqa"]), None, "test")}
    # All languages search one pool; an entity of Mewsli-X is truncated to 64 tokens.
    assert by_name["mewslix"].candidate_tokens == 1_003_893 * 64
    assert by_name["mewslix"].vectors > 4 * 1_003_893
    assert 13_014 * 100 < by_name["lareqa"].candidate_tokens < 13_014 * 256
    few = workload.evaluations(select(["mewslix"]), ["de"], "test")[0]
    assert few.candidate_tokens == by_name["mewslix"].candidate_tokens
    assert few.tokens < by_name["mewslix"].tokens


def test_evaluation_says_where_sizes_are_not_known():
    unknown = load_task("xquad").model_copy(update={"expected": {"test": None, "dev": None}})
    found = workload.evaluations(Selection(None, (unknown, load_task("xnli"))), None, "test")
    assert [each.sizes_known for each in found] == [False, True]
    printed = costs_report.evaluations_table(found, LARGE, H200)
    assert "not known" in printed
    assert "total, at least" in printed
    assert "not confirmed: xquad" in costs_report.evaluation_notes(found, H200)


def test_an_xtreme_r_evaluation_is_about_as_large_as_the_project_planned():
    """9e7 tokens, of which 6e7 are Mewsli-X candidates."""
    command = ("eval", "--targets", "xtreme-r", "--model", "xlm-roberta-large", "--gpu", "h200", "--json")
    evaluation = json.loads(call(*command))["evaluation"]
    mewslix = next(each for each in evaluation["targets"] if each["target"] == "mewslix")
    assert evaluation["total"]["tokens"] == pytest.approx(9e7, rel=0.1)
    assert mewslix["candidate_tokens"] == pytest.approx(6e7, rel=0.1)


def test_json_holds_every_number_and_its_inputs():
    content = json.loads(call("train", "mnli", *LARGE_ON_H200, "--share", "0.5", "--batch-tokens", "4096", "--json"))
    assert content["encoder"]["layer_parameters"] == LARGE.layer_parameters
    assert content["gpu"]["tflops"]["bfloat16"] == 989
    assert content["share_of_bound"] == 0.5
    run = content["training"]["runs"][0]
    assert run["training_sets"][0]["settings"]["batch_size"] == RECIPE.settings(load_training("mnli")).batch_size
    step = run["matrix_seconds_per_step"] + run["optimiser_seconds_per_step"]
    assert run["seconds"] == pytest.approx(run["steps"] * step / 0.5, rel=0.01)
    assert run["activation_bytes"] == hardware.training_memory(LARGE, 4096, dtype="bfloat16").activations
    for command in ("tune", "all"):
        assert json.loads(call(command, "--targets", "xnli", *LARGE_ON_H200, "--json"))["recipe"] == RECIPE.name


def test_a_joint_plan_shows_shares():
    printed = call("train", "mnli,squad_v1", *LARGE_ON_H200, "--cap", "1000", "--temperature", "100")
    assert "mnli+squad_v1" in printed
    assert "0.500" in printed


def test_the_whole_table_in_order_of_size():
    printed = call("all", *LARGE_ON_H200)
    checkpoints = len(load_mixture("multitask").tasks) + 1
    assert f"The {checkpoints} checkpoints" in printed
    assert f"All {checkpoints + 1} rows" in printed
    assert printed.index("tuning") < printed.index("evaluation")


def test_what_does_not_fit_is_said():
    small = ("--base", "xlm-roberta-xl", "--gpu", "l4")
    assert "does not fit" in call("train", "mnli", *small)
    assert "does not fit" not in call("train", "mnli", *LARGE_ON_H200)


def test_a_gpu_without_bfloat16_is_planned_in_float32():
    assert "V100 SXM2 32 GB, float32" in call("train", "mnli", "--base", "xlm-roberta-base", "--gpu", "v100")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("train", "mnil", *LARGE_ON_H200), "Did you mean 'mnli'"),
        (("train", "multitaks", *LARGE_ON_H200), "Did you mean 'multitask'"),
        (("train", "multitask,mnli", *LARGE_ON_H200), "Give it without other tasks"),
        (("train", ",", *LARGE_ON_H200), "No task was given"),
        (("train", "mnli", "--base", "xlm-roberta-lrge", "--gpu", "h200"), "Did you mean 'xlm-roberta-large'"),
        (("train", "mnli", "--base", "xlm-roberta-large", "--gpu", "h2000"), "Did you mean 'h200'"),
        (("train", "mnli", "--base", "xlm-roberta-large", "--gpu", "t4", "--dtype", "bfloat16"), "--dtype float32"),
        (("train", "mnli", *LARGE_ON_H200, "--recipe", "jaint"), "Did you mean 'jiant'"),
        (("tune", "--targets", "xnil", *LARGE_ON_H200), "Did you mean 'xnli'"),
        (("tune", *LARGE_ON_H200, "--seeds", "1,1"), "each once"),
        (("tune", *LARGE_ON_H200, "--seeds", "one"), "whole numbers"),
        (("eval", "--targets", "xnli", "--languages", "dd", "--model", "xlm-roberta-base", "--gpu", "h200"), "'dd'"),
    ],
)
def test_what_cannot_be_meant_is_an_error_with_the_nearest_name(arguments, says):
    with pytest.raises(UsageError) as caught:
        call(*arguments)
    assert says in str(caught.value)


def test_a_share_is_between_none_and_all():
    with pytest.raises(click.BadParameter):
        call("train", "mnli", *LARGE_ON_H200, "--share", "1.5")


def test_a_plan_needs_neither_torch_nor_the_hub():
    code = f"""
import sys
from xharness.cli.plan import plan
plan(["all", *{LARGE_ON_H200!r}], standalone_mode=False)
print(sorted({{"torch", "transformers", "datasets", "huggingface_hub"}} & set(sys.modules)))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=240
    )
    assert finished.stdout.splitlines()[-1:] == ["[]"], finished.stderr


def test_the_default_recipe_is_the_one_of_training():
    recipe = next(p for p in plan.commands["train"].params if p.name == "recipe")
    assert recipe.default == DEFAULT
