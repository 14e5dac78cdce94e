"""The command line: data on stdout, everything else on stderr, imports inside the commands so that help is quick."""

from __future__ import annotations

import errno
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from xharness import __version__
from xharness.errors import Incomplete, OutputError, XharnessError

DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    envvar="XHARNESS_DATA_DIR",
    help="Folder laid out like the Hub (DIR/<org>/<name>/...), for machines without network. "
    "Also from XHARNESS_DATA_DIR.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
LANGUAGES = click.option("--languages", metavar="de,sw,...", help="Two-letter codes; all of each target if not given.")


def _names(value: str | None) -> list[str] | None:
    return None if value is None else [part.strip() for part in value.split(",") if part.strip()]


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)


def _print_json(content: Any) -> None:
    click.echo(json.dumps(content, ensure_ascii=False, indent=2))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="xharness")
def cli() -> None:
    """Zero-shot cross-lingual transfer on XTREME and XTREME-R, with the official metrics.

    \b
    xharness eval --model deepset/xlm-roberta-large-squad2 --targets xquad   score a checkpoint
    xharness score predictions/                                              score anyone's predictions
    xharness tasks list                                                      what can be scored
    xharness demo                                                            all of it without network or weights
    """


def _batch_tokens(context: click.Context, option: click.Parameter, value: str) -> int | None:
    if value == "auto":
        return None
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter("give a number of sub-words, or auto.")
    return int(value)


def _layer(context: click.Context, option: click.Parameter, value: str | None) -> int | str | None:
    if value is None or value == "last":
        return value
    try:
        return int(value)
    except ValueError:
        raise click.BadParameter("give an index into hidden_states (0 = embeddings, -1 = last), or last.") from None


def _label_map(context: click.Context, option: click.Parameter, value: str | None) -> dict[str, str]:
    pairs = [part.partition("=") for part in (value or "").split(",") if part]
    if any(not name or not equals or not own for name, equals, own in pairs):
        raise click.BadParameter("write NAME=LABEL_0,NAME=LABEL_1,...")
    names, labels = [name.strip() for name, _, _ in pairs], [own.strip() for _, _, own in pairs]
    if len(set(names)) != len(names) or len(set(labels)) != len(labels):
        raise click.BadParameter("each NAME and each label may stand once.")
    return dict(zip(names, labels, strict=True))


@cli.command("eval")
@click.option("--model", required=True, metavar="PATH_OR_ID[@REVISION]", help="A local folder, or a model on the Hub.")
@click.option(
    "--targets",
    default="xtreme",
    show_default=True,
    metavar="NAMES",
    help="xtreme, xtreme-r, task names with commas between, or paths of task files.",
)
@LANGUAGES
@DATA_DIR
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Folder for all runs.",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda[:N]",
    help="auto: the first GPU, else the CPU.",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    show_default=True,
    help="auto: bfloat16 where the processor has matrix units for it, else float32.",
)
@click.option(
    "--batch-tokens",
    default="auto",
    show_default=True,
    metavar="auto|N",
    callback=_batch_tokens,
    help="Sub-words per batch, padding included.",
)
@click.option(
    "--layer", metavar="N|last", callback=_layer, help="Retrieval: index into hidden_states (0 = embeddings)."
)
@click.option(
    "--pooling",
    type=click.Choice(["mean", "cls", "pooler"]),
    help="Retrieval: how a sentence becomes a vector.",
)
@click.option("--prefix", help="Retrieval: text before each sentence, as E5 wants it ('query: ').")
@click.option(
    "--label-map",
    metavar="NAME=LABEL_0,...",
    callback=_label_map,
    help="What the head's labels mean, where its config does not say.",
)
@click.option("--split", type=click.Choice(["test", "dev"]), default="test", show_default=True)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only the first N examples per language: partial.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Recorded; names the run's folder.")
@click.option(
    "--trust-remote-code", is_flag=True, help="Run Python code that comes with the checkpoint. Read it first."
)
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@AS_JSON
def eval_command(
    model: str,
    targets: str,
    languages: str | None,
    data_dir: Path | None,
    output: Path,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Score a checkpoint per target and language.

    Says first what the checkpoint can be scored on as it is, and why not on the rest. A run that was stopped goes
    on where it was when the same command is given again.

    \b
    xharness eval --model deepset/xlm-roberta-large-squad2 --targets xquad,mlqa --languages de,hi
    xharness eval --model sentence-transformers/LaBSE --targets tatoeba --layer last --pooling cls
    xharness eval --model ./my-checkpoint --data-dir /data/hub --dtype float32 --dry-run
    """
    from xharness import report
    from xharness.preparation import Options, prepare

    prepared = prepare(
        model,
        targets=_names(targets) or [],
        languages=_names(languages),
        data_dir=data_dir,
        options=Options(**options),
    )
    for note in prepared.checkpoint.notes:
        _say(note)
    if dry_run:
        if as_json:
            _print_json(
                {
                    "model": model,
                    "id": prepared.checkpoint.id,
                    "plan": {s.task: s.to_json() for s in prepared.steps},
                }
            )
        else:
            click.echo(report.plan_table(prepared.steps))
        return
    _say(report.plan_table(prepared.steps) + "\n")
    from xharness.evaluation import run

    found = run(prepared, output, say=_say)
    _show(found, str(prepared.checkpoint.folder_name), as_json)
    _say(f"\nResults, predictions and what they depend on: {found.provenance['run']}")
    _fail_if_incomplete(found.provenance["failures"])


def _show(found: Any, name: str, as_json: bool) -> None:
    from xharness import report

    if as_json:
        _print_json(found.to_json())
    else:
        click.echo(report.tables([(name, found)]))


def _fail_if_incomplete(failures: Sequence[str]) -> None:
    if failures:
        listed = "\n".join(f"  {line}" for line in failures)
        raise Incomplete(f"{len(failures)} of the scores that were asked for are missing:\n{listed}")


@cli.command()
@click.argument("folder", metavar="DIR|RUN", type=click.Path(path_type=Path))
@click.option("--targets", metavar="NAMES", help="Which of the tasks there; a benchmark's name gives its overall.")
@LANGUAGES
@click.option("--split", type=click.Choice(["test", "dev"]), help="A RUN knows its own; else test.")
@DATA_DIR
@AS_JSON
def score(
    folder: Path, targets: str | None, languages: str | None, split: Any, data_dir: Path | None, as_json: bool
) -> None:
    """Score predictions of any system against the gold; needs no model and no torch.

    DIR holds XTREME's submission layout, <task>/test-<xx>.<ext>; a RUN is a folder made by eval.

    \b
    xharness score predictions/ --targets xtreme
    xharness score results/org__xlmr-squad/0123456789ab/ba9876543210/seed0 --json
    """
    from xharness import scoring

    found = scoring.score(folder, targets=_names(targets), languages=_names(languages), split=split, data_dir=data_dir)
    _show(found, str(folder), as_json)
    _fail_if_incomplete(found.provenance["failures"])


@cli.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "csv", "latex"]),
    default="text",
    show_default=True,
)
@click.option("--benchmark", metavar="xtreme|xtreme-r", help="Whose languages and groups the means follow.")
@AS_JSON
def report(runs: tuple[Path, ...], form: Any, benchmark: str | None, as_json: bool) -> None:
    """Print the scores of one or more runs per target and language, with means, groups and transfer gaps.

    \b
    xharness report results/*/*/*/seed0
    xharness report results/org__xlmr-squad/*/*/seed0 --benchmark xtreme --format latex
    """
    from xharness import report as reports
    from xharness.benchmark import benchmarks
    from xharness.errors import unknown

    if benchmark is not None and benchmark not in benchmarks():
        raise unknown("benchmark", benchmark, benchmarks())
    named = [(_run_name(path), reports.load_run(path, benchmark)) for path in runs]
    if as_json:
        _print_json([found.to_json() for _, found in named])
    else:
        click.echo(reports.tables(named, form))


def _run_name(path: Path) -> str:
    # OUTPUT/<name>/<id12>/<settings12>/seed<k>
    parts = path.resolve().parts
    return parts[-4] if len(parts) >= 4 else str(path)


@cli.group()
def tasks() -> None:
    """List, show, check and pin the task specs."""


@tasks.command("list")
@AS_JSON
def tasks_list(as_json: bool) -> None:
    """List the targets that this version has, with metric, number of languages, and where their data comes from."""
    from tabulate import tabulate

    from xharness.spec import list_tasks, load_task

    specs = [load_task(name) for name in list_tasks()]
    if as_json:
        _print_json([{"name": s.name, "kind": s.kind, "languages": list(s.languages), "hash": s.hash} for s in specs])
        return
    rows = []
    for s in specs:
        source = s.sources[0].name if s.sources else "none yet"
        rows.append([s.name, s.kind, s.metric, len(s.languages), s.train or "-", source])
    head = ["target", "kind", "metric", "languages", "English training set", "data"]
    click.echo(tabulate(rows, head, tablefmt="simple"))


@tasks.command("show")
@click.argument("name")
@AS_JSON
def tasks_show(name: str, as_json: bool) -> None:
    """Show a target's spec as it is read, with its hash."""
    import yaml

    from xharness.spec import load_task

    spec = load_task(name)
    content = {**spec.model_dump(mode="json", by_alias=True, exclude_none=True), "hash": spec.hash}
    if as_json:
        _print_json(content)
    else:
        click.echo(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100).rstrip())


@tasks.command("check")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
def tasks_check(files: tuple[Path, ...]) -> None:
    """Check all task files that come with xharness, or the FILES given (one's own targets).

    All errors of all files are said at once, each with file, field and the nearest name.
    """
    from xharness.catalogue import check

    click.echo(check(files))


@tasks.command("pin")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
def tasks_pin(files: tuple[Path, ...]) -> None:
    """Write the sha that each source's revision stands for today into the task files (needs the Hub)."""
    from xharness import assets
    from xharness.pinning import pin

    # The demo's data is made on the spot and lies on no Hub.
    shipped = [path for path in sorted(assets.TASKS.glob("*/*.yaml")) if path.parent.name != "demo"]
    changes = pin(list(files) or shipped)
    for change in changes:
        click.echo(change)
    _say(f"{len(changes)} revisions pinned.")


@cli.command()
@click.option(
    "--targets",
    default="xtreme",
    show_default=True,
    metavar="NAMES",
    help="As for eval; training sets by name too.",
)
@LANGUAGES
@click.option("--to", "to", required=True, type=click.Path(path_type=Path), help="The data folder to fill.")
@click.option(
    "--split",
    "splits",
    multiple=True,
    type=click.Choice(["test", "dev", "train"]),
    help="Which splits; all if not given.",
)
@AS_JSON
def fetch(targets: str, languages: str | None, to: Path, splits: tuple[Any, ...], as_json: bool) -> None:
    """Fill a data folder from the Hub, for machines without network.

    Goes on where it stopped, and writes a MANIFEST.tsv that says what is there and how complete it is.

    \b
    xharness fetch --targets xtreme --to /data/hub
    xharness fetch --targets xnli,tatoeba --languages sw,th --to /data/hub
    """
    from tabulate import tabulate

    from xharness.fetch import fetch as fill
    from xharness.fetch import named

    rows = fill(named(_names(targets) or []), to, _names(languages), list(splits) or None, progress=True)
    if as_json:
        _print_json(rows)
    else:
        click.echo(tabulate(rows, "keys", tablefmt="simple", disable_numparse=True))


@cli.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("demo-results"),
    show_default=True,
    help="Folder for all of it.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@AS_JSON
def demo(output: Path, seed: int, as_json: bool) -> None:
    """Train a tiny encoder on sentences that come with xharness, and evaluate it: no network, no weights.

    Takes about two minutes on two CPU cores, and shows every kind of problem, the tables and the result files.
    """
    from xharness import report as reports
    from xharness.averages import side_by_side
    from xharness.demo import story

    found = story.run(output, seed=seed, say=_say, progress=True)
    if as_json:
        _print_json([each.to_json() for _, each in found])
        return
    click.echo(reports.tables([("demo", side_by_side(each for _, each in found))]))
    for name, each in found:
        _say(f"{name}: {each.provenance['run']}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake ends in one sentence and the error's own exit code."""
    for stream in (sys.stdout, sys.stderr):
        # Texts hold every script, and now and then half a surrogate pair; a terminal that cannot show one shows \u....
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        cli.main(args=arguments, prog_name="xharness", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except XharnessError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO):
            raise
        click.echo(f"Error: what was asked for cannot be written: {error.strerror}.", err=True)
        sys.exit(OutputError.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nStopped. What was finished is kept; the same command goes on from there.", err=True)
        sys.exit(130)
