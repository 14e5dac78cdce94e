"""The plan: what a checkpoint can be scored on, and why not on the rest."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from helpers.checkpoints import unloaded_checkpoint
from xharness.checkpoints import compatibility, heads
from xharness.checkpoints.checkpoint import Checkpoint
from xharness.checkpoints.heads import Head
from xharness.errors import UsageError
from xharness.evaluation import plan
from xharness.evaluation.plan import plan_table
from xharness.evaluation.prepare import Options
from xharness.tasks import selection as tasks_selection
from xharness.tasks.benchmarks import benchmarks
from xharness.tasks.registry import load_task

XNLI = ("entailment", "neutral", "contradiction")


def head(kind: str, *labels: str) -> Checkpoint:
    names = {"classification": "ForSequenceClassification", "tagging": "ForTokenClassification"}
    return unloaded_checkpoint("XLMRoberta" + names.get(kind, "ForQuestionAnswering"), labels)


def steps(targets: str, model: Checkpoint, languages: list[str] | None = None, **options: Any) -> dict[str, plan.Step]:
    selection = tasks_selection.select(targets.split(","))
    wanted = tasks_selection.choose_languages(selection, languages)
    return {s.task: s for s in plan.make_plan(selection, model, wanted, options.pop("unavailable", {}), **options)}


def numbered(count: int) -> tuple[str, ...]:
    return tuple(f"LABEL_{i}" for i in range(count))


# --- States ---------------------------------------------------------------------------------------------------------

READY, ENCODER, TRAIN, CANNOT = "ready", "encoder only", "needs English target training", "cannot"


@pytest.mark.parametrize(
    ("model", "states"),
    [
        (unloaded_checkpoint(), {"xnli": TRAIN, "panx": TRAIN, "xquad": TRAIN, "tatoeba": ENCODER, "udpos": TRAIN}),
        (unloaded_checkpoint(), {"xcopa": TRAIN, "bucc2018": ENCODER, "lareqa": ENCODER, "mewslix": ENCODER}),
        (unloaded_checkpoint("XLMRobertaForMultipleChoice"), {"xcopa": READY, "xnli": TRAIN, "bucc2018": ENCODER}),
        (unloaded_checkpoint("XLMRobertaForMaskedLM"), {"xnli": TRAIN, "tatoeba": ENCODER}),
        (head("span_qa"), {"xquad": READY, "mlqa": READY, "tydiqa": READY, "xnli": TRAIN, "tatoeba": ENCODER}),
        (head("classification", *XNLI), {"xnli": READY, "pawsx": TRAIN, "panx": TRAIN}),
        (head("classification", "0", "1"), {"pawsx": READY, "xnli": TRAIN}),
        (head("classification", *numbered(3)), {"xnli": CANNOT, "pawsx": TRAIN}),
        (head("classification", *numbered(2)), {"xnli": TRAIN, "pawsx": CANNOT}),
        (head("tagging", *load_task("panx").labels), {"panx": READY, "udpos-hub": TRAIN, "xnli": TRAIN}),
        (head("tagging", "O", *load_task("udpos-hub").labels), {"udpos-hub": READY, "panx": TRAIN}),
        (head("tagging", *numbered(18)), {"udpos-hub": CANNOT, "panx": TRAIN}),
    ],
)
def test_states(model, states):
    found = steps(",".join(states), model)
    assert {task: step.state for task, step in found.items()} == states
    for step in found.values():
        assert step.runs == (step.state in (READY, ENCODER))
        # LAReQA and Mewsli-X are meant with a dual encoder, which is said.
        assert bool(step.reason) == (step.state in (TRAIN, CANNOT) or step.task in ("lareqa", "mewslix"))


@pytest.mark.parametrize(
    ("model", "task", "words"),
    [
        (unloaded_checkpoint(), "xnli", ["it has no task head", "`--tune` trains it on 'mnli'"]),
        (head("span_qa"), "panx", ["its head is for span qa", "'panx_en'"]),
        (head("classification", "a", "b"), "xnli", ["its labels are a, b, not entailment, neutral, contradiction"]),
        (head("classification"), "xnli", ["its labels are not named"]),
        (
            head("classification", *numbered(3)),
            "xnli",
            ["LABEL_0, LABEL_1, LABEL_2", "--label-map entailment=LABEL_0,neutral=LABEL_1,contradiction=LABEL_2"],
        ),
        (unloaded_checkpoint(), "xcopa", ["'copa'"]),
        (unloaded_checkpoint(), "lareqa", ["officially an encoder that was tuned as a dual encoder", "used as it is"]),
    ],
)
def test_reasons(model, task, words):
    reason = steps(task, model)[task].reason
    assert all(word in reason for word in words), reason


# --- Labels go by name ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "names", "expected"),
    [
        ("xnli", ("contradiction", "entailment", "neutral"), ("contradiction", "entailment", "neutral")),
        ("xnli", ("Contradictory", "ENTAILMENT", "Neutral"), ("contradiction", "entailment", "neutral")),
        ("xnli", ("entailment", "neutral"), None),
        ("xnli", (*XNLI, "other"), None),
        ("xnli", ("entailment", "neutral", "neutral"), None),
        ("xnli", ("entailment", "contradictory", "contradiction"), None),
        ("xnli", (*XNLI, "contradictory"), None),
        ("xnli", numbered(3), None),
        ("pawsx", ("paraphrase", "not_paraphrase"), ("1", "0")),
        ("pawsx", ("not-paraphrase", "Paraphrase"), ("0", "1")),
        ("pawsx", ("not_duplicate", "duplicate"), None),
    ],
)
def test_canonical_labels(task, names, expected):
    assert compatibility.canonical_labels(load_task(task), names) == expected


def test_a_label_that_the_spec_tolerates():
    spec = load_task("udpos-hub")
    names = ("_", "O", *sorted(spec.labels))
    assert compatibility.canonical_labels(spec, names) == names
    assert compatibility.canonical_labels(spec, (*names, "B")) is None


def test_the_label_map_says_what_numbers_mean():
    mapping = {"contradiction": "LABEL_0", "entailment": "LABEL_1", "neutral": "LABEL_2"}
    found = steps("xnli,tatoeba", head("classification", *numbered(3)), label_map=mapping)
    assert (found["xnli"].state, found["xnli"].labels) == (READY, ("contradiction", "entailment", "neutral"))
    # One label that is left out is not guessed.
    del mapping["neutral"]
    assert steps("xnli", head("classification", *numbered(3)), label_map=mapping)["xnli"].state == CANNOT


def test_an_unknown_label_in_the_label_map():
    with pytest.raises(UsageError, match=r"the label 'entailmant'\. Did you mean 'entailment'\?"):
        steps("xnli", unloaded_checkpoint(), label_map={"entailmant": "LABEL_0"})


# --- What was asked for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "benchmark"), [("xtreme", "xtreme"), ("xtreme-r", "xtreme-r"), ("xtreme_r", "xtreme-r")]
)
def test_a_benchmark_has_all_its_targets_in_its_order(name, benchmark):
    found = steps(name, unloaded_checkpoint())
    assert list(found) == benchmarks()[benchmark].tasks
    for task, step in found.items():
        if step.spec is not None and step.state != CANNOT:
            assert list(step.languages) == step.spec.languages_in(benchmark)
        assert step.state in (CANNOT, TRAIN, ENCODER)
        assert task in plan_table(list(found.values()))


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ("xnil", "no target named 'xnil'. Did you mean 'xnli'?"),
        ("xtrem", "no target named 'xtrem'. Did you mean 'xtreme'?"),
        ("xnli,zzzz", "no target named 'zzzz'. Known: "),
        (" , ", "No target was named"),
        ("nowhere/toy.yaml", "nowhere"),
    ],
)
def test_unknown_targets(targets, words):
    with pytest.raises(Exception, match=words.replace("?", r"\?").replace(".", r"\.")) as caught:
        tasks_selection.select(targets.split(","))
    assert "xharness.errors" in type(caught.value).__module__


def test_languages():
    selection = tasks_selection.select(["xnli", "tatoeba"])
    # In the spec's order, each target with those that it has.
    assert tasks_selection.choose_languages(selection, ["sw", "ka", "en"]) == {
        "xnli": ["en", "sw"],
        "tatoeba": ["ka", "sw"],
    }
    with pytest.raises(UsageError, match="None of the chosen targets has the language 'xx'"):
        tasks_selection.choose_languages(selection, ["de", "xx"])
    found = steps("xnli,tatoeba", unloaded_checkpoint(), ["ka"])
    assert (found["xnli"].state, found["xnli"].reason) == (CANNOT, "it has none of the languages that were asked for")


@pytest.mark.parametrize(
    ("targets", "languages", "options", "examples"),
    [
        ("xnli", ["de", "sw"], {}, 2 * 5010),
        ("xnli", ["de", "sw"], {"split": "dev"}, 2 * 2490),
        ("xnli", ["de", "sw"], {"limit": 7}, 14),
        ("tatoeba", ["jv", "de"], {"limit": 500}, 705),
        ("tydiqa", None, {}, 5077),
        ("tydiqa", ["ar"], {}, None),
        ("tydiqa", ["en"], {}, 440),
    ],
)
def test_sizes(targets, languages, options, examples):
    [step] = steps(targets, head("span_qa"), languages, **options).values()
    assert step.examples == examples
    assert (step.tokens is None) == (examples is None)
    if examples is not None:
        assert step.spec is not None
        assert step.tokens == round(examples * step.spec.mean_characters / tasks_selection.CHARACTERS_PER_TOKEN)


def test_data_that_is_not_there_is_left_out_and_named():
    unavailable = {("xnli", "sw"): "xnli: 'sw' is not in /data", ("xnli", "th"): "xnli: 'th' is not in /data"}
    [step] = steps("xnli", head("classification", *XNLI), ["de", "sw", "th"], unavailable=unavailable).values()
    assert (step.state, step.languages, list(step.left_out)) == (READY, ("de",), ["sw", "th"])
    table = plan_table([step])
    assert "sw th" in table
    assert "--languages sw,th" in " ".join(table.split())
    [nothing] = steps("xnli", head("classification", *XNLI), ["sw", "th"], unavailable=unavailable).values()
    assert (nothing.state, nothing.reason, nothing.runs) == (CANNOT, "xnli: 'sw' is not in /data", False)


def test_a_split_that_the_target_does_not_have():
    [step] = steps("tatoeba", unloaded_checkpoint(), split="dev").values()
    assert (step.state, step.reason) == (CANNOT, "it has no dev split")


# --- Several heads --------------------------------------------------------------------------------------------------

ENDS = {kind: end for end, kind in heads.KINDS.items()}


def with_heads(own: Checkpoint | None = None, **named: tuple[str, ...]) -> Checkpoint:
    """Return a checkpoint with heads beside its encoder: name -> kind and labels."""
    made = {
        name: Head(name, f"heads/{name}.safetensors", kind, f"XLMRoberta{ENDS[kind]}", tuple(labels))
        for name, (kind, *labels) in named.items()
    }
    return dataclasses.replace(own or unloaded_checkpoint(), heads=made)


NLI = ("classification", *XNLI)
SPANS = ("span_qa",)


@pytest.mark.parametrize(
    ("model", "task", "state", "head_name"),
    [
        # Named as the target's training set ...
        (with_heads(mnli=NLI, anli=NLI, squad_v1=SPANS), "xnli", READY, "mnli"),
        (with_heads(squad_v2=SPANS, squad_v1=SPANS), "xquad", READY, "squad_v1"),
        (with_heads(squad_v2=SPANS, squad_v1=SPANS), "mlqa", READY, "squad_v1"),
        # ... or the only one that fits, by kind and by the names of its labels ...
        (with_heads(anli=NLI, qqp=("classification", "0", "1")), "xnli", READY, "anli"),
        (with_heads(squad_v2=SPANS, mnli=NLI), "xquad", READY, "squad_v2"),
        (with_heads(hellaswag=("multiple_choice",)), "xcopa", READY, "hellaswag"),
        (with_heads(mnli=("classification", "a", "b"), anli=NLI), "xnli", READY, "anli"),
        # ... but nobody guesses which of two is meant.
        (with_heads(squad_v2=SPANS, squad_v1=SPANS), "tydiqa", TRAIN, None),
        (with_heads(mnli=NLI, ccg=("tagging", "N", "NP")), "panx", TRAIN, None),
        (with_heads(mnli=NLI), "tatoeba", ENCODER, None),
        # The root's own head comes first; where it does not fit, the others are asked.
        (with_heads(head("classification", *XNLI), mnli=NLI), "xnli", READY, None),
        (with_heads(head("classification", "a", "b"), mnli=NLI), "xnli", READY, "mnli"),
        (with_heads(head("span_qa"), mnli=NLI), "xnli", READY, "mnli"),
    ],
)
def test_which_head(model, task, state, head_name):
    [step] = steps(task, model).values()
    assert (step.state, step.head) == (state, head_name)
    assert step.to_json()["head"] == head_name
    if head_name is not None:
        assert step.reason == f"with its head '{head_name}'"


def test_the_labels_are_those_of_the_head_that_was_chosen():
    turned = ("classification", "contradictory", "neutral", "entailment")
    [step] = steps("xnli", with_heads(mnli=turned)).values()
    assert step.labels == ("contradiction", "neutral", "entailment")
    unnamed = with_heads(mnli=("classification", *numbered(3)))
    [step] = steps("xnli", unnamed).values()
    assert (step.state, step.head) == (CANNOT, None)
    assert step.reason.startswith("its head 'mnli' names the labels LABEL_0, LABEL_1, LABEL_2, which does not say")
    mapping = {label: f"LABEL_{i}" for i, label in enumerate(XNLI)}
    assert steps("xnli", unnamed, label_map=mapping)["xnli"].labels == XNLI
    with pytest.raises(UsageError, match=r"has no label 'LABEL_7'\. Did you mean"):
        steps("xnli", unnamed, label_map={"neutral": "LABEL_7"})


@pytest.mark.parametrize(
    ("model", "task", "words"),
    [
        (
            with_heads(a=SPANS, b=SPANS),
            "xquad",
            "several of its heads fit (a, b; --head NAME chooses one); `--tune` trains it on 'squad_v1'",
        ),
        (
            with_heads(ccg=("tagging", "N"), mnli=NLI),
            "xquad",
            "none of its other heads fits: ccg (tagging), mnli (classification); `--tune` trains",
        ),
        (
            with_heads(head("span_qa"), mnli=NLI),
            "panx",
            "its head is for span qa, and none of its other heads fits: mnli (classification); `--tune` trains",
        ),
        (with_heads(head("classification", *numbered(3)), squad_v1=SPANS), "xnli", "give it, for example --label-map"),
        (with_heads(mnli=("classification", "a", "b")), "xnli", "the labels of its head 'mnli' are a, b, not entail"),
    ],
)
def test_reasons_of_several_heads(model, task, words):
    assert words in steps(task, model)[task].reason


def test_a_head_is_chosen_by_name():
    model = with_heads(squad_v1=SPANS, squad_v2=SPANS, mnli=NLI)
    found = steps("xquad,tydiqa,xnli,tatoeba", model, head="squad_v2")
    assert {t: (s.state, s.head) for t, s in found.items()} == {
        "xquad": (READY, "squad_v2"),
        "tydiqa": (READY, "squad_v2"),
        "xnli": (CANNOT, None),
        "tatoeba": (ENCODER, None),
    }
    assert found["xnli"].reason == "its head 'squad_v2' is for span qa (chosen by --head)"
    with pytest.raises(UsageError, match=r"has no head 'squad_v3'\. Did you mean 'squad_v"):
        steps("xquad", model, head="squad_v3")
    with pytest.raises(UsageError, match=r"has no head 'zzz'\. Its heads: squad_v1, squad_v2, mnli\."):
        steps("xquad", model, head="zzz")
    with pytest.raises(UsageError, match=r"no named heads.*Leave out --head"):
        steps("xquad", head("span_qa"), head="squad_v1")


def test_the_roots_own_head_may_have_a_name():
    named = Head("mnli", None, "classification", "XLMRobertaForSequenceClassification", XNLI)
    model = dataclasses.replace(head("classification", *XNLI), heads={"mnli": named})
    assert (model.head, model.head_name) == ("classification", "mnli")
    for asked in (None, "mnli"):
        [step] = steps("xnli", model, head=asked).values()
        assert (step.state, step.head, step.labels) == (READY, "mnli", XNLI)
    assert steps("xquad", model, head="mnli")["xquad"].state == CANNOT


def test_a_head_that_is_asked_for_is_another_run_and_none_is_the_run_as_it_was():
    assert "head" not in Options().settings("float32")
    assert Options(head="mnli").settings("float32") == {**Options().settings("float32"), "head": "mnli"}
