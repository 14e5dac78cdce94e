"""The command line."""

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
    """Zero-shot cross-lingual transfer on XTREME and XTREME-R, with the official metrics.

    \b
    xharness eval --model deepset/xlm-roberta-large-squad2 --targets xquad   score a checkpoint
    xharness score predictions/                                              score anyone's predictions
    xharness train mnli --base FacebookAI/xlm-roberta-base --output mnli     train on an English intermediate task
    xharness plan all --base xlm-roberta-large --gpu h200                    estimate the cost before anything runs
    xharness publish mnli org/xlmr-mnli --results results/mnli               preview a model card, then publish
    xharness models list                                                     list the checkpoints of the zoo
    xharness submit results/mnli --to org/leaderboard --name "XLM-R MNLI"    preview a submission, then send it
    xharness tasks list                                                      list the targets
    xharness demo                                                            try it without network or weights
    """


_EVALUATION = (eval_command, score, train, new_encoder, plan, report, export)
_SHARING = (publish, models, submit, leaderboard)
for command in (*_EVALUATION, *_SHARING, tasks, fetch, demo):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: a user's mistake prints one sentence and exits with the error's code."""
    for stream in (sys.stdout, sys.stderr):
        # Texts come in every script, sometimes with a lone surrogate; a terminal that cannot show one shows \u....
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
        click.echo("\nStopped. Finished results are kept; run the same command to continue.", err=True)
        sys.exit(130)
