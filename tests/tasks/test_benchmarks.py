"""The YAML files under ``tasks/`` as they are shipped: official languages, groups and counts."""

from __future__ import annotations

import pytest

from helpers.task_files import TARGETS, TRAINING
from xharness import assets
from xharness.tasks import pin, registry, source_spec
from xharness.tasks.benchmarks import benchmarks
from xharness.tasks.languages import languages

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
    task = registry.load_task(name)
    assert task.name == name
    assert name in registry.list_tasks()
    assert task.sources or task.unavailable


@pytest.mark.parametrize("name", TRAINING)
def test_training_set_loads_and_is_english_where_nothing_else_is_said(name: str) -> None:
    training = registry.load_training(name)
    assert training.name == name
    assert name in registry.list_training()
    assert training.default_languages == ["en"]
    assert training.languages["en"].origin == "native"


@pytest.mark.parametrize("name", TARGETS)
def test_target_and_its_training_set_fit(name: str) -> None:
    task = registry.load_task(name)
    if task.train is None:
        assert task.kind in ("retrieval", "mining", "ranking")
        return
    training = registry.load_training(task.train)
    assert (training.kind, training.labels) == (task.kind, task.labels)


@pytest.mark.parametrize("name", TARGETS)
def test_english_alone_is_not_zero_shot(name: str) -> None:
    task = registry.load_task(name)
    assert [code for code, line in task.languages.items() if not line.zero_shot] == (
        ["en"] if "en" in task.languages else []
    )


@pytest.mark.parametrize("name", [*TARGETS, *TRAINING])
def test_no_revision_is_invented(name: str) -> None:
    known = {
        "mteb/tatoeba-bitext-mining": "69e8f12da6e31d59addadda9a9c8a2e601a0e282",
        "google/xquad": "51adfef1c1287aab1d2d91b5bead9bcfb9c68583",
    }
    data = registry.load_task(name) if name in TARGETS else registry.load_training(name)
    for source in data.sources:
        if source.repo:
            assert source.revision == known.get(source.repo, "main")


# The official lists


@pytest.mark.parametrize(("benchmark", "task"), [(b, t) for b in OFFICIAL for t in OFFICIAL[b]])
def test_official_languages(benchmark: str, task: str) -> None:
    assert task in benchmarks()[benchmark].tasks
    if task in TARGETS:
        assert registry.load_task(task).languages_in(benchmark) == OFFICIAL[benchmark][task].split()


@pytest.mark.parametrize(("benchmark", "count"), [("xtreme", 40), ("xtreme-r", 50)])
def test_languages_of_a_benchmark(benchmark: str, count: int) -> None:
    record = benchmarks()[benchmark]
    assert set(record.tasks) == set(OFFICIAL[benchmark])
    union = set()
    for task in record.tasks:
        line = OFFICIAL[benchmark][task].split()
        union |= set(registry.load_task(task).languages_in(benchmark) if task in TARGETS else line)
    assert len(union) == count == record.language_count
    assert union <= set(languages())
    if benchmark == "xtreme-r":
        # The others are those on which layers are chosen.
        assert set(languages()) - union == set(registry.load_task("tatoeba-dev").languages)


def test_wolof_is_not_forgotten() -> None:
    # XTREME-R's own training script does: https://github.com/google-research/xtreme/issues/81
    assert "wo" in registry.load_task("udpos").languages_in("xtreme-r")
    assert "wo" not in registry.load_task("udpos").languages_in("xtreme")


def test_groups_of_the_benchmarks() -> None:
    for record in benchmarks().values():
        assert sorted(t for group in record.groups.values() for t in group) == sorted(record.tasks)
    xtreme_r = benchmarks()["xtreme-r"]
    counted = [t for group in xtreme_r.official_groups.values() for t in group]
    assert counted.count("xcopa") == 2
    assert "lareqa" not in counted


def test_the_hub_copy_of_udpos_is_in_no_benchmark() -> None:
    assert all("udpos-hub" not in benchmark.tasks for benchmark in benchmarks().values())
    assert set(registry.load_task("udpos-hub").languages) == set(UDPOS.split())


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
    target = registry.load_task(task)
    assert target.expected_count(language, "test") == test
    assert target.expected_count(language, "dev") == dev


def test_totals() -> None:
    def total(task: str, benchmark: str) -> int:
        target = registry.load_task(task)
        return sum(target.expected_count(c, "test") or 0 for c in target.languages_in(benchmark))

    assert registry.load_task("tydiqa").total == {"test": 5077}
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
    training = registry.load_training(name)
    assert training.expected_count("en", "train") == train
    assert training.expected_count("en", "dev") == dev


def test_languages() -> None:
    outside = set(registry.load_task("tatoeba-dev").languages)
    known = {c: line for c, line in languages().items() if c not in outside}
    assert len(known) == 50
    assert {c for c, language in known.items() if language.cc100_gib is None} == {"ht", "qu", "wo", "yo"}
    assert {c for c, language in known.items() if not language.in_mbert} == {"qu", "wo"}
    assert (known["sw"].cc100_mtokens, known["sw"].cc100_gib, known["sw"].joshi_class) == (275, 1.6, 2)
    assert [c for c, language in known.items() if language.joshi_class is None] == ["ht"]


# Settings that a figure depends on


def test_labels_go_by_name() -> None:
    assert registry.load_task("xnli").label_map == {"contradictory": "contradiction"}
    aliases = {a for names in registry.load_task("pawsx").label_aliases.values() for a in names}
    assert "paraphrase" in aliases
    assert not aliases & {"duplicate", "not_duplicate"}  # QQP's


def test_retrieval_layers() -> None:
    settings = registry.load_task("tatoeba").input
    assert settings.layer == {24: 14, 12: 8, "default": "last"}
    assert settings.pooling == "mean"


def test_tydiqa_chooses_nothing_on_its_test_questions() -> None:
    assert registry.load_task("tydiqa").dev_split is None
    assert registry.load_training("tydiqa_en").dev_split is None
    for data in (registry.load_task("tydiqa"), registry.load_training("tydiqa_en")):
        for source in data.sources:
            assert source.keep == source_spec.Keep(column="id", prefix="{alias}-")


def test_the_revisions_of_candidates_are_pinned_too() -> None:
    text = (assets.TASKS / "targets" / "mewslix.yaml").read_text(encoding="utf-8")
    found = pin._revisions(text)
    assert [(repo, revision) for repo, revision, _, _ in found] == [("izhx/mewsli-x", "main")] * 2
    assert [text[start:end] for _, _, start, end in found] == ["main", "main"]
