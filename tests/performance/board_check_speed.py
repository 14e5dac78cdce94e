"""Times ``leaderboard check`` on a submission of every target and language of XTREME-R, at their real sizes.

    make bench
    PYTHONPATH=harness:tests .venv/bin/python -m performance.board_check_speed --seeds 3

The gold data is made up, in the layouts of the Hub, with as many examples as each test set has and texts and sentences
of about its lengths; the predictions are right in two of three cases. The check is the command, in a process of its
own, with as many others as it starts; time and peak memory are those of all of them together.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets

from helpers import whole_benchmark
from helpers.data_folder import as_on_the_hub, column_types, write_dataset
from xharness.data import loading as data_loading
from xharness.leaderboard import collect as leaderboard_collect
from xharness.leaderboard import package as leaderboard_package
from xharness.leaderboard.package import SubmitterInfo
from xharness.metrics.retrieval import Ranking
from xharness.results import predictions, scoring
from xharness.tasks.benchmarks import benchmarks
from xharness.tasks.registry import load_task
from xharness.tasks.task_spec import TaskSpec

UNKNOWN = {"udpos": 2_600, "tydiqa": 565, "bucc2018": 9_000}
"""Examples of a language where the spec gives no number: about the mean."""
WORDS = (
    "the",
    "old",
    "bridge",
    "over",
    "river",
    "is",
    "made",
    "of",
    "stone",
    "and",
    "it",
    "rained",
    "for",
    "three",
    "days",
)
ENTITIES = 1_000_000


def size(spec: TaskSpec, code: str) -> int:
    return spec.expected_count(code, "test") or UNKNOWN.get(spec.name, 1_000)


def text(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(WORDS, k=words))


def rows(spec: TaskSpec, code: str) -> Iterator[dict[str, Any]]:
    """Yield canonical rows of a target in a language."""
    chance = random.Random(f"{spec.name} {code}")
    for number in range(size(spec, code)):
        match spec.kind:
            case "classification":
                made = {"text_a": text(chance, 20), "text_b": text(chance, 10), "label": chance.choice(spec.labels)}
                yield {"id": str(number), **made} if "id" in spec.fields else made
            case "multiple_choice":
                choices, label = [text(chance, 6), text(chance, 6)], str(number % 2)
                yield {
                    "id": number,
                    "context": text(chance, 6),
                    "question": "cause",
                    "choices": choices,
                    "label": label,
                }
            case "tagging":
                yield {"tokens": chance.choices(WORDS, k=9), "tags": chance.choices(spec.labels, k=9)}
            case "span_qa":
                context, alias = text(chance, 130), spec.languages[code].alias or code
                answer = {"text": context[:16], "start": 0}
                question = text(chance, 10)
                yield {"id": f"{alias}-{number}", "question": question, "context": context, "answers": [answer]}
            case _:
                yield {"text": text(chance, 8), "english": f"{text(chance, 8)} {number}"}


def write_gold(to: Path, tasks: list[str]) -> None:
    """Write the gold data of targets, said to be complete."""
    lines = ["hub_id\tconfig\tsplit\trows\tstatus\tsource\tlicence"]
    for task in tasks:
        spec = load_task(task)
        source = spec.sources[0]
        if task in RAW:
            RAW[task](to / "raw", spec)
            continue
        configs: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for code in spec.languages:
            made = [as_on_the_hub(spec, row, number) for number, row in enumerate(rows(spec, code))]
            split = source.splits.get("test", spec.test_split)
            configs.setdefault(spec.fill(source.config, code), {}).setdefault(split, []).extend(made)
        first = next(iter(next(iter(configs.values())).values()))[0]
        write_dataset(to / str(source.repo), configs, column_types(spec, first))
        lines += [
            f"{source.repo}\t{c}\t{s}\t{len(r)}\tcomplete\there\tnone" for c, x in configs.items() for s, r in x.items()
        ]
    (to / "MANIFEST.tsv").write_text("\n".join([*lines, ""]), encoding="utf-8")


def write_udpos(raw: Path, spec: TaskSpec) -> None:
    for code in spec.languages:
        source = next(s for s in spec.sources if s.languages is None or code in s.languages)
        path = raw / spec.fill(str(source.raw), code, "test").replace("/*/", "/UD_Tiny-X/").replace("_*-", "_x-")
        path.parent.mkdir(parents=True, exist_ok=True)
        chance = random.Random(code)
        with path.open("w", encoding="utf-8") as file:
            for number in range(size(spec, code)):
                file.write(f"# sent_id = {number}\n")
                for word in range(1, 19):
                    tag = chance.choice(("NOUN", "VERB", "ADJ", "DET", "ADP"))
                    file.write(f"{word}\t{chance.choice(WORDS)}\t_\t{tag}\t_\t_\t0\troot\t_\t_\n")
                file.write("\n")


def write_lareqa(raw: Path, spec: TaskSpec) -> None:
    folder = raw / "google-research-datasets/lareqa/xquad-r"
    folder.mkdir(parents=True)
    for code in spec.languages:
        paragraphs = []
        for number in range(240):
            sentences = [f"{code} {number} {place} {text(random.Random(place), 20)}." for place in range(5)]
            starts = [sum(len(s) + 1 for s in sentences[:place]) for place in range(5)]
            breaks = [[start, start + len(s)] for start, s in zip(starts, sentences, strict=True)]
            qas = [
                {
                    "id": f"q{number}-{place}",
                    "question": "where?",
                    "answers": [{"answer_start": starts[place], "text": code}],
                }
                for place in range(5)
            ]
            context = " ".join(sentences)
            paragraphs.append({"context": context, "qas": qas, "sentence_breaks": breaks, "sentences": sentences})
        content = {"data": [{"paragraphs": paragraphs}], "version": "1.1"}
        (folder / f"{code}.json").write_text(json.dumps(content), encoding="utf-8")


def write_mewslix(raw: Path, spec: TaskSpec) -> None:
    """Write Mewsli-X with a million candidates."""
    whole_benchmark.write_mewslix(raw, spec)
    folder = raw / "mewsli-x"
    first = json.loads((folder / "wikinews_mentions-test.jsonl").read_text(encoding="utf-8").splitlines()[0])
    with (folder / "wikinews_mentions-test.jsonl").open("w", encoding="utf-8") as file:
        for code in spec.languages:
            for number in range(size(spec, code)):
                mention = first["mentions"][0] | {"example_id": f"{code}{number}", "entity_id": f"Q{number + 1}"}
                context = first["context"] | {"language": code, "document_id": f"{code}{number}"}
                file.write(json.dumps({"context": context, "mentions": [mention]}) + "\n")
    path = folder / "candidate_set_entities.jsonl"
    entity = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    with path.open("w", encoding="utf-8") as file:
        for number in range(1, ENTITIES + 1):
            file.write(json.dumps(entity | {"entity_id": f"Q{number}"}) + "\n")


RAW = {"udpos": write_udpos, "lareqa": write_lareqa, "mewslix": write_mewslix}


def made_up(spec: TaskSpec, golds: Any, seed: int, pool: tuple[str, ...]) -> Any:
    """Return predictions that are right in two of three cases."""
    chance = random.Random(seed)
    if spec.kind == "span_qa":
        return {key: gold[0] if chance.random() < 0.66 else "the old bridge" for key, gold in golds.items()}
    if spec.kind == "ranking":
        rankings = {}
        for key, targets in golds.items():
            others = tuple(dict.fromkeys(chance.choices(pool, k=20)))
            rankings[key] = Ranking((*targets[:1], *(each for each in others if each not in targets))[:20])
        return rankings
    if spec.kind == "tagging":
        return [gold if chance.random() < 0.66 else ["X" if t == "X" else t for t in reversed(gold)] for gold in golds]
    return [gold if chance.random() < 0.66 else golds[number - 1] for number, gold in enumerate(golds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--targets", help="some of them, with commas between; all of XTREME-R if not given")
    given = parser.parse_args()
    tasks = given.targets.split(",") if given.targets else benchmarks()["xtreme-r"].tasks
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_gold(root / "data", tasks)
        for task in tasks:
            spec = load_task(task)
            for code in spec.languages_in("xtreme-r"):
                loaded = data_loading.load(spec, code, "test", root / "data")
                golds = scoring.gold(spec, loaded.examples)
                for seed in range(given.seeds):
                    path = predictions.path(root / f"made/seed{seed}", task, spec.kind, code, "test")
                    made = made_up(spec, golds, seed, loaded.pool.ids if loaded.pool else ())
                    predictions.write(path, spec.kind, made)
        told = SubmitterInfo(name="Made up", submitted_by="bench", architecture="encoder")
        package = leaderboard_package.pack(
            leaderboard_collect.from_folder(root / "made"), told, root / "data", lambda _: None
        )
        for file in package.files:
            path = root / "package" / file.path.removeprefix(f"{package.folder}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.source if isinstance(file.source, bytes) else file.source.read_bytes())
        examples = sum(gold.n for cells in package.submission.data.values() for gold in cells.values())
        print(f"{len(package.files) - 1} files, {package.size / 1e6:.1f} MB packed, {examples:,} examples per seed")
        command = [sys.executable, "-m", "xharness", "leaderboard", "check", str(root / "package"), "--json"]
        start = time.perf_counter()
        done = subprocess.run(
            [*command, "--data-dir", str(root / "data"), "--workers", str(given.workers)], stdout=subprocess.PIPE
        )
        seconds = time.perf_counter() - start
        print(f"{json.loads(done.stdout)['verdict']}: {seconds:.1f} s with {given.workers} processes")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"largest process: {peak:,.0f} MiB")


if __name__ == "__main__":
    main()
