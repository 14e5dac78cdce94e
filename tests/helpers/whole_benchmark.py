"""Tiny data for every target and language of both benchmarks, in the layouts and formats that the specs name.

The tasks are the shipped ones, with the numbers of examples turned into those of the tiny data.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.data_folder import as_on_the_hub, column_types, write_dataset
from xharness import assets
from xharness.tasks import benchmarks, languages, registry, task_spec

ROWS = 2
BENCHMARKS = ("xtreme", "xtreme-r")
WORDS = [("the", "DET"), ("old", "ADJ"), ("bridge", "NOUN"), ("is", "AUX"), ("wide", "ADJ")]
SENTENCES = ["The bridge over the river is made of stone.", "It rained for three days in Alma."]


def tasks() -> list[str]:
    """Return the targets of both benchmarks."""
    return list(dict.fromkeys(task for name in BENCHMARKS for task in benchmarks.benchmarks()[name].tasks))


def shrink_tasks(to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the program read a copy of the task files in which each split has as many examples as here."""
    shutil.copytree(assets.TASKS, to)
    for path in (to / "targets").glob("*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        # UDPOS and BUCC's corpora have sizes that nobody knows for sure; for them MANIFEST.tsv has to say "complete".
        if path.stem != "udpos":
            content["expected"] = {"test": ROWS, "dev": ROWS}
        content.pop("total", None)
        for line in content["languages"].values():
            for split in ("test", "dev"):
                if line:
                    line.pop(split, None)
        if "candidates" in content:
            sizes = {"lareqa": 2 * ROWS * len(content["languages"]), "mewslix": 5, "bucc2018": None}
            content["candidates"]["expected"] = {"test": sizes[path.stem], "dev": sizes[path.stem]}
        path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    monkeypatch.setattr(assets, "TASKS", to)
    for cached in (
        registry.load_task,
        registry.list_tasks,
        registry.load_training,
        benchmarks.benchmarks,
        languages.languages,
    ):
        cached.cache_clear()


def write_data(to: Path) -> Path:
    """Write the data of every target and language below ``to`` and return it."""
    lines = ["hub_id\tconfig\tsplit\trows\tstatus\tsource\tlicence"]
    for task in tasks():
        target = registry.load_task(task)
        source = target.sources[0]
        if source.repo is None or task == "mewslix":
            RAW[task](to / "raw", target)
            lines += [
                f"raw/{release}\t{code}\t{split}\t{ROWS}\tcomplete\there\tnone"
                for release, split in FROM_ARCHIVES.get(task, ())
                for code in target.languages
            ]
            continue
        configs: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for code in target.languages:
            rows = [as_on_the_hub(target, row(target, code, i), i) for i in range(ROWS)]
            split = source.splits.get("test", target.test_split)
            configs.setdefault(target.fill(source.config, code), {}).setdefault(split, []).extend(rows)
        first = next(iter(next(iter(configs.values())).values()))[0]
        write_dataset(to / source.repo, configs, column_types(target, first))
        lines += [
            f"{source.repo}\t{config}\t{split}\t{len(rows)}\tcomplete\there\tnone"
            for config, splits in configs.items()
            for split, rows in splits.items()
        ]
    (to / "MANIFEST.tsv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return to


def row(target: task_spec.TaskSpec, code: str, number: int) -> dict[str, Any]:
    """Return a canonical row of a target."""
    text = f"{code} {SENTENCES[number]}"
    match target.kind:
        case "classification":
            made = {"text_a": text, "text_b": SENTENCES[1 - number], "label": target.labels[number]}
            return {"id": str(number), **made} if "id" in target.fields else made
        case "multiple_choice":
            choices = list(SENTENCES)
            return {"id": number, "context": text, "question": "cause", "choices": choices, "label": str(number)}
        case "tagging":
            return {"tokens": [word for word, _ in WORDS], "tags": [target.labels[i % 3] for i in range(len(WORDS))]}
        case "span_qa":
            alias = target.languages[code].alias or code
            answer = {"text": "Alma", "start": text.find("Alma")} if number else {"text": code, "start": 0}
            return {"id": f"{alias}-{number}", "question": "Where?", "context": text, "answers": [answer]}
        case _:
            return {"text": text, "english": SENTENCES[number]}


def write_udpos(raw: Path, target: task_spec.TaskSpec) -> None:
    """Write CoNLL-U with a multi-word token and an empty node."""
    for code in target.languages:
        source = next(s for s in target.sources if s.languages is None or code in s.languages)
        assert source.raw is not None
        path = raw / target.fill(source.raw, code, "test").replace("/*/", "/UD_Tiny-X/").replace("_*-", "_x-")
        lines = []
        for number in range(ROWS):
            lines += [f"# sent_id = {number}", "1-2\tdel\t_\t_\t_\t_\t_\t_\t_\t_"]
            lines += ["1\tde\t_\tADP\t_\t_\t3\tcase\t_\t_", "2\tel\t_\tDET\t_\t_\t3\tdet\t_\t_"]
            lines += ["3\tbridge\t_\tNOUN\t_\t_\t0\troot\t_\t_", "3.1\tis\t_\tVERB\t_\t_\t_\t_\t_\t_", ""]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def write_bucc(raw: Path, target: task_spec.TaskSpec) -> None:
    """Write the shared task's files: two of four sentences on each side are translations."""
    for code in target.languages:
        folder = raw / "bucc2018" / f"{code}-en"
        folder.mkdir(parents=True, exist_ok=True)
        for split in ("training", "sample"):
            texts = [*SENTENCES, "He lost his hat.", f"{split} of the corpus"]
            for side in (code, "en"):
                lines = [f"{side}-{i:09}\t{side} {text}\n" for i, text in enumerate(texts, start=1)]
                (folder / f"{code}-en.{split}.{side}").write_text("".join(lines), encoding="utf-8")
            gold = "".join(f"{code}-{i:09}\ten-{i:09}\n" for i in (1, 2))
            (folder / f"{code}-en.{split}.gold").write_text(gold, encoding="utf-8")


def write_lareqa(raw: Path, target: task_spec.TaskSpec) -> None:
    """Write XQuAD-R's JSON: two paragraphs of two sentences, with one question each."""
    folder = raw / "google-research-datasets/lareqa/xquad-r"
    folder.mkdir(parents=True)
    for code in target.languages:
        first = f"{code} {SENTENCES[0]}"
        paragraphs = []
        for number in range(ROWS):
            context = f"{first} {SENTENCES[1]} {number}"
            answer = {"answer_start": context.index("Alma"), "text": "Alma"}
            paragraphs.append(
                {
                    "context": context,
                    "qas": [{"id": f"q{number}", "question": f"{code} where {number}?", "answers": [answer]}],
                    "sentence_breaks": [[0, len(first)], [len(first) + 1, len(context)]],
                    "sentences": [first, context[len(first) + 1 :]],
                }
            )
        content = {"data": [{"paragraphs": paragraphs}], "version": "1.1"}
        (folder / f"{code}.json").write_text(json.dumps(content), encoding="utf-8")


def write_mewslix(raw: Path, target: task_spec.TaskSpec) -> None:
    """Write Mewsli-X's mentions, all languages in one file, and its candidates."""
    folder = raw / "mewsli-x"
    folder.mkdir(parents=True)
    mentions = []
    for code in target.languages:
        text = f"{code} news. {SENTENCES[1]}"
        span = {"start": text.index("Alma"), "end": text.index("Alma") + 4, "text": "Alma"}
        cut = len(f"{code} news.")
        context = {
            "document_title": "t",
            "document_url": "u",
            "document_id": code,
            "language": code,
            "text": text,
            "sentence_spans": [{"start": 0, "end": cut}, {"start": cut + 1, "end": len(text)}],
        }
        found = [{"example_id": f"{code}{i}", "mention_span": span, "entity_id": f"Q{i + 1}"} for i in range(ROWS)]
        mentions.append(json.dumps({"context": context, "mentions": found}))
    (folder / "wikinews_mentions-test.jsonl").write_text("\n".join(mentions) + "\n", encoding="utf-8")
    entities = [
        {
            "entity_id": f"Q{i}",
            "title": "t",
            "description": f"{i} is a town.",
            "sentence_spans": [{"start": 0, "end": 12}],
            "description_language": "en",
            "description_url": "u",
        }
        for i in range(1, 6)
    ]
    lines = [json.dumps(entity) for entity in entities]
    (folder / "candidate_set_entities.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


# What `fetch` writes down of archives that came whole.
FROM_ARCHIVES = {
    "udpos": [("ud-treebanks-v2.5", "test"), ("ud-treebanks-v2.7", "test")],
    "bucc2018": [("bucc2018", "training"), ("bucc2018", "sample")],
}
RAW = {"udpos": write_udpos, "bucc2018": write_bucc, "lareqa": write_lareqa, "mewslix": write_mewslix}
