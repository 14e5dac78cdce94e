"""The YAML files under ``tasks/``: all load, the official lists hold, and mistakes are said in full."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.paths import HARNESS
from xharness import assets, strict_yaml
from xharness.errors import SpecError, UsageError
from xharness.tasks import benchmarks as benchmark
from xharness.tasks import dataset_spec as data_spec
from xharness.tasks import inputs
from xharness.tasks import languages as language
from xharness.tasks import pin as pinning
from xharness.tasks import recipes as recipe
from xharness.tasks import task_spec as spec
from xharness.tasks.benchmarks import benchmarks
from xharness.tasks.languages import languages

TARGETS = sorted(path.stem for path in (assets.TASKS / "targets").glob("*.yaml"))
TRAINING = sorted(
    path.stem
    for folder in ("intermediate", "english", "parts")
    for path in (assets.TASKS / folder).glob("*.yaml")
    if path.stem != "multitask"
)

# The languages of every task, copied from evaluate.py of google-research/xtreme at commit 838c13b, apart from
# the YAML. There, LAReQA's list is empty; the one here is that of its data (XQuAD-R).
PANX = (
    "ar he vi id jv ms tl eu ml ta te af nl en de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw yo my "
    "zh kk tr et fi hu"
)
UDPOS = "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh"
TATOEBA = "ar he vi id jv tl eu ml ta te af nl de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw zh kk tr et fi hu"
SHARED = {
    "xnli": "ar bg de el en es fr hi ru sw th tr ur vi zh",
    "mlqa": "en es de ar hi vi zh",
    "tydiqa": "en ar bn fi id ko ru sw te",
}
XQUAD = "en es de el ru tr ar vi th zh hi"
OFFICIAL = {
    "xtreme": {
        **SHARED,
        "pawsx": "de en es fr ja ko zh",
        "udpos": UDPOS,
        "panx": PANX,
        "xquad": XQUAD,
        "bucc2018": "de fr ru zh",
        "tatoeba": TATOEBA,
    },
    "xtreme-r": {
        **SHARED,
        "udpos": UDPOS + " lt pl uk wo ro",
        "panx": PANX + " qu pl uk az lt pa gu ro",
        "xquad": XQUAD + " ro",
        "tatoeba": TATOEBA + " az lt pl uk ro",
        "xcopa": "et ht id it qu sw ta th tr vi zh",
        "mewslix": "ar de en es fa ja pl ro ta tr uk",
        "lareqa": "ar de el en es hi ru th tr vi zh",
    },
}


# Every file loads, and the files agree with one another


@pytest.mark.parametrize("name", TARGETS)
def test_target_loads(name: str) -> None:
    task = spec.load_task(name)
    assert task.name == name
    assert name in spec.list_tasks()
    assert task.sources or task.unavailable


@pytest.mark.parametrize("name", TRAINING)
def test_training_set_loads_and_is_english_where_nothing_else_is_said(name: str) -> None:
    training = spec.load_training(name)
    assert training.name == name
    assert name in spec.list_training()
    assert training.default_languages == ["en"]
    assert training.languages["en"].origin == "native"


@pytest.mark.parametrize("name", TARGETS)
def test_target_and_its_training_set_fit(name: str) -> None:
    task = spec.load_task(name)
    if task.train is None:
        assert task.kind in ("retrieval", "mining", "ranking")
        return
    training = spec.load_training(task.train)
    assert (training.kind, training.labels) == (task.kind, task.labels)


@pytest.mark.parametrize("name", TARGETS)
def test_english_alone_is_not_zero_shot(name: str) -> None:
    task = spec.load_task(name)
    assert [code for code, line in task.languages.items() if not line.zero_shot] == (
        ["en"] if "en" in task.languages else []
    )


@pytest.mark.parametrize("name", [*TARGETS, *TRAINING])
def test_no_revision_is_invented(name: str) -> None:
    known = {
        "mteb/tatoeba-bitext-mining": "69e8f12da6e31d59addadda9a9c8a2e601a0e282",
        "google/xquad": "51adfef1c1287aab1d2d91b5bead9bcfb9c68583",
    }
    data = spec.load_task(name) if name in TARGETS else spec.load_training(name)
    for source in data.sources:
        if source.repo:
            assert source.revision == known.get(source.repo, "main")


# The official lists


@pytest.mark.parametrize(("benchmark", "task"), [(b, t) for b in OFFICIAL for t in OFFICIAL[b]])
def test_official_languages(benchmark: str, task: str) -> None:
    assert task in benchmarks()[benchmark].tasks
    if task in TARGETS:
        assert spec.load_task(task).languages_in(benchmark) == OFFICIAL[benchmark][task].split()


@pytest.mark.parametrize(("benchmark", "count"), [("xtreme", 40), ("xtreme-r", 50)])
def test_languages_of_a_benchmark(benchmark: str, count: int) -> None:
    record = benchmarks()[benchmark]
    assert set(record.tasks) == set(OFFICIAL[benchmark])
    union = set()
    for task in record.tasks:
        line = OFFICIAL[benchmark][task].split()
        union |= set(spec.load_task(task).languages_in(benchmark) if task in TARGETS else line)
    assert len(union) == count == record.language_count
    assert union <= set(languages())
    if benchmark == "xtreme-r":
        # The others are those on which layers are chosen.
        assert set(languages()) - union == set(spec.load_task("tatoeba-dev").languages)


def test_wolof_is_not_forgotten() -> None:
    # XTREME-R's own training script does: https://github.com/google-research/xtreme/issues/81
    assert "wo" in spec.load_task("udpos").languages_in("xtreme-r")
    assert "wo" not in spec.load_task("udpos").languages_in("xtreme")


def test_groups_of_the_benchmarks() -> None:
    for record in benchmarks().values():
        assert sorted(t for group in record.groups.values() for t in group) == sorted(record.tasks)
    xtreme_r = benchmarks()["xtreme-r"]
    counted = [t for group in xtreme_r.official_groups.values() for t in group]
    assert counted.count("xcopa") == 2
    assert "lareqa" not in counted


def test_the_hub_copy_of_udpos_is_in_no_benchmark() -> None:
    assert all("udpos-hub" not in benchmark.tasks for benchmark in benchmarks().values())
    assert set(spec.load_task("udpos-hub").languages) == set(UDPOS.split())


# Counts


@pytest.mark.parametrize(
    ("task", "language", "test", "dev"),
    [
        ("xnli", "sw", 5010, 2490),
        ("pawsx", "ko", 2000, 2000),
        ("panx", "en", 10000, 10000),
        ("panx", "kk", 1000, 1000),
        ("panx", "az", 1000, 1000),
        ("panx", "qu", 100, 100),
        ("panx", "th", 10000, None),
        ("xquad", "ro", 1190, None),
        ("mlqa", "en", 11590, 1148),
        ("mlqa", "zh", 5137, 504),
        ("tydiqa", "en", 440, None),
        ("tydiqa", "te", None, None),
        ("tatoeba", "jv", 205, None),
        ("tatoeba", "ka", 746, None),
        ("tatoeba", "ro", 1000, None),
        ("udpos", "de", None, None),
        ("udpos-hub", "de", 22458, 19233),
        ("udpos-hub", "th", 1000, 0),
    ],
)
def test_expected_counts(task: str, language: str, test: int | None, dev: int | None) -> None:
    target = spec.load_task(task)
    assert target.expected_count(language, "test") == test
    assert target.expected_count(language, "dev") == dev


def test_totals() -> None:
    def total(task: str, benchmark: str) -> int:
        target = spec.load_task(task)
        return sum(target.expected_count(c, "test") or 0 for c in target.languages_in(benchmark))

    assert spec.load_task("tydiqa").total == {"test": 5077}
    assert total("xnli", "xtreme") == 75150
    assert total("mlqa", "xtreme") == 42245
    assert total("panx", "xtreme") == 25 * 10000 + 12 * 1000 + 3 * 100
    assert total("panx", "xtreme-r") == 29 * 10000 + 13 * 1000 + 6 * 100
    assert total("tatoeba", "xtreme") == 28 * 1000 + 205 + 234 + 307 + 390 + 548 + 575 + 687 + 746


@pytest.mark.parametrize(
    ("name", "train", "dev"),
    [
        ("anli", None, None),
        ("anli_r1", 16946, 1000),
        ("anli_r2", 45460, 1000),
        ("anli_r3", 100459, 1200),
        ("snli", None, None),
        ("qqp", 363846, 40430),
        ("squad_v2", 130319, 11873),
        ("hellaswag", 39905, 10042),
        ("ccg", None, None),
        ("cosmosqa", 25262, 2985),
        ("commonsenseqa", 9741, 1221),
        ("mnli", 392702, 9815),
        ("squad_v1", 87599, 10570),
        ("paws", 49401, 2000),
        ("panx_en", 20000, 10000),
        ("ud_en", None, None),
        ("ud_en_hub", 21253, 3974),
        ("social_iqa", 33410, 1954),
        ("copa", 400, 100),
        ("tydiqa_en", None, None),
    ],
)
def test_training_counts(name: str, train: int | None, dev: int | None) -> None:
    training = spec.load_training(name)
    assert training.expected_count("en", "train") == train
    assert training.expected_count("en", "dev") == dev


def test_languages() -> None:
    outside = set(spec.load_task("tatoeba-dev").languages)
    known = {c: line for c, line in languages().items() if c not in outside}
    assert len(known) == 50
    assert {c for c, language in known.items() if language.cc100_gib is None} == {"ht", "qu", "wo", "yo"}
    assert {c for c, language in known.items() if not language.in_mbert} == {"qu", "wo"}
    assert (known["sw"].cc100_mtokens, known["sw"].cc100_gib, known["sw"].joshi_class) == (275, 1.6, 2)
    assert [c for c, language in known.items() if language.joshi_class is None] == ["ht"]


# Settings that a figure depends on


def test_labels_go_by_name() -> None:
    assert spec.load_task("xnli").label_map == {"contradictory": "contradiction"}
    aliases = {a for names in spec.load_task("pawsx").label_aliases.values() for a in names}
    assert "paraphrase" in aliases
    assert not aliases & {"duplicate", "not_duplicate"}  # QQP's


def test_retrieval_layers() -> None:
    settings = spec.load_task("tatoeba").input
    assert settings.layer == {24: 14, 12: 8, "default": "last"}
    assert settings.pooling == "mean"


def test_tydiqa_chooses_nothing_on_its_test_questions() -> None:
    assert spec.load_task("tydiqa").dev_split is None
    assert spec.load_training("tydiqa_en").dev_split is None
    for data in (spec.load_task("tydiqa"), spec.load_training("tydiqa_en")):
        for source in data.sources:
            assert source.keep == data_spec.Keep(column="id", prefix="{alias}-")


# Strictness


Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def broken(tmp_path: Path) -> Callable[..., list[str]]:
    """Return a function that edits a copy of a target's YAML and returns the lines of the error it gives."""

    def run(edit: Edit, name: str = "xnli") -> list[str]:
        content = strict_yaml.read(assets.TASKS / "targets" / f"{name}.yaml")
        edit(content)
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
        with pytest.raises(SpecError) as caught:
            spec.read_task(path)
        return str(caught.value).splitlines()

    return run


def test_an_untouched_copy_is_fine(tmp_path: Path) -> None:
    for name in TARGETS:
        path = tmp_path / f"{name}.yaml"
        content = strict_yaml.read(assets.TASKS / "targets" / f"{name}.yaml")
        path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
        assert spec.read_task(path).hash == spec.load_task(name).hash
        assert spec.load_task(str(path)) == spec.load_task(name)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.update(licens="x"), "xnli.yaml: licens: no such field. Did you mean 'licence'?"),
        (
            lambda c: c["sources"][0].update(revison="x"),
            "xnli.yaml: sources.0.revison: no such field. Did you mean 'revision'?",
        ),
        (
            lambda c: c["languages"]["en"].update(zeroshot=True),
            "xnli.yaml: languages.en.zeroshot: no such field. Did you mean 'zero_shot'?",
        ),
        (
            lambda c: c["input"].update(max_len=1),
            "xnli.yaml: input.max_len: no such field. Did you mean 'max_length'?",
        ),
        (lambda c: c.pop("paper"), "xnli.yaml: paper: field required."),
        (lambda c: c.pop("dev_split"), "xnli.yaml: dev_split: field required."),
        (
            lambda c: c.update(mean_characters="156"),
            "xnli.yaml: mean_characters: found '156' (str), expected a valid integer.",
        ),
        (
            lambda c: c.update(mean_characters=0),
            "xnli.yaml: mean_characters: found 0 (int), expected greater than 0.",
        ),
        (
            lambda c: c["expected"].update(test=True),
            "xnli.yaml: expected.test: found True (bool), expected a valid integer.",
        ),
        (
            lambda c: c.update(metric="acuracy"),
            "xnli.yaml: metric: found 'acuracy', expected accuracy or accuracy_f1 for this kind, or "
            "evaluate:<module>. Did you mean",
        ),
        (
            lambda c: c.update(kind="clasification"),
            "xnli.yaml: kind: found 'clasification', expected one of classification, multiple_choice, "
            "tagging, span_qa, retrieval, mining, ranking. Did you mean 'classification'?",
        ),
        (
            lambda c: c.update(name="xnil"),
            "xnli.yaml: name: found 'xnil', expected 'xnli' as the file is called.",
        ),
        (
            lambda c: c["languages"].update(xx=None),
            "xnli.yaml: languages.xx: no such language in languages.yaml.",
        ),
        (
            lambda c: c["languages"].update(ro={"in": ["xtrem-r"]}),
            "xnli.yaml: languages.ro.in: no benchmark is named 'xtrem-r'. Did you mean 'xtreme-r'?",
        ),
        (
            lambda c: c["label_map"].update(entails="entailmnt"),
            "xnli.yaml: label_map.entails: 'entailmnt' is not one of the labels. Did you mean 'entailment'?",
        ),
        (
            lambda c: c["label_aliases"].update(netural=["x"]),
            "xnli.yaml: label_aliases.netural: not one of the labels. Did you mean 'neutral'?",
        ),
        (
            lambda c: c["label_aliases"]["neutral"].append("ENTAILMENT"),
            "xnli.yaml: label_aliases.neutral: 'ENTAILMENT' is an alias of 'entailment' already.",
        ),
        (
            lambda c: c["label_aliases"]["neutral"].append("entailment"),
            "xnli.yaml: label_aliases.neutral: 'entailment' is a label already.",
        ),
        (lambda c: c.pop("labels") and c.pop("label_map"), None),
        (lambda c: c["fields"].pop("text_b"), "xnli.yaml: fields.text_b: field required."),
        (
            lambda c: c["fields"].update(text_c="x"),
            "xnli.yaml: fields.text_c: no such field. Did you mean 'text_b'?",
        ),
        (
            lambda c: c["sources"][0].pop("revision"),
            "xnli.yaml: sources.0.revision: field required beside 'repo' (a branch, or",
        ),
        (
            lambda c: c["sources"].append({"config": "x"}),
            "xnli.yaml: sources.1: give either 'repo' (a Hub data set) or 'raw' (a file as published).",
        ),
        (
            lambda c: c["sources"].append({"repo": "a/b", "revision": "main", "raw": "x"}),
            "xnli.yaml: sources.1: give either 'repo' (a Hub data set) or 'raw' (a file as published).",
        ),
        (
            lambda c: c["sources"].append({"raw": "x"}),
            "xnli.yaml: sources.1: 'raw' needs a 'format' other than hub.",
        ),
        (
            lambda c: c["sources"][0].update(keep={"column": "language"}),
            "xnli.yaml: sources.0.keep: give either 'equals' or 'prefix'.",
        ),
        (
            lambda c: c["sources"].insert(0, {"raw": "x", "format": "panx_tsv"}),
            "xnli.yaml: sources.0: the first source is the one that is fetched, so it must be a 'repo' or have",
        ),
        (
            lambda c: c.update(sources=[]),
            "xnli.yaml: sources: name at least one source, or say why there is none in 'unavailable'.",
        ),
    ],
)
def test_a_mistake_is_named(broken: Callable[..., list[str]], edit: Edit, message: str | None) -> None:
    lines = broken(edit)
    if message is None:
        assert "xnli.yaml: labels: field required for this kind of task." in lines
    else:
        assert any(line.startswith(message) for line in lines), lines


def test_all_mistakes_come_together(broken: Callable[..., list[str]]) -> None:
    def edit(content: dict[str, Any]) -> None:
        content.pop("title")
        content["languges"] = {}
        content["input"]["max_length"] = "128"
        content["sources"].append({"repo": "a/b"})
        content["sources"].append({"raw": "x"})

    lines = broken(edit)
    assert len(lines) == 5
    assert all(line.startswith("xnli.yaml: ") for line in lines)
    for field in ("title", "languges", "input.max_length", "sources.1", "sources.2"):
        assert any(line.startswith(f"xnli.yaml: {field}") for line in lines), field


def test_mistakes_between_fields_come_together(broken: Callable[..., list[str]]) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["fields"].pop("label")
        content["languages"].update(xx=None, qq=None)

    assert [line.split(": ")[1] for line in broken(edit)] == ["fields.label", "languages.xx", "languages.qq"]


def test_yaml_traps(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("no:\non: yes\ny: off\nflags: [true, false, True, NO]\n", encoding="utf-8")
    assert strict_yaml.read(path) == {
        "no": None,
        "on": "yes",
        "y": "off",
        "flags": [True, False, "True", "NO"],
    }


def test_norwegian_stays_a_language_code(tmp_path: Path) -> None:
    path = tmp_path / "xnli.yaml"
    text = (assets.TASKS / "targets" / "xnli.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("\n  ar:\n", "\n  no:\n  on:\n"), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        spec.read_task(path)
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "languages.no",
        "languages.on",
    ]


BOMB = "a0: &a0 [0, 0]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))


def test_an_alias_stands_for_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: &x [1, 2]\nb: *x\n", encoding="utf-8")
    assert strict_yaml.read(tmp_path / "x.yaml") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "x.yaml: not valid YAML: with its aliases written out it has over 1,000,000 values."),
        ("a: &x [1, *x]\n", "x.yaml: not valid YAML: an alias stands for what it is a part of"),
        ("[" * 9000, "x.yaml: not valid YAML: it is nested without end."),
        ("name: a\nname: b\n", "x.yaml: not valid YAML: the key 'name' stands twice (line 2)."),
        ("a:\n  b: 1\n  b: 2\n", "x.yaml: not valid YAML: the key 'b' stands twice (line 3)."),
        ("[1, 2]\n", "x.yaml: expected fields at the top level, found list."),
        ("", "x.yaml: expected fields at the top level, found NoneType."),
        ("a: [1\n", "x.yaml: not valid YAML:"),
        ("a: !!python/object/apply:os.getcwd []\n", "x.yaml: not valid YAML: could not determine"),
    ],
)
def test_not_a_mapping(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        strict_yaml.read(path)
    assert str(caught.value).startswith(message)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no such file"):
        spec.load_task(str(tmp_path / "mine.yaml"))
    (tmp_path / "x.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(SpecError, match="cannot be read"):
        strict_yaml.read(tmp_path / "x.yaml")


def test_a_group_with_an_unknown_task() -> None:
    content = strict_yaml.read(assets.TASKS / "benchmarks" / "xtreme.yaml")
    content["groups"]["classification"].append("xnil")
    with pytest.raises(SpecError) as caught:
        strict_yaml.parse(benchmark.Benchmark, content, "xtreme.yaml")
    assert str(caught.value) == (
        "xtreme.yaml: groups.classification: 'xnil' is not one of the tasks. Did you mean 'xnli'?"
    )


def test_unknown_names_say_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no task named 'xnil'\. Did you mean 'xnli'\?"):
        spec.load_task("xnil")
    with pytest.raises(UsageError, match=r"no training set named 'mnil'\. Did you mean 'mnli'\?"):
        spec.load_training("mnil")
    with pytest.raises(UsageError, match="Known: bucc2018, lareqa"):
        spec.load_task("zzzz")


# The hash


def other(value: Any) -> Any:
    """Return some other value of the same shape."""
    match value:
        case None:
            return "x"
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value + 0.5
        case str():
            return value + "x"
        case list():
            return value[:-1] if value else ["x"]
        case dict():
            return dict(list(value.items())[:-1]) if value else {"test": 1}
        case _:
            field = next(iter(type(value).model_fields))
            return value.model_copy(update={field: other(getattr(value, field))})


@pytest.mark.parametrize("name", ["xnli", "tatoeba"])
def test_hash_changes_with_every_field(name: str) -> None:
    task = spec.load_task(name)
    hashes = {task.hash}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic: some of these values are of another type than declared
        for field in type(task).model_fields:
            hashes.add(task.model_copy(update={field: other(getattr(task, field))}).hash)
    assert len(hashes) == len(type(task).model_fields) + 1


def test_hash_changes_with_every_number_below(tmp_path: Path) -> None:
    path = tmp_path / "tatoeba.yaml"
    text = (assets.TASKS / "targets" / "tatoeba.yaml").read_text(encoding="utf-8")
    changes = {
        "24: 14": "24: 10",
        "12: 8": "12: 7",
        "test: 205": "test: 204",
        "max_length: 512": "max_length: 256",
    }
    hashes = {spec.load_task("tatoeba").hash}
    for old, new in changes.items():
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), encoding="utf-8")
        hashes.add(spec.read_task(path).hash)
    assert len(hashes) == len(changes) + 1


def test_comments_do_not_change_the_hash(tmp_path: Path) -> None:
    path = tmp_path / "xnli.yaml"
    text = (assets.TASKS / "targets" / "xnli.yaml").read_text(encoding="utf-8")
    path.write_text("# another comment\n" + text, encoding="utf-8")
    assert spec.read_task(path).hash == spec.load_task("xnli").hash


def test_hash_is_the_same_in_another_process() -> None:
    code = "from xharness.tasks.task_spec import load_task; print(load_task('xnli').hash, load_task('tatoeba').hash)"
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "7",
        "PYTHONPATH": str(HARNESS),
    }
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert out.split() == [spec.load_task("xnli").hash, spec.load_task("tatoeba").hash]


# The handbook


def test_the_handbook_names_every_field() -> None:
    handbook = (assets.TASKS / "README.md").read_text(encoding="utf-8")
    records = [
        record
        for module in (data_spec, spec, inputs, benchmark, language)
        for _, record in inspect.getmembers(module, inspect.isclass)
        if issubclass(record, strict_yaml.Strict) and record is not strict_yaml.Strict
    ]
    records += [recipe.Recipe, recipe.Values]
    assert len(records) >= 20
    missing = {
        f"{record.__name__}.{field.alias or name}"
        for record in records
        for name, field in record.model_fields.items()
        if f"`{field.alias or name}`" not in handbook
    }
    assert not missing


def test_the_data_page_names_every_data_set() -> None:
    page = (assets.TASKS.parent / "docs" / "data.md").read_text(encoding="utf-8")
    loaded = [*map(spec.load_task, TARGETS), *map(spec.load_training, TRAINING)]
    assert not [data.name for data in loaded if f"`{data.name}`" not in page]
    assert not {s.repo for data in loaded for s in data.sources if s.repo and f"`{s.repo}`" not in page}


@pytest.mark.parametrize("pattern", ["{foo}", "{", "{}", "{lang.x}"])
def test_only_lang_and_alias_stand_in_braces(pattern, tmp_path):
    text = (assets.TASKS / "targets" / "xnli.yaml").read_text(encoding="utf-8")
    assert 'config: "{lang}"' in text
    path = tmp_path / "xnli.yaml"
    path.write_text(text.replace('config: "{lang}"', f'config: "{pattern}"'), encoding="utf-8")
    with pytest.raises(SpecError, match=r"sources\.0\.config: .* only \{lang\} and \{alias\}"):
        spec.read_task(path)


def test_the_revisions_of_candidates_are_pinned_too() -> None:
    text = (assets.TASKS / "targets" / "mewslix.yaml").read_text(encoding="utf-8")
    found = pinning._revisions(text)
    assert [(repo, revision) for repo, revision, _, _ in found] == [("izhx/mewsli-x", "main")] * 2
    assert [text[start:end] for _, _, start, end in found] == ["main", "main"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'raw: "bucc2018/{lang}-en.{split}"\n      format: bucc_english',
            'raw: "{lang"\n      format: bucc_english',
            "braces",
        ),
        (
            "fields: {id: id, text: text}\n  scope",
            "fields: {text: text}\n  scope",
            "candidates.fields.id: field required",
        ),
        ("metric: bucc_f1", "metric: bucc_f1\nmetric_scale: .nan", "metric_scale"),
    ],
)
def test_mistakes_about_candidates_and_scale_are_named(old, new, words, tmp_path) -> None:
    text = (assets.TASKS / "targets" / "bucc2018.yaml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "bucc2018.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(SpecError, match=words):
        spec.read_task(path)
