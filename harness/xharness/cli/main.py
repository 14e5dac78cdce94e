"""The `xharness` command: data on stdout, messages on stderr, imports inside commands to keep ``--help`` fast."""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Sequence

import click

from xharness.cli.demo import demo
from xharness.cli.eval import eval_command
from xharness.cli.export import export
from xharness.cli.fetch import fetch
from xharness.cli.leaderboard import leaderboard
from xharness.cli.models import models
from xharness.cli.new_encoder import new_encoder
from xharness.cli.plan import plan
from xharness.cli.publish import publish
from xharness.cli.report import report
from xharness.cli.score import score
from xharness.cli.submit import submit
from xharness.cli.tasks import tasks
from xharness.cli.train import train
from xharness.errors import OutputError, XharnessError
from xharness.version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="xharness")
def cli() -> None:
    """Evaluate and train encoders for zero-shot cross-lingual transfer on XTREME and XTREME-R.

    Scores are computed with the official metrics of the benchmarks.

    \b
    xharness eval --model deepset/xlm-roberta-large-squad2 --targets xquad   evaluate a checkpoint
    xharness score predictions/                                              score the predictions of any system
    xharness train mnli --base FacebookAI/xlm-roberta-base --output mnli     train on an English intermediate task
    xharness plan all --base xlm-roberta-large --gpu h200                    estimate what it costs, before it runs
    xharness publish mnli org/xlmr-mnli --results results/mnli               preview, then upload to the Hub
    xharness models list                                                     list the checkpoints of the model zoo
    xharness submit results/mnli --to org/leaderboard --name "XLM-R MNLI"    preview, then submit to a leaderboard
    xharness tasks list                                                      list the targets
    xharness demo                                                            try it offline, in two minutes
    """


_EVALUATION = (eval_command, score, train, new_encoder, plan, report, export)
_SHARING = (publish, models, submit, leaderboard)
for command in (*_EVALUATION, *_SHARING, tasks, fetch, demo):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Errors of the user are shown as one sentence, with the exit code of their class."""
    for stream in (sys.stdout, sys.stderr):
        # Texts may hold any script, and even lone surrogates. What a terminal cannot show becomes \uXXXX.
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
        if error.errno not in (errno.ENOSPC, errno.EIO, errno.ENAMETOOLONG):
            raise
        click.echo(f"Error: the output cannot be written: {error.strerror}.", err=True)
        sys.exit(OutputError.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nInterrupted. Finished work is kept. Give the same command again to resume.", err=True)
        sys.exit(130)
