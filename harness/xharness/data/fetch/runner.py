"""Fetch the data of tasks into a folder, from the Hub and from the original sites."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from xharness.data.fetch import raw_files, row_counts
from xharness.data.fetch.hub_datasets import fetch_hub
from xharness.data.fetch.requirements import list_needs
from xharness.data.manifest import UNKNOWN, Row
from xharness.errors import DataError, Incomplete
from xharness.tasks.dataset_spec import DataSpec
from xharness.tasks.selection import print_to_stderr
from xharness.tasks.source_spec import Split


def fetch(
    tasks: Sequence[DataSpec],
    to: Path,
    languages: Sequence[str] | None,
    splits: Sequence[Split] | None,
    progress: bool,
    say: Callable[[str], None] = print_to_stderr,
    archives: Sequence[str] = (),
) -> list[Row]:
    """Fetch the data of tasks into a folder and return their lines of its MANIFEST.tsv.

    Every data set is read at one commit. Complete files are not downloaded again, so an interrupted run continues when
    the same command is run again. A data set or archive that cannot be fetched does not stop the others.

    Args:
        tasks: specs of targets and training sets; for each language the first source that has it is used.
        to: the folder; data sets are in ``to/org/name``, raw files below ``to/raw``.
        languages: two-letter codes; None: all languages of targets, and English for training sets.
        splits: ``test``, ``dev``, ``train``; None: all splits of each spec.
        progress: show progress bars.
        say: called with messages for the user (specs left out, counts that differ).
        archives: ``PATH_OR_URL[#sha256=HEX|#md5=HEX]``, each used instead of the download with the same name.

    Raises:
        UsageError: no download has the name of one of ``archives``.
        DataError: nothing of the requested data can be fetched.
        Incomplete: some of it cannot be fetched; the rest is in the folder.
        OutputError: the disk is full, or the folder cannot be written.
    """
    needs = list_needs(tasks, languages, splits, say)
    problems = needs.problems
    chosen = raw_files.resolve_files(needs.raw, archives)
    rows = fetch_hub(needs.hub, to, progress, problems)
    rows += raw_files.fetch_raw(needs.raw, chosen, to, progress, problems)
    for row in rows:
        if row["status"].startswith(row_counts.DIFFERS):
            name = " ".join((row["hub_id"], row["config"], row["split"]))
            say(f"{name}: {row['status'].removeprefix(UNKNOWN + ': ')}.")
    problems = list(dict.fromkeys(problems))  # a missing config is missing for every split
    if tasks and not rows:
        raise DataError("\n".join(problems) or "Nothing to fetch: no task has the requested languages and splits.")
    if problems:
        raise Incomplete(
            "\n".join([*problems, f"The rest is in {to}; fix these problems and run the same command again."])
        )
    return rows
