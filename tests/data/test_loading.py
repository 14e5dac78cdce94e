"""From specs and files to canonical examples: by name, from the source that is there, and never guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.data_folder import DEV_ROWS, fixture_rows, fixture_tasks, write_dataset
from xharness.data import hub_layout as layouts
from xharness.data import loading as data
from xharness.data import sources
from xharness.data.convert import nearest
from xharness.data.examples import Bitext, Pair, Question, Tagged, data_hash
from xharness.errors import DataError, OutputError
from xharness.tasks.task_spec import TaskSpec, load_task, read_task

HEAD = """
name: {name}
title: Toy
paper: https://example.org
licence: CC-BY-4.0
kind: {kind}
sources:
  - {{repo: org/first, revision: main, config: "{{lang}}"}}
  - {{repo: org/second, revision: main, config: "toy.{{lang}}"}}
test_split: test
dev_split: null
expected: {{test: 3, dev: null}}
mean_characters: 10
train: null
languages: {{en: {{zero_shot: false}}, de: , hi: }}
"""
KINDS = {
    "classification": """
fields: {text_a: premise, text_b: hypothesis, label: label}
labels: [yes, no]
label_map: {nope: "no"}
metric: accuracy
input: {max_length: 16}
""".replace("[yes, no]", '["yes", "no"]'),
    "tagging": """
fields: {tokens: tokens, tags: tags}
labels: [O, B-LOC]
metric: entity_f1
input: {max_length: 16}
""",
    "span_qa": """
fields: {id: id, question: question, context: context, answers: answers}
metric: squad
input: {max_length: 64}
""",
}
PAIRS = [
    {"premise": "a", "hypothesis": "b", "label": "yes"},
    {"premise": "c", "hypothesis": "d", "label": "no"},
    {"premise": "e", "hypothesis": "f", "label": "yes"},
]
CANONICAL = [Pair("0", "a", "b", "yes"), Pair("1", "c", "d", "no"), Pair("2", "e", "f", "yes")]

Row = dict[str, Any]


@pytest.fixture
def toy(tmp_path: Path) -> Any:
    """Return what writes a spec of a kind, with replacements in its text."""

    def make(kind: str, *changes: tuple[str, str]) -> TaskSpec:
        text = HEAD.format(name="toy", kind=kind) + KINDS[kind]
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "toy.yaml"
        path.write_text(text, encoding="utf-8")
        return read_task(path)

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "datasets").mkdir()
    return tmp_path / "datasets"


def put(folder: Path, rows: list[Row], repo: str = "org/first", config: str = "en", types: Any = None) -> None:
    write_dataset(folder / repo, {config: {"test": rows}}, types)


def class_labels(*names: str, column: str = "label") -> Any:
    import datasets

    texts = {name: datasets.Value("string") for name in ("premise", "hypothesis")}
    return datasets.Features({**texts, column: datasets.ClassLabel(names=list(names))})


# --- The shipped specs read the Hub's layout ------------------------------------------------------------------------


@pytest.mark.parametrize("task", fixture_tasks())
def test_the_shipped_specs_read_the_hub_layout(task, data_folder):
    spec = load_task(task)
    for language in fixture_tasks()[task]:
        loaded = data.load(spec, language, "test", data_folder)
        rows = fixture_rows(task, language)
        for example, row in zip(loaded.examples, rows, strict=True):
            match example:
                case Pair():
                    assert (example.text_a, example.text_b, example.label) == tuple(row.values())
                case Tagged():
                    assert (example.tokens, example.tags) == (tuple(row["tokens"]), tuple(row["tags"]))
                case Question():
                    places = [(a["text"], a["start"]) for a in row["answers"]]
                    assert list(zip(example.answers, example.starts, strict=True)) == places
                case Bitext():
                    assert (example.text, example.english) == (row["text"], row["english"])
        assert loaded.status == "sample"
        assert loaded.revision is None
        assert not any(loaded.counts.values())
        assert data.available(spec, language, "test", data_folder) is None
        if spec.split_name("dev"):
            dev = data.load(spec, language, "dev", data_folder)
            assert list(dev.examples) == loaded.examples[:DEV_ROWS]


def test_examples_are_a_sequence(data_folder):
    examples = data.load(load_task("xnli"), "en", "test", data_folder).examples
    whole = list(examples)
    assert [examples[i] for i in range(len(examples))] == whole
    assert examples[-1] == whole[-1]
    assert examples[1:4] == whole[1:4]
    assert examples[::2] == whole[::2]
    with pytest.raises(IndexError):
        examples[len(whole)]


# --- Labels and columns go by name ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "types"),
    [
        (["yes", "no", "yes"], None),
        ([0, 1, 0], ("yes", "no")),
        ([1, 0, 1], ("no", "yes")),
        ([0, 1, 0], ("yes", "nope")),
        ([2, 1, 2], ("other", "nope", "yes")),
    ],
)
def test_labels_go_by_name(labels, types, toy, folder):
    rows = [{**row, "label": label} for row, label in zip(PAIRS, labels, strict=True)]
    put(folder, rows, types=class_labels(*types) if types else None)
    loaded = data.load(toy("classification"), "en", "test", folder)
    assert list(loaded.examples) == CANONICAL
    # Same content, same hash: neither the file's format nor its numbering of labels enters.
    assert loaded.hash == data_hash(CANONICAL)


@pytest.mark.parametrize(
    ("labels", "types"),
    [(["yes", "maybe", "no"], None), ([0, 2, 1], ("yes", "no", "maybe")), ([0, -1, 1], ("yes", "no"))],
)
def test_an_unknown_label_is_an_error(labels, types, toy, folder):
    rows = [{**row, "label": label} for row, label in zip(PAIRS, labels, strict=True)]
    put(folder, rows, types=class_labels(*types) if types else None)
    name = "-1" if -1 in labels else "maybe"
    with pytest.raises(DataError, match=rf"row 1 has the label '{name}', which is not one of yes, no.*label_map"):
        data.load(toy("classification"), "en", "test", folder)


def test_a_renamed_column_is_named_with_the_nearest(toy, folder):
    put(folder, [{"premises": "a", "hypothesis": "b", "gold": "yes"}])
    with pytest.raises(DataError) as caught:
        data.load(toy("classification"), "en", "test", folder)
    first, second = str(caught.value).splitlines()
    assert "has no column 'premise' (the spec's fields.text_a). Did you mean 'premises'?" in first
    assert "has no column 'label'" in second
    assert "Columns there: premises, hypothesis, gold." in second


def test_words_and_tags_of_different_number(toy, folder):
    put(folder, [{"tokens": ["a"], "tags": ["O"]}, {"tokens": ["a", "b"], "tags": ["O"]}])
    with pytest.raises(DataError, match="row 1 has 2 words and 1 tags"):
        data.load(toy("tagging"), "en", "test", folder)


def test_sentences_without_words_are_left_out_and_counted(toy, folder):
    put(folder, [{"tokens": ["a"], "tags": ["O"]}, {"tokens": [], "tags": []}, {"tokens": ["b"], "tags": ["B-LOC"]}])
    loaded = data.load(toy("tagging"), "en", "test", folder)
    assert [e.tokens for e in loaded.examples] == [("a",), ("b",)]
    assert loaded.counts == {"empty": 1}


# --- Answers --------------------------------------------------------------------------------------------------------


def asked(context: str, text: str, start: int, name: str = "q") -> Row:
    return {
        "id": name,
        "question": "?",
        "context": context,
        "answers": {"text": [text], "answer_start": [start]},
    }


@pytest.mark.parametrize(
    ("start", "expected", "count"),
    [
        (3, 3, {"realigned": 0, "unaligned": 0}),
        (4, 3, {"realigned": 1, "unaligned": 0}),  # one to the left is nearer than eight to the right
        (9, 12, {"realigned": 1, "unaligned": 0}),
        (999, 12, {"realigned": 1, "unaligned": 0}),
    ],
)
def test_answers_are_realigned_to_the_nearest_place(start, expected, count, toy, folder):
    put(folder, [asked("in 1862 and 1862", "1862", start)])
    loaded = data.load(toy("span_qa"), "en", "test", folder)
    assert loaded.examples[0].starts == (expected,)
    assert loaded.counts == count


def test_an_answer_that_is_nowhere_is_counted_and_kept_as_gold(toy, folder):
    put(folder, [asked("in 1862", "1863", 3)])
    loaded = data.load(toy("span_qa"), "en", "test", folder)
    assert loaded.examples[0].answers == ("1863",)
    assert loaded.counts == {"realigned": 0, "unaligned": 1}


@pytest.mark.parametrize(
    ("context", "text", "start", "expected"), [("aXa", "a", 1, 0), ("aaa", "aa", 1, 1), ("b", "", 0, -1)]
)
def test_nearest(context, text, start, expected):
    assert nearest(context, text, start) == expected


@pytest.mark.parametrize("names", [("a", "b", "a"), (1, 2, 1)])
def test_doubled_ids_are_refused(names, toy, folder):
    put(folder, [asked("in 1862", "1862", 3, name) for name in names])
    with pytest.raises(DataError, match=f"holds the id '{names[0]}' twice"):
        data.load(toy("span_qa"), "en", "test", folder)


# --- Rows of one language in a mixed table --------------------------------------------------------------------------


def test_tydiqa_rows_go_by_the_prefix_of_their_id(data_folder):
    spec = load_task("tydiqa")
    ids = {code: [e.id for e in data.load(spec, code, "test", data_folder).examples] for code in ("en", "sw", "ru")}
    assert all(name.startswith("swahili-") for name in ids["sw"])
    assert len({name for names in ids.values() for name in names}) == 15
    # Telugu is in the table's description, but has no row here.
    with pytest.raises(DataError, match="no example for 'te'"):
        data.load(spec, "te", "test", data_folder)


@pytest.mark.parametrize("keep", ['{column: lang, equals: "{lang}"}', '{column: lang, prefix: "{lang}"}'])
def test_rows_are_kept_by_column(keep, toy, folder):
    spec = toy("classification", ('config: "{lang}"}', 'config: "{lang}", keep: ' + keep + "}"))
    put(folder, [{**row, "lang": lang} for row, lang in zip(PAIRS, ["en", "de", "en"], strict=True)])
    assert [e.text_a for e in data.load(spec, "en", "test", folder).examples] == ["a", "e"]
    put(folder, PAIRS, config="de")
    with pytest.raises(DataError, match=r"has no column 'lang' \(the spec's keep\.column\)"):
        data.load(spec, "de", "test", folder)


def test_an_empty_language_is_an_error(toy, folder):
    spec = toy("classification", ('config: "{lang}"}', 'config: "{lang}", keep: {column: premise, equals: "zz"}}'))
    put(folder, PAIRS)
    with pytest.raises(DataError, match="holds no example for 'en'"):
        data.load(spec, "en", "test", folder)


# --- Bitext ---------------------------------------------------------------------------------------------------------


def test_newlines_around_sentences_are_no_part_of_them(folder):
    spec = load_task("tatoeba")
    rows = [{"sentence1": "Ja.\n", "sentence2": " Yes.\n"}, {"sentence1": "Nein.", "sentence2": "No."}]
    put(folder, rows, "mteb/tatoeba-bitext-mining", "deu-eng")
    loaded = data.load(spec, "de", "test", folder)
    assert list(loaded.examples) == [Bitext("0", "Ja.", "Yes."), Bitext("1", "Nein.", "No.")]


# --- Which source ---------------------------------------------------------------------------------------------------


def test_the_first_source_that_is_there_is_used(toy, folder):
    spec = toy("classification")
    other = [{**row, "premise": "second"} for row in PAIRS]
    put(folder, other, "org/second", "toy.en")
    assert data.load(spec, "en", "test", folder).source == "org/second"
    put(folder, PAIRS)
    loaded = data.load(spec, "en", "test", folder)
    assert (loaded.source, loaded.examples[0].text_a) == ("org/first", "a")


def test_a_damaged_source_is_an_error_and_not_passed_over(toy, folder):
    spec = toy("classification")
    put(folder, PAIRS, "org/second", "toy.en")
    put(folder, PAIRS)
    next((folder / "org/first/en").glob("*.parquet")).write_bytes(b"PAR1 this is no parquet")
    with pytest.raises(DataError, match=r"org/first \(en, test\) cannot be read"):
        data.load(spec, "en", "test", folder)


def test_online_only_the_first_source_counts(toy, monkeypatch):
    asked_for = []

    def resolve(repo: str, *rest: Any) -> str:
        asked_for.append(repo)
        raise DataError("the Hub cannot be reached")

    monkeypatch.setattr(sources.hub, "resolve", resolve)
    with pytest.raises(DataError, match="cannot be reached"):
        data.load(toy("classification"), "en", "test", None)
    assert asked_for == ["org/first"]


def squad_file(path: Path, rows: list[Row]) -> None:
    qas = [
        {
            "context": row["context"],
            "qas": [
                {
                    "id": row["id"],
                    "question": row["question"],
                    "answers": [{"text": a["text"], "answer_start": a["start"]} for a in row["answers"]],
                }
            ],
        }
        for row in rows
    ]
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"data": [{"paragraphs": qas}]}), encoding="utf-8")


@pytest.mark.parametrize("beside", [True, False])
def test_a_raw_file_has_the_same_hash_as_the_hubs_copy(beside, folder, data_folder):
    spec = load_task("xquad")
    rows = fixture_rows("xquad", "hi")
    squad_file((folder.parent if beside else folder) / "raw/deepmind/xquad/xquad.hi.json", rows)
    raw = data.load(spec, "hi", "test", folder)
    assert raw.source == "raw/deepmind/xquad/xquad.<lang>.json"
    hub_copy = data.load(spec, "hi", "test", data_folder)
    assert hub_copy.source == "google/xquad"
    assert raw.hash == hub_copy.hash


def test_raw_tatoeba_has_the_same_hash(folder, data_folder):
    rows = fixture_rows("tatoeba", "ru")
    stem = folder / "raw/LASER/tatoeba/v1/tatoeba.rus-eng"
    stem.parent.mkdir(parents=True)
    stem.with_name("tatoeba.rus-eng.rus").write_text("\n".join(r["text"] for r in rows) + "\n", encoding="utf-8")
    stem.with_name("tatoeba.rus-eng.eng").write_text("\n".join(r["english"] for r in rows), encoding="utf-8")
    spec = load_task("tatoeba")
    assert data.load(spec, "ru", "test", folder).hash == data.load(spec, "ru", "test", data_folder).hash


def test_the_hash_follows_content_and_order():
    variants = [
        CANONICAL,
        CANONICAL[:2],
        CANONICAL[::-1],
        [Pair("0", "a", "b", "no"), *CANONICAL[1:]],
        [Pair("0", "a ", "b", "yes"), *CANONICAL[1:]],
        [Bitext("0", "a", "b")],
        [Tagged("0", ("a b",), ("O",))],
        [Tagged("0", ("a", "b"), ("O", "O"))],
    ]
    assert len({data_hash(examples) for examples in variants}) == len(variants)


def test_new_files_in_a_folder_are_seen(toy, folder):
    spec = toy("classification")
    put(folder, PAIRS)
    before = data.load(spec, "en", "test", folder)
    put(folder, PAIRS[:2])
    after = data.load(spec, "en", "test", folder)
    assert (len(before.examples), len(after.examples)) == (3, 2)
    assert before.hash != after.hash


# --- What a README says, and files without one -----------------------------------------------------------------------


def head_of(folder: Path, pattern: str, extra: str = "") -> None:
    (folder / "org/first/README.md").write_text(
        f"---\nconfigs:\n- config_name: en\n  data_files:\n  - split: test\n    path: '{pattern}'\n{extra}---\n"
    )


@pytest.mark.parametrize("pattern", ["en/**", "**/test-*", "./en/*", "**"])
def test_new_files_are_seen_below_any_pattern(pattern, toy, folder):
    spec = toy("classification")
    for rows in (PAIRS, PAIRS[:2]):
        put(folder, rows)
        head_of(folder, pattern)
        (folder / "org/first/en/notes.txt").write_text("no data")
        assert len(data.load(spec, "en", "test", folder).examples) == len(rows)


@pytest.mark.parametrize("pattern", ["", "**x", ".", "/etc/*", "../*", "../**", "[z-a]", "en"])
def test_a_pattern_that_finds_nothing_is_missing_data(pattern, toy, folder):
    put(folder, PAIRS)
    head_of(folder, pattern)
    assert layouts.find_files(folder / "org/first", "en", "test") == []
    with pytest.raises(DataError, match="'en' is not in"):
        data.load(toy("classification"), "en", "test", folder)


def test_other_configs_of_a_readme_need_not_be_there(toy, folder):
    put(folder, PAIRS)
    head_of(folder, "en/test-*", "- config_name: de\n  data_files:\n  - split: test\n    path: de/test-*\n")
    assert list(data.load(toy("classification"), "en", "test", folder).examples) == CANONICAL


@pytest.mark.parametrize("ending", ["json", "jsonl", "jsonl.gz", "csv", "tsv", "parquet"])
def test_files_without_a_readme_are_read_by_their_ending(ending, toy, folder):
    import datasets

    folder = folder / "with [a] sign*"
    put(folder, PAIRS)
    (folder / "org/first/README.md").unlink()
    if ending != "parquet":
        next((folder / "org/first/en").iterdir()).unlink()
        path, table = folder / f"org/first/en/test.{ending}", datasets.Dataset.from_list(PAIRS)
        if ending.startswith("json"):
            table.to_json(path, compression="gzip" if ending.endswith("gz") else None)
        else:
            table.to_csv(path, sep="\t" if ending == "tsv" else ",", index=False)
    assert list(data.load(toy("classification"), "en", "test", folder).examples) == CANONICAL


def test_files_in_data_stand_for_no_language(toy, folder):
    put(folder, PAIRS, config="data")
    (folder / "org/first/README.md").unlink()
    assert "'de' is not in" in str(data.available(toy("classification"), "de", "test", folder))


def test_settings_and_label_names_of_a_readme_are_used(toy, folder):
    (folder / "org/first/en").mkdir(parents=True)
    lines = ["premise;hypothesis;label", "a;b;1", "c;d;0", "e;f;1"]
    (folder / "org/first/en/test.csv").write_text("\n".join(lines), encoding="utf-8")
    texts = "".join(f"  - name: {name}\n    dtype: string\n" for name in ("premise", "hypothesis"))
    names = "  - name: label\n    dtype:\n      class_label:\n        names: {'0': 'no', '1': 'yes'}\n"
    head_of(
        folder, "en/*.csv", f"  sep: ;\n  unknown: 3\ndataset_info:\n- config_name: en\n  features:\n{texts}{names}"
    )
    assert list(data.load(toy("classification"), "en", "test", folder).examples) == CANONICAL


def test_a_broken_head_of_a_readme_is_named(toy, folder):
    put(folder, PAIRS)
    (folder / "org/first/README.md").write_text("---\nconfigs: [\n- a: b: c\n---\n")
    with pytest.raises(DataError, match=r"org/first/README\.md: the head .* is not valid YAML: .*\(line 3\)"):
        data.load(toy("classification"), "en", "test", folder)


# --- Values that are no data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("classification", {"label": None}, "row 1 has no label in 'label'"),
        ("classification", {"premise": None}, "row 1 has no text in 'premise'"),
        ("tagging", {"tokens": [None]}, "row 1 has a word in 'tokens' that is no text"),
        ("tagging", {"tokens": None}, "row 1 has no list in 'tokens'"),
        ("tagging", {"tags": [None]}, "row 1 has no label in 'tags'"),
        ("tagging", {"tags": None}, "row 1 has no list in 'tags'"),
        ("span_qa", {"context": None}, "row 1 has no text in 'context'"),
        ("span_qa", {"answers": None}, "row 1 has no lists 'text' and 'answer_start' in 'answers'"),
        ("span_qa", {"answers": {"text": None, "answer_start": [3]}}, "row 1 has no lists"),
        ("span_qa", {"answers": {"text": [None], "answer_start": [3]}}, "row 1 has an answer in 'answers.text'"),
        (
            "span_qa",
            {"answers": {"text": ["1"], "answer_start": [None]}},
            "row 1 has a place in 'answers.answer_start'",
        ),
        ("span_qa", {"answers": {"text": ["1"], "answer_start": [3, 4]}}, "row 1 has 1 texts and 2 starts"),
    ],
)
def test_values_that_are_no_data_are_named(kind, change, message, toy, folder):
    good = {
        "classification": PAIRS[0],
        "tagging": {"tokens": ["a"], "tags": ["O"]},
        "span_qa": asked("in 1862", "1862", 3, "p"),
    }[kind]
    put(folder, [good, {**good, **({"id": "q"} if kind == "span_qa" else {}), **change}])
    with pytest.raises(DataError, match=rf"org/first \(en, test\): {message}"):
        data.load(toy(kind), "en", "test", folder)


@pytest.mark.parametrize("answers", ["1862", [{"text": "1862", "answer_start": 3}]])
def test_answers_of_another_form_are_named(answers, toy, folder):
    put(folder, [{**asked("in 1862", "1862", 3), "answers": answers}])
    with pytest.raises(DataError, match="row 0 has no lists 'text' and 'answer_start' in 'answers'"):
        data.load(toy("span_qa"), "en", "test", folder)


# --- Why data cannot be read ----------------------------------------------------------------------------------------


def test_columns_that_differ_between_files_are_named(toy, folder):
    import datasets

    put(folder, PAIRS)
    datasets.Dataset.from_list([{"premise": "a", "gold": "b"}]).to_parquet(folder / "org/first/en/test-1.parquet")
    with pytest.raises(DataError, match="differ in 'gold', 'hypothesis', 'label'") as caught:
        data.load(toy("classification"), "en", "test", folder)
    assert "org/first/en/test-1.parquet" in str(caught.value)
    assert "without network" not in str(caught.value)


@pytest.mark.parametrize(
    ("inner", "hidden"),
    [(OSError(28, "No space"), True), (OSError(30, "Read-only"), True), (OSError("Not enough disk space."), False)],
)
def test_a_full_disk_is_seen_behind_other_errors(inner, hidden, toy, folder, monkeypatch):
    import datasets

    def load_dataset(*args: Any, **options: Any) -> None:
        if hidden:
            raise datasets.exceptions.DatasetGenerationError("An error occurred") from inner
        raise inner

    put(folder, PAIRS)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(OutputError, match="HF_HOME"):
        data.load(toy("classification"), "en", "test", folder)


# --- What is missing ------------------------------------------------------------------------------------------------


def test_missing_data_says_which_file_and_how_to_fetch_it(toy, folder):
    spec = toy("classification")
    put(folder, PAIRS)
    reason = data.available(spec, "de", "test", folder)
    assert reason == (
        f"toy: 'de' is not in {folder}: looked for org/first/de (test), org/second/toy.de (test). "
        f"Fetch it: xharness fetch --targets toy --languages de --to {folder}"
    )
    with pytest.raises(DataError) as caught:
        data.load(spec, "de", "test", folder)
    assert str(caught.value) == reason


def test_a_folder_that_is_not_there(toy, tmp_path):
    with pytest.raises(DataError, match=r"There is no data folder '.*nowhere'"):
        data.load(toy("classification"), "en", "test", tmp_path / "nowhere")


def test_a_split_that_the_task_does_not_have(toy, folder):
    with pytest.raises(DataError, match=r"toy has no dev split\."):
        data.load(toy("classification"), "en", "dev", folder)


def test_what_has_to_be_fetched_says_how(data_folder):
    spec = load_task("udpos")
    reason = data.available(spec, "en", "test", data_folder)
    assert reason is not None
    assert "looked for raw/ud-treebanks-v2.5/*/en_*-ud-test.conllu" in reason
    assert "xharness fetch --targets udpos --languages en" in reason
    with pytest.raises(DataError, match=r"not on the Hub as it has to be\. Fetch it: xharness fetch --targets udpos"):
        data.load(spec, "en", "test", None)


# --- Completeness ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ("complete", "complete"),
        ("Complete (counted)", "complete"),
        ("sample: the first 100 rows", "sample"),
        ("STAND-IN: other rows", "stand-in"),
        ("unknown", "unknown"),
        ("who knows", "sample"),  # what is not said to be complete is not
    ],
)
@pytest.mark.parametrize("beside", [True, False])
def test_the_status_is_that_of_the_manifest(written, status, beside, toy, folder):
    put(folder, PAIRS)
    path = (folder.parent if beside else folder) / "MANIFEST.tsv"
    path.write_text(f"hub_id\tconfig\tsplit\trows\tstatus\norg/first\ten\ttest\t3\t{written}\n", encoding="utf-8")
    assert data.load(toy("classification"), "en", "test", folder).status == status


def test_without_a_line_in_the_manifest_nothing_is_known(toy, folder):
    put(folder, PAIRS)
    (folder / "MANIFEST.tsv").write_text("hub_id\tconfig\tsplit\tstatus\norg/other\ten\ttest\tcomplete\n")
    loaded = data.load(toy("classification"), "en", "test", folder)
    assert (loaded.status, loaded.expected_n) == ("unknown", 3)


def test_a_manifest_that_was_written_anew_is_read_anew(toy, folder):
    put(folder, PAIRS)
    for status in ("sample", "complete"):
        (folder / "MANIFEST.tsv").write_text(f"hub_id\tconfig\tsplit\tstatus\norg/first\ten\ttest\t{status}\n")
        assert data.load(toy("classification"), "en", "test", folder).status == status


def test_a_manifest_with_missing_columns_is_named(toy, folder):
    put(folder, PAIRS)
    (folder / "MANIFEST.tsv").write_text("hub_id\tconfig\norg/first\ten\n")
    with pytest.raises(DataError, match=r"MANIFEST\.tsv: every line needs hub_id, config, split and status"):
        data.load(toy("classification"), "en", "test", folder)


@pytest.mark.parametrize("task", ["xnli", "pawsx", "panx", "xquad", "mlqa", "tatoeba", "udpos-hub"])
def test_the_mirror_is_read(task, mirror):
    spec = load_task(task)
    there = [code for code in spec.languages if data.available(spec, code, "test", mirror) is None]
    for language in there[:2]:
        loaded = data.load(spec, language, "test", mirror)
        assert loaded.status != "unknown"
        if loaded.status == "complete" and loaded.expected_n is not None:
            assert len(loaded.examples) == loaded.expected_n
        assert loaded.counts.get("unaligned", 0) == 0
    assert there or task == "mlqa"  # the mirror has only dev rows of MLQA


def test_files_that_changed_since_they_were_written_down_are_not_called_complete(folder):
    path = folder / "raw/ud-treebanks-v2.5/UD_Toy-X/de_x-ud-test.conllu"
    path.parent.mkdir(parents=True)
    sentence = "1\tJa\t_\tINTJ\t_\t_\t0\troot\t_\t_\n\n"
    path.write_text(sentence * 3, encoding="utf-8")
    head = "hub_id\tconfig\tsplit\trows\tstatus\tsource\tlicence\n"
    (folder / "MANIFEST.tsv").write_text(f"{head}raw/ud-treebanks-v2.5\tde\ttest\t3\tcomplete\there\tnone\n")
    assert data.load(load_task("udpos"), "de", "test", folder).status == "complete"
    path.write_text(sentence * 2, encoding="utf-8")
    assert data.load(load_task("udpos"), "de", "test", folder).status == "unknown"


LATIN = b'{"premise": "p\xe9", "question": "cause", "choice1": "a", "choice2": "b", "label": 0, "idx": 1}\n'


@pytest.mark.parametrize(("content", "words"), [(b"", "cannot be read"), (LATIN, "is not UTF-8")])
def test_an_empty_or_wrongly_encoded_file_is_named(content, words, folder):
    path = folder / "cambridgeltl/xcopa/it/test.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        data.load(load_task("xcopa"), "it", "test", folder)


def test_a_choice_whose_column_is_missing(folder):
    path = folder / "cambridgeltl/xcopa/it/test.jsonl"
    path.parent.mkdir(parents=True)
    row = {"premise": "p", "question": "cause", "choice1": "a", "chioce2": "b", "label": 0, "idx": 1}
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=r"has no column 'choice2' \(the spec's fields\.choice2\)"):
        data.load(load_task("xcopa"), "it", "test", folder)
