"""`xharness fetch`: fill a data folder for offline use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from xharness.data.fetch import raw_files, row_counts
from xharness.data.fetch.hub_datasets import _fetch_hub
from xharness.data.fetch.requirements import list_needs
from xharness.data.manifest import UNKNOWN, Row
from xharness.errors import DataError, Incomplete
from xharness.tasks.dataset_spec import DataSpec, Split
from xharness.tasks.selection import _to_stderr


def fetch(
    tasks: Sequence[DataSpec],
    to: Path,
    languages: Sequence[str] | None,
    splits: Sequence[Split] | None,
    progress: bool,
    say: Callable[[str], None] = _to_stderr,
    archives: Sequence[str] = (),
) -> list[Row]:
    """Fill a folder with the data of tasks and return the lines of its MANIFEST.tsv that belong to them.

    Every data set is read at one commit. Files that are there whole are not downloaded again, so a run that
    was stopped goes on when the same command is given again. A data set or an archive that cannot be had does not
    stop the others.

    Args:
        tasks: specs of targets and training sets; for each language the first source that has it is used.
        to: the folder; a data set lies in ``to/org/name``, files as published below ``to/raw``.
        languages: two-letter codes; None: all of each target, and English of each training set.
        splits: ``test``, ``dev``, ``train``; None: all that each spec has.
        progress: show a bar.
        say: is given sentences that the user should read (what was left out, counts that differ).
        archives: ``PATH_OR_URL[#sha256=HEX|#md5=HEX]``, each to be used in place of the download of the same name.

    Raises:
        UsageError: one of ``archives`` has the name of no download.
        DataError: nothing of what was asked for can be had.
        Incomplete: some of it cannot be had; the rest is in the folder.
        OutputError: the disk is full, or the folder cannot be written.
    """
    needs = list_needs(tasks, languages, splits, say)
    problems = needs.problems
    chosen = raw_files.replace(needs.raw, archives)
    rows = _fetch_hub(needs.hub, to, progress, problems)
    rows += raw_files.fetch_raw(needs.raw, chosen, to, progress, problems)
    for row in rows:
        if row["status"].startswith(row_counts.DIFFERS):
            place = " ".join((row["hub_id"], row["config"], row["split"]))
            say(f"{place}: {row['status'].removeprefix(UNKNOWN + ': ')}.")
    problems = list(dict.fromkeys(problems))  # a config that is missing is missing for every split
    if tasks and not rows:
        raise DataError("\n".join(problems) or "Nothing to fetch: no task has the languages and splits asked for.")
    if problems:
        raise Incomplete("\n".join([*problems, f"The rest is in {to}; run the same command again after a remedy."]))
    return rows
