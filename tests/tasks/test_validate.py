"""Mistakes in YAML files under ``tasks/`` are all said, with the field and the nearest name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.task_files import TARGETS
from xharness import assets, strict_yaml
from xharness.errors import SpecError, UsageError
from xharness.tasks import benchmarks, registry

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
            registry.read_task(path)
        return str(caught.value).splitlines()

    return run


def test_an_untouched_copy_is_fine(tmp_path: Path) -> None:
    for name in TARGETS:
        path = tmp_path / f"{name}.yaml"
        content = strict_yaml.read(assets.TASKS / "targets" / f"{name}.yaml")
        path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
        assert registry.read_task(path).hash == registry.load_task(name).hash
        assert registry.load_task(str(path)) == registry.load_task(name)


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
            "xnli.yaml: sources: name at least one source, or give the reason in 'unavailable'.",
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
        registry.read_task(path)
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
        (BOMB, "x.yaml: not valid YAML: with its aliases expanded it has over 1,000,000 values."),
        ("a: &x [1, *x]\n", "x.yaml: not valid YAML: an alias refers to a value that contains it"),
        ("[" * 9000, "x.yaml: not valid YAML: it is nested too deeply."),
        ("name: a\nname: b\n", "x.yaml: not valid YAML: the key 'name' is given twice (line 2)."),
        ("a:\n  b: 1\n  b: 2\n", "x.yaml: not valid YAML: the key 'b' is given twice (line 3)."),
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
    with pytest.raises(SpecError, match="this file does not exist"):
        registry.load_task(str(tmp_path / "mine.yaml"))
    (tmp_path / "x.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(SpecError, match="cannot be read"):
        strict_yaml.read(tmp_path / "x.yaml")


def test_a_group_with_an_unknown_task() -> None:
    content = strict_yaml.read(assets.TASKS / "benchmarks" / "xtreme.yaml")
    content["groups"]["classification"].append("xnil")
    with pytest.raises(SpecError) as caught:
        strict_yaml.parse(benchmarks.Benchmark, content, "xtreme.yaml")
    assert str(caught.value) == (
        "xtreme.yaml: groups.classification: 'xnil' is not one of the tasks. Did you mean 'xnli'?"
    )


def test_unknown_names_say_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no task named 'xnil'\. Did you mean 'xnli'\?"):
        registry.load_task("xnil")
    with pytest.raises(UsageError, match=r"no training set named 'mnil'\. Did you mean 'mnli'\?"):
        registry.load_training("mnil")
    with pytest.raises(UsageError, match="Known: bucc2018, lareqa"):
        registry.load_task("zzzz")


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
        registry.read_task(path)
