"""Tables of `eval --tune`: scores by seed and by checkpoint selection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tabulate import tabulate

from xharness.checkpoints.training_record import AVERAGE, ENGLISH_DEV, LAST
from xharness.metrics.seeds import COLLAPSED, COMPLETE, DIVERGED, FAILED, Summary, summary
from xharness.results.aggregate import PARTIAL, Results, language_score
from xharness.results.footnotes import notes
from xharness.results.tables import SOURCE_LANGUAGE, tables
from xharness.training.tune.options import TARGET_DEV
from xharness.training.tune.result import TuneResult


def table(result: TuneResult) -> str:
    """Return all tables of a result, track by track."""
    parts = []
    if result.headline is None and result.as_is is not None:
        parts.append(tables([(result.name, result.as_is)]))
    for track in result.tracks:
        by_seed = {seed: r for (of, chosen, seed), r in result.results.items() if (of, chosen) == (track, ENGLISH_DEV)}
        if len(result.seeds) == 1:
            parts += [tables([(result.name, results)]) for results in by_seed.values()]
        elif by_seed:
            parts.append(_mean_over_seeds(result, track, by_seed))
        parts += [_selections(result, track), _seeds(result, track) if len(result.seeds) > 1 else ""]
    parts += [_failed_trainings(result)]
    return "\n\n".join(part for part in parts if part)


def _mean_over_seeds(result: TuneResult, track: str, by_seed: Mapping[int, Results]) -> str:
    """Return the scores as mean and deviation over seeds; a target that was scored as it is has one number."""
    first = next(iter(by_seed.values()))
    specs = {task: r.spec for results in by_seed.values() for task, r in results.tasks.items()}
    tuned = result.targets(track)
    codes = sorted(
        {code for results in by_seed.values() for r in results.tasks.values() for code in r.languages},
        key=lambda code: (code != SOURCE_LANGUAGE, code),
    )

    def cell(task: str, code: str) -> str:
        scores = {
            seed: language_score(specs[task], results.tasks[task].languages[code])
            for seed, results in by_seed.items()
            if task in results.tasks and code in results.tasks[task].languages
        }
        if task not in tuned:
            return f"{next(iter(scores.values())):.1f}" if scores else ""
        return _number(summary(scores, result.states(track, task))) if scores else ""

    def foot(task: str) -> str:
        if task not in tuned:
            text = f"{first.tasks[task].mean['score']:.1f}" if task in first.tasks else ""
        else:
            text = _number(result.summary(track, ENGLISH_DEV, task))
        partial = any(not r.tasks[task].complete for r in by_seed.values() if task in r.tasks)
        return f"{text} {PARTIAL}" if partial and text else text

    rows = [[code, *(cell(task, code) for task in specs)] for code in codes]
    body = tabulate(
        [*rows, ["score", *(foot(task) for task in specs)]],
        ["", *specs],
        tablefmt="simple",
        disable_numparse=True,
        colalign=["left"] + ["right"] * len(specs),
    )
    lines = body.splitlines()
    body = "\n".join([*lines[:-1], lines[1], lines[-1]])
    facts = first.provenance
    model = str(facts.get("model_sha") or facts.get("model_hash") or "")[:12]
    title = (
        f"{result.name} @{model} ({facts['dtype']}, {facts['split']}, {track}, chosen by {ENGLISH_DEV}; mean ± "
        f"standard deviation of the seeds {', '.join(map(str, by_seed))})"
    )
    return "\n\n".join([title, body, "\n".join(_notes(list(by_seed.values())))])


def _notes(by_seed: Sequence[Results]) -> list[str]:
    """Return the footnotes of several seeds, each once; most are the same for every seed."""
    return list(dict.fromkeys(line for results in by_seed for line in notes(results, marks=False)))


def _selections(result: TuneResult, track: str) -> str:
    """Return the table of checkpoint selections: each a mean over languages."""
    chosen = result.selections(track)
    if len(chosen) < 2:
        return ""
    rows = []
    for task in result.targets(track):
        own, oracle = result.language_sets(track, task)
        without_oracle = [name for name in chosen if name != TARGET_DEV]
        full = oracle == own
        if not full:
            means = [_number(result.summary(track, name, task, own)) for name in without_oracle]
            rows.append([task, len(own), *means, "-"])
        if oracle:
            label = task if full else f"{task}, languages with dev data"
            rows.append([label, len(oracle), *(_number(result.summary(track, name, task, oracle)) for name in chosen)])
    words = {
        ENGLISH_DEV: "english-dev",
        LAST: "last",
        AVERAGE: f"average of the last {result.average_last}",
        TARGET_DEV: "oracle (target-dev)",
    }
    heads = [words[name] for name in chosen]
    if TARGET_DEV not in chosen:
        rows = [row[: 2 + len(chosen)] for row in rows]
    lines = tabulate(
        rows,
        ["", "languages", *heads],
        tablefmt="simple",
        disable_numparse=True,
        colalign=["left"] + ["right"] * (1 + len(heads)),
    )
    title = f"Checkpoint selection ({track}): the mean over languages. The reported score is that of english-dev"
    without = [t.training_set for t in result.trained if t.track == track and t.targets and t.headline == LAST]
    if without:
        title += f" ({', '.join(dict.fromkeys(without))} has no English development data: the last checkpoint)"
    if TARGET_DEV in chosen:
        title += "; the oracle sees labels of the target language, so it is no zero-shot result"
    return f"{title}.\n\n{lines}"


def _seeds(result: TuneResult, track: str) -> str:
    """Return the table of scores by seed, with and without those that collapsed."""
    rows = []
    for task in result.targets(track):
        scores = result.summary(track, ENGLISH_DEV, task)
        marks = {COLLAPSED: "c", DIVERGED: "diverged", FAILED: "failed"}
        cells = []
        for seed in result.seeds:
            score, state = scores.scores.get(seed), scores.states.get(seed, FAILED)
            mark = "" if state == COMPLETE else f" {marks[state]}"
            cells.append("-" + mark if score is None else f"{score:.1f}{mark}")
        failed = scores.seeds(DIVERGED) + scores.seeds(FAILED)
        rows.append(
            [
                task,
                _plain(scores.every.mean),
                _plain(scores.every.deviation),
                len(scores.states),
                len(scores.seeds(COLLAPSED)),
                len(failed),
                _plain(scores.good.mean),
                _plain(scores.good.deviation),
                *cells,
            ]
        )
    if not rows:
        return ""
    head = ["", "mean", "sd", "seeds run", "collapsed", "no score", "mean without", "sd without"]
    lines = tabulate(
        rows,
        [*head, *(f"seed {seed}" for seed in result.seeds)],
        tablefmt="simple",
        disable_numparse=True,
        colalign=["left"] + ["right"] * (len(head) - 1 + len(result.seeds)),
    )
    title = (
        f"Seeds ({track}): mean and sample standard deviation of the score; without: without the collapsed ones "
        "(c: the English development score is at chance)."
    )
    return f"{title}\n\n{lines}"


def _failed_trainings(result: TuneResult) -> str:
    """Return a line for each training that is not complete."""
    return "\n".join(
        f"{t.training_set}, seed {t.seed}: {t.state}{': ' + t.reason if t.reason else ''}."
        for t in result.trained
        if t.state != COMPLETE
    )


def _number(scores: Summary) -> str:
    if scores.every.mean is None:
        return "-"
    text = f"{scores.every.mean:.1f}"
    return text if scores.every.deviation is None else f"{text} ±{scores.every.deviation:.1f}"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
