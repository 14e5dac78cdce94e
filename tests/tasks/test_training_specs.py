"""The training sets: which there are, what they read, and how mistakes in their YAML are said."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from helpers.data_folder import write_dataset
from xharness import assets
from xharness.data import loading as data_loading
from xharness.data import user_files
from xharness.data.convert import converter
from xharness.data.examples import Choice, Pair, Question, Tagged
from xharness.data.fetch import requirements
from xharness.errors import DataError, SpecError, UsageError
from xharness.tasks import registry, task_spec, validate
from xharness.tasks.selection import load_specs

NINE = ("anli", "mnli", "qqp", "squad_v2", "squad_v1", "hellaswag", "ccg", "cosmosqa", "commonsenseqa")
NATIVE = ("tydiqa_en", "ud_en", "ud_en_hub", "panx_en")
TRANSLATED = {
    "mnli": "ar bg de el es fr hi ru sw th tr ur vi zh",
    "squad_v1": "ar de el es hi ru th tr vi zh",
    "paws": "de es fr ja ko zh",
}

Row = dict[str, Any]


# --- What there is ---------------------------------------------------------------------------------------------------


def test_the_nine_intermediate_tasks():
    assert registry.list_intermediate() == NINE
    mixture = registry.load_mixture("multitask")
    assert (mixture.cap, mixture.temperature) == (2**17, 1.0)
    assert "multitask" not in registry.list_training()
    assert {path.stem for path in (assets.TASKS / "intermediate").glob("*.yaml")} == {*NINE, "multitask"}


def test_anli_is_all_its_parts_with_one_head():
    joined = registry.load_training("anli")
    parts = registry.parts_of(joined)
    assert [part.name for part in parts] == ["anli_r1", "anli_r2", "anli_r3", "snli", "mnli"]
    assert {tuple(part.labels) for part in parts} == {("entailment", "neutral", "contradiction")}
    assert all(part.dev_split for part in parts)
    rounds = [part.languages["en"] for part in parts[:3]]
    assert (sum(r.train or 0 for r in rounds), sum(r.dev or 0 for r in rounds)) == (162865, 3200)
    assert registry.parts_of(registry.load_training("mnli")) == [registry.load_training("mnli")]


def test_languages_say_where_their_examples_are_from():
    for name in registry.list_training():
        training = registry.load_training(name)
        others = {code: line for code, line in training.languages.items() if code != "en"}
        if name in NATIVE:
            assert {line.origin for line in others.values()} == {"native"}
        else:
            assert set(others) == set(TRANSLATED.get(name, "").split())
            assert all(line.origin == "machine-translated" for line in others.values())


def test_native_languages_are_those_of_the_target():
    for name, target, without in [
        ("tydiqa_en", "tydiqa", set()),
        ("panx_en", "panx", set()),
        ("ud_en", "udpos", {"th", "tl", "yo"}),
        ("ud_en_hub", "udpos-hub", {"th", "tl", "yo"}),
    ]:
        training, task = registry.load_training(name), registry.load_task(target)
        assert set(training.languages) == set(task.languages) - without
        assert {c: line.alias for c, line in training.languages.items()} == {
            c: line.alias for c, line in task.languages.items() if c not in without
        }
        assert training.tag_precedence == task.tag_precedence
    for source in registry.load_training("ud_en").sources:
        assert source in [
            s.model_copy(update={"languages": source.languages}) for s in registry.load_task("udpos").sources
        ]


def test_no_head_for_duplicates_passes_for_one_for_paraphrases():
    assert not set(registry.load_training("qqp").labels) & set(registry.load_task("pawsx").labels)


def test_the_hash_of_targets_is_what_it_was():
    # Results were made under these; what was added since is not written there, and so must not change them.
    assert registry.load_task("xnli").hash == "0308ed0554e5"
    assert registry.load_task("xquad").hash == "3c0fc41313f5"
    assert registry.load_task("xcopa").hash == "f2572b443951"
    squad = registry.load_task("xquad")
    other = squad.model_copy(update={"input": squad.input.model_copy(update={"no_answer": True})})
    assert other.hash != squad.hash


# --- Mistakes --------------------------------------------------------------------------------------------------------

CHOICE = """
name: toy
title: Toy
paper: https://example.org
licence: CC-BY-4.0
kind: multiple_choice
sources:
  - {repo: org/toy, revision: main}
fields: {context: a, question: b, label: label}
choice_list: {column: endings}
labels: ["0", "1"]
train_split: train
dev_split: null
metric: accuracy
mean_characters: 10
input: {prompt: "{context}"}
languages: {en: }
"""
PAIR = """
name: toy
title: Toy
paper: https://example.org
licence: CC-BY-4.0
kind: classification
sources:
  - {repo: org/toy, revision: main}
fields: {text_a: a, text_b: b, label: label}
labels: [yea, nay]
train_split: train
dev_split: dev
metric: accuracy
mean_characters: 10
languages: {en: , de: {origin: machine-translated}}
"""


def make(folder: Path, text: str, *changes: tuple[str, str]) -> task_spec.TrainingSpec:
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "toy.yaml"
    path.write_text(text, encoding="utf-8")
    return registry.read_training(path)


@pytest.mark.parametrize(
    ("text", "change", "message"),
    [
        (CHOICE, ('input: {prompt: "{context}"}\n', ""), "toy.yaml: input: field required."),
        (CHOICE, ("column: endings", "colum: endings"), "choice_list.colum: no such field. Did you mean 'column'?"),
        (CHOICE, ("column: endings", 'column: endings, prefix: "{ctx} "'), "choice_list.prefix: '{ctx} ': only"),
        (CHOICE, ("choice_list: {column: endings}\n", ""), "choices: found 0 columns for 2 labels"),
        (
            CHOICE,
            ("labels:", "choices: [c, d]\nlabels:"),
            "choice_list: used instead of 'choices'",
        ),
        (
            PAIR,
            ("labels:", "choice_list: {column: c}\nlabels:"),
            "choice_list: used instead of 'choices'",
        ),
        (PAIR, ("labels:", "members: [mnli]\nlabels:"), "sources: give either 'sources' or 'members'."),
        (
            PAIR,
            ("labels: [yea, nay]\n", "labels_from: train\n"),
            "labels_from: used instead of 'labels', for",
        ),
        (PAIR, ("labels: [yea, nay]\n", ""), "labels: field required for this kind of task."),
        (PAIR, ("metric: accuracy", "metric: accuracy_f1"), "metric: accuracy_f1 is for two labels, one of them dup"),
        (PAIR, ("machine-translated", "translated"), "languages.de.origin: found 'translated', expected 'native' or"),
        (PAIR, ("name: toy", "name: tony"), "name: found 'tony', expected 'toy' as the file is called."),
        (PAIR, ("kind: classification", "kind: retrieval"), "kind: found 'retrieval', expected one of classification,"),
        (PAIR, ("{repo: org/toy, revision: main}", "{raw: x, format: ccgbank}"), "sources.0: the first source is"),
    ],
)
def test_a_mistake_is_named(text, change, message, tmp_path):
    with pytest.raises(SpecError) as caught:
        make(tmp_path, text, change)
    assert any(message in line for line in str(caught.value).splitlines()), str(caught.value)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ("[snli, mnil]", r"no training set named 'mnil'\. Did you mean 'mnli'"),
        ("[snli, anli]", r"'anli' has members itself; name those"),
        ("[snli, qqp]", r"'qqp' has the labels \['not_duplicate', 'duplicate'\], expected \['entailment'"),
        ("[snli, squad_v1]", r"'squad_v1' has the kind 'span_qa', expected 'classification'"),
    ],
)
def test_members_that_do_not_fit(members, message, tmp_path):
    text = (assets.TASKS / "intermediate" / "anli.yaml").read_text(encoding="utf-8")
    (tmp_path / "anli.yaml").write_text(re.sub(r"members: \[.*\]", f"members: {members}", text), encoding="utf-8")
    joined = registry.load_training(tmp_path / "anli.yaml")
    with pytest.raises((SpecError, UsageError), match=message):
        registry.parts_of(joined)


def test_files_of_every_sort_are_checked(tmp_path):
    assert validate.check([assets.TASKS / "intermediate" / "multitask.yaml", assets.TASKS / "parts" / "snli.yaml"])
    wrong = tmp_path / "multitask.yaml"
    wrong.write_text("name: multitask\ntitle: x\ntasks: [mnli, mnli]\ncap: 0\n", encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        validate.check([wrong])
    assert str(caught.value).splitlines() == [
        "multitask.yaml: tasks: 'mnli' is given twice.",
        "multitask.yaml: cap: found 0 (int), expected greater than 0.",
    ]
    with pytest.raises(UsageError, match="no mixture of training sets named 'multitusk'"):
        registry.load_mixture("multitusk")


def test_a_training_set_that_nobody_has_is_said():
    mixture = registry.load_mixture("multitask").model_copy(update={"tasks": ["mnli", "nobody"]})
    copa = registry.load_training("copa").model_copy(update={"after": "social"})
    odd = registry.load_training("anli").model_copy(update={"members": ["snli", "qqp"]})
    assert [line.partition(" ")[0] for line in validate._unresolved_references([mixture, copa, odd])] == [
        "multitask.yaml:",
        "copa.yaml:",
        "anli.yaml:",
    ]


def test_the_example_of_the_handbook_is_well_formed(tmp_path):
    handbook = (assets.TASKS / "README.md").read_text(encoding="utf-8")
    [text] = [block for block in re.findall(r"```yaml\n(.*?)```", handbook, re.S) if "train_split" in block]
    (tmp_path / "riddles.yaml").write_text(text, encoding="utf-8")
    assert registry.load_training(tmp_path / "riddles.yaml").drop_labels == [""]
    assert [found.name for found in load_specs([str(tmp_path / "riddles.yaml")])] == ["riddles"]


# --- What has to be fetched ------------------------------------------------------------------------------------------


def needed(names: list[str], languages: list[str] | None = None) -> tuple[requirements.Needs, list[str]]:
    said: list[str] = []
    return requirements.list_needs(load_specs(names), languages, None, said.append), said


def test_only_english_is_fetched_unless_other_languages_are_named():
    found, _ = needed(["mnli", "paws", "squad_v1", "panx_en"])
    assert [(need.repo, need.config, need.split) for need in found.hub] == [
        ("nyu-mll/glue", "mnli", "validation_matched"),
        ("nyu-mll/glue", "mnli", "train"),
        ("google-research-datasets/paws-x", "en", "validation"),
        ("google-research-datasets/paws-x", "en", "train"),
        ("rajpurkar/squad", "plain_text", "validation"),
        ("rajpurkar/squad", "plain_text", "train"),
        ("unimelb-nlp/wikiann", "en", "validation"),
        ("unimelb-nlp/wikiann", "en", "train"),
    ]
    assert not found.raw
    german, _ = needed(["mnli", "squad_v1"], ["de"])
    assert [(need.repo, need.config, need.split) for need in german.hub] == [
        ("facebook/xnli", "de", "validation"),
        ("facebook/xnli", "de", "train"),
    ]
    address = "https://storage.googleapis.com/xtreme_translations/SQuAD/translate-{0}/squad.translate.{0}.en-de.json"
    assert [need.download.url for need in german.raw] == [address.format("dev"), address.format("train")]


def test_the_mixture_is_fetched_part_by_part_and_each_part_once():
    found, said = needed(["multitask"])
    assert len(said) == 1
    assert said[0].startswith("ccg is left out: CCGbank is licensed by the LDC (LDC2005T13)")
    places = [(need.repo, need.config, need.split) for need in found.hub]
    assert len(places) == len(set(places)) == 2 * (3 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1)
    assert all(len(need.uses) == 1 for need in found.hub)
    assert ("facebook/anli", "plain_text", "train_r3") in places
    assert not found.problems


# --- What they read --------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "datasets").mkdir()
    return tmp_path / "datasets"


def put(folder: Path, rows: list[Row], split: str = "train", types: Any = None) -> None:
    write_dataset(folder / "org/toy", {"default": {split: rows}}, types)


def test_rows_without_a_label_are_left_out_and_counted(tmp_path, folder):
    import datasets

    rows = [{"a": "x", "b": "y", "label": label} for label in (0, -1, 1, -1)]
    types = datasets.Features(
        {
            "a": datasets.Value("string"),
            "b": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["yea", "nay"]),
        }
    )
    put(folder, rows, types=types)
    found = data_loading.load(make(tmp_path, PAIR, ("labels:", 'drop_labels: ["-1"]\nlabels:')), "en", "train", folder)
    assert list(found.examples) == [Pair("0", "x", "y", "yea"), Pair("1", "x", "y", "nay")]
    assert found.counts == {"unlabelled": 2}
    with pytest.raises(DataError, match="row 1 has the label '-1', which is not one of yea, nay"):
        data_loading.load(make(tmp_path, PAIR), "en", "train", folder)


def test_the_expected_count_is_that_of_all_rows(tmp_path, monkeypatch):
    import datasets

    table = datasets.Dataset.from_list([{"a": "x", "b": "y", "label": label} for label in ("yea", "", "nay")])
    monkeypatch.setattr(data_loading, "open_table", lambda *_: (table, "0" * 40))
    change = ("labels:", 'drop_labels: [""]\nlabels:')
    found = data_loading.load(make(tmp_path, PAIR, change, ("en: ,", "en: {train: 3},")), "en", "train", None)
    assert (len(found.examples), found.status) == (2, "complete")


LISTED: list[tuple[tuple[str, str], Row, tuple[str, ...]]] = [
    (("endings", "endings"), {"endings": ["c", "d"]}, ("c", "d")),
    (("endings}", 'endings, prefix: "{question} "}'), {"endings": ["c", "d"]}, ("q c", "q d")),
    (("endings}", "in.text, names: in.name}"), {"in": {"text": ["c", "d"], "name": ["1", "0"]}}, ("d", "c")),
]


@pytest.mark.parametrize(("change", "columns", "choices"), LISTED)
def test_choices_that_are_a_list(change, columns, choices, tmp_path, folder):
    put(folder, [{"a": "p", "b": "q", "label": "1", **columns}])
    found = data_loading.load(make(tmp_path, CHOICE, change), "en", "train", folder)
    assert list(found.examples) == [Choice("0", "p", "q", choices, "1")]


def test_a_prefix_that_is_empty_puts_no_blank_before_a_choice(tmp_path):
    toy = make(tmp_path, CHOICE, ("endings}", 'endings, prefix: "{question} "}'))
    made = converter(toy, toy.fields, {}, "here")({"a": "p", "b": "", "label": "0", "endings": ["c", "d"]}, 0)
    assert isinstance(made, Choice)
    assert made.choices == ("c", "d")


@pytest.mark.parametrize(
    ("change", "columns", "message"),
    [
        (("endings", "endings"), {"endings": ["c"]}, "row 0 has 1 texts in 'endings', expected 2, one for each label"),
        (("endings", "endings"), {"endings": "c"}, r"row 0 has no list of texts in 'endings' \('c'\)"),
        (("endings", "endings"), {"endings": [1, 2]}, r"row 0 has no list of texts in 'endings' \(\[1, 2\]\)"),
        (("endings", "ends"), {"endings": ["c", "d"]}, r"has no column 'ends' .* Did you mean 'endings'"),
        (("endings", "in.txt"), {"in": {"text": ["c", "d"]}}, r"row 0 has no list of texts in 'in.txt' \(None\)"),
        (
            ("endings}", "in.text, names: in.name}"),
            {"in": {"text": ["c", "d"], "name": ["0", "0"]}},
            r"row 0 names its choices 0, 0 in 'in.name', expected 0, 1",
        ),
    ],
)
def test_choices_of_another_form_are_named(change, columns, message, tmp_path, folder):
    put(folder, [{"a": "p", "b": "q", "label": "1", **columns}])
    with pytest.raises(DataError, match=message):
        data_loading.load(make(tmp_path, CHOICE, change), "en", "train", folder)


def test_questions_without_an_answer_are_read(folder):
    rows = [
        {"id": "a", "question": "q", "context": "cde", "answers": {"text": ["d"], "answer_start": [1]}},
        {"id": "b", "question": "r", "context": "cde", "answers": {"text": [], "answer_start": []}},
    ]
    write_dataset(folder / "rajpurkar/squad_v2", {"squad_v2": {"train": rows}})
    found = data_loading.load(registry.load_training("squad_v2"), "en", "train", folder)
    assert list(found.examples) == [Question("a", "q", "cde", ("d",), (1,)), Question("b", "r", "cde", (), ())]
    assert found.counts == {"realigned": 0, "unaligned": 0}


def test_a_joined_set_is_read_in_the_order_of_its_members(folder):
    rows = [{"premise": f"p{i}", "hypothesis": "h", "label": "neutral"} for i in range(3)]
    without = {"premise": "x", "hypothesis": "h", "label": "-1"}
    anli = {f"{split}_r{n}": [{"uid": f"u{n}", **rows[0]}] for n in (1, 2, 3) for split in ("train", "dev")}
    write_dataset(folder / "facebook/anli", {"plain_text": anli})
    write_dataset(folder / "stanfordnlp/snli", {"plain_text": {"train": [rows[1], without], "validation": rows}})
    write_dataset(folder / "nyu-mll/glue", {"mnli": {"train": rows, "validation_matched": rows}})
    joined = registry.load_training("anli")
    found = data_loading.load(joined, "en", "train", folder)
    assert [getattr(e, "text_a", "") for e in found.examples] == ["p0", "p0", "p0", "p1", "p0", "p1", "p2"]
    assert found.examples[3:5] == [Pair("0", "p1", "h", "neutral"), Pair("0", "p0", "h", "neutral")]
    assert found.counts == {"unlabelled": 1}
    assert found.source == "facebook/anli + stanfordnlp/snli + nyu-mll/glue"
    assert len(data_loading.load(joined, "en", "dev", folder).examples) == 9
    assert data_loading.available(joined, "en", "train", folder) is None
    (folder / "stanfordnlp/snli/README.md").unlink()
    for path in (folder / "stanfordnlp/snli").rglob("*.parquet"):
        path.unlink()
    assert str(data_loading.available(joined, "en", "train", folder)).startswith("snli: 'en' is not in")


# --- CCGbank, with lines of our own in its formats -------------------------------------------------------------------

TREE = (
    "ID=wsj_0001.1 PARSER=GOLD NUMPARSE=1\n"
    "(<T S[dcl] 0 2> (<L NP NNP NNP Lamps NP>) (<L S[dcl]\\NP VBP VBP glow S[dcl]\\NP_1>) )\n"
)
TAGGED = Tagged("0", ("Lamps", "glow"), ("NP", "S[dcl]\\NP"))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_ccgbank_is_read_where_the_user_laid_it(folder):
    ccg = registry.load_training("ccg")
    root = folder / "raw/ccgbank/LDC2005T13/data/AUTO"
    for section in ("00", "01", "02", "21", "22", "23"):
        write(root / section / f"wsj_{section}01.auto", TREE.replace("Lamps", f"L{section}"))
    train = data_loading.load(ccg, "en", "train", folder)
    assert [getattr(e, "tokens", ())[0] for e in train.examples] == ["L02", "L21"]
    assert train.status == "unknown"
    dev = data_loading.load(ccg, "en", "dev", folder)
    assert [getattr(e, "tokens", ())[0] for e in dev.examples] == ["L00"]
    assert data_loading.collect_labels(train.examples) == ["NP", "S[dcl]\\NP"]
    assert data_loading.count_unknown_tags(dev.examples, ["NP"]) == 1
    assert data_loading.available(ccg, "en", "train", folder) is None


@pytest.mark.parametrize("name", ["train.tsv", "ccg.train.tsv", "mine/train.txt"])
@pytest.mark.parametrize("text", ["Lamps glow\tNP S[dcl]\\NP\n", "Lamps\tNP\nglow\tS[dcl]\\NP\n\n"])
def test_tables_of_words_and_supertags_are_read(name, text, folder):
    write(folder / "raw/ccgbank" / name, text)
    assert list(data_loading.load(registry.load_training("ccg"), "en", "train", folder).examples) == [TAGGED]


@pytest.mark.parametrize("there", [True, False])
def test_without_ccgbank_one_sentence_says_where_it_is_from_and_where_it_goes(there, folder):
    ccg = registry.load_training("ccg")
    place = folder if there else None
    with pytest.raises(DataError) as caught:
        data_loading.load(ccg, "en", "train", place)
    assert str(caught.value) == f"ccg: {ccg.by_hand}"
    assert data_loading.available(ccg, "en", "train", place) == str(caught.value)
    for word in ("LDC", "LDC2005T13", "raw/ccgbank", "leave the task out"):
        assert word in str(caught.value)


def test_a_data_folder_that_is_not_there_is_said_before_anything_else(tmp_path):
    with pytest.raises(DataError, match="There is no data folder"):
        data_loading.load(registry.load_training("ccg"), "en", "train", tmp_path / "none")


# --- Files of the user's own -----------------------------------------------------------------------------------------


def test_a_file_of_ones_own_is_read_in_place_of_a_source(tmp_path):
    mnli = registry.load_training("mnli")
    for name, text in {
        "de.jsonl": '{"premise": "a", "hypothesis": "b", "label": "contradictory"}\n',
        "de.tsv": "premise\thypothesis\tlabel\na\tb\tcontradiction\n",
        "de.csv": "text_a,text_b,label\na,b,contradiction\n",
    }.items():
        write(tmp_path / name, text)
        found = user_files.load_file(mnli, tmp_path / name, "de", "train")
        assert list(found.examples) == [Pair("0", "a", "b", "contradiction")]
        assert (found.source, found.status, found.revision) == (name, "unknown", None)
    for name, message in [("none.jsonl", "there is no file"), ("de.txt", r"not a \.jsonl, \.json"), ("x.csv", "x.csv")]:
        write(tmp_path / "de.txt", "x")
        write(tmp_path / "x.csv", "premise,label\na,neutral\n")
        with pytest.raises(DataError, match=message):
            user_files.load_file(mnli, tmp_path / name, "de", "train")


def test_original_formats_of_ones_own_are_read(tmp_path):
    squad = '{"data": [{"paragraphs": [{"context": "cde", "qas": [{"id": "a", "question": "q", "answers": []}]}]}]}'
    write(tmp_path / "sw.json", squad)
    questions = user_files.load_file(registry.load_training("squad_v2"), tmp_path / "sw.json", "sw", "train")
    assert list(questions.examples) == [Question("a", "q", "cde", (), ())]
    rows = '[{"id": "a", "question": "q", "context": "cde", "answers": {"text": ["d"], "answer_start": [0]}}]'
    write(tmp_path / "rows.json", rows)
    moved = user_files.load_file(registry.load_training("squad_v1"), tmp_path / "rows.json", "sw", "train")
    assert list(moved.examples) == [Question("a", "q", "cde", ("d",), (1,))]
    assert moved.counts == {"realigned": 1, "unaligned": 0}
    write(tmp_path / "bank/AUTO/02/wsj_0201.auto", TREE)
    ccg = registry.load_training("ccg")
    assert list(user_files.load_file(ccg, tmp_path / "bank", "en", "train").examples) == [TAGGED]
    with pytest.raises(DataError, match=r"there is no file .* for dev"):
        user_files.load_file(ccg, tmp_path / "bank", "en", "dev")
    write(tmp_path / "sw.conllu", "1\tTaa\ttaa\tNOUN\t_\t_\t0\troot\t_\t_\n\n")
    words = user_files.load_file(registry.load_training("ud_en"), tmp_path / "sw.conllu", "sw", "train")
    assert list(words.examples) == [Tagged("0", ("Taa",), ("NOUN",))]


# --- Real rows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NINE)
def test_the_mirror_is_read(name, mirror):
    training = registry.load_training(name)
    for split in ("train", "dev"):
        reason = data_loading.available(training, "en", split, mirror)
        if reason is not None:
            assert name == "ccg", reason
            pytest.skip(reason)
        found = data_loading.load(training, "en", split, mirror)
        assert len(found.examples) >= 200
        for example in found.examples[:50]:
            label = getattr(example, "label", None)
            assert label is None or label in training.labels
            if isinstance(example, Choice):
                assert len(example.choices) == len(training.labels)
        if name == "squad_v2":
            empty = [e for e in found.examples[:300] if isinstance(e, Question) and not e.answers]
            assert 0 < len(empty) < 300
        if name == "anli":
            assert found.counts["unlabelled"] > 0
