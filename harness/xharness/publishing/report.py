"""Tables and sentences of `xharness publish`: what would be sent, and what was."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tabulate import tabulate

from xharness.hub.repository import address
from xharness.publishing.plan import PublishPlan
from xharness.publishing.send import PublishResult
from xharness.text import format_bytes, strip_controls


def _file_states(plan: PublishPlan) -> dict[str, str]:
    """Return path -> new, changed, same or removed; "to send" if the Hub could not be reached."""
    difference = plan.difference
    word = "new" if plan.compared else "to send"
    states = {file.path: word for file in difference.new} | {file.path: "changed" for file in difference.changed}
    states |= {file.path: "same" for file in difference.same} | dict.fromkeys(difference.deleted, "removed")
    return dict(sorted(states.items()))


def plan_table(plan: PublishPlan) -> str:
    """Return a table of the files, with what would happen to each, and a summary line."""
    bundle = plan.bundle
    sizes = {file.path: format_bytes(file.size) for file in bundle.files}
    rows = [[path, sizes.get(path, ""), state] for path, state in _file_states(plan).items()]
    table = tabulate(rows, headers=["file", "size", ""], disable_numparse=True)
    return strip_controls(f"{table}\n\n{_summary(plan)}")


def _summary(plan: PublishPlan) -> str:
    """Return the plan in one line."""
    bundle, target, to_send = plan.bundle, plan.target, plan.difference.to_send
    to = address(bundle.repo) + (f" ({target.branch})" if target.branch else "")
    if target.create_pr:
        to += f", pull request {plan.pull_request.url}" if plan.pull_request is not None else ", as a new pull request"
    total = f"{len(bundle.files)} files, {format_bytes(bundle.size)}"
    if plan.is_empty:
        return f"nothing to change: {total}, all at {to}"
    if not plan.difference:
        return f"no file to send: {total}, all at {to}"
    size = format_bytes(sum(file.size for file in to_send))
    return f"to send: {len(to_send)} files, {size} (of {total}), to {to}"


def plan_notes(plan: PublishPlan) -> list[str]:
    """Return remarks for the user before anything is sent."""
    target, kept = plan.target, [path for path in plan.difference.kept if path != ".gitattributes"]
    notes = [*plan.bundle.notes, *plan.notes]
    if kept:
        notes.append(f"kept in the repository: {', '.join(kept[:8])}{' ...' if len(kept) > 8 else ''}")
    if plan.creates_tag:
        notes.append(f"the tag '{target.tag}' will be created")
    if plan.adds_to_collection:
        notes.append(f"the repository will be added to the collection '{target.collection}'")
    return [strip_controls(note) for note in notes]


def plan_json(plan: PublishPlan) -> dict[str, Any]:
    """Return the plan as `--json` prints it."""
    bundle = plan.bundle
    by_path = {file.path: file for file in bundle.files}
    return {
        "repo": bundle.repo,
        "url": address(bundle.repo),
        "folder": bundle.folder.name,
        "content_hash": bundle.checkpoint.content_hash,
        "compared": plan.compared,
        "at": plan.repo_state.sha if plan.repo_state is not None else None,
        "pull_request": plan.pull_request.url if plan.pull_request is not None else None,
        "target": asdict(plan.target),
        "files": [
            {
                "path": path,
                "state": state,
                "size": by_path[path].size if path in by_path else None,
                "sha256": by_path[path].sha256 if path in by_path else None,
            }
            for path, state in _file_states(plan).items()
        ],
        "kept": list(plan.difference.kept),
        "bytes": bundle.size,
        "bytes_to_send": sum(file.size for file in plan.difference.to_send),
        "notes": plan_notes(plan),
    }


def result_sentence(plan: PublishPlan, result: PublishResult) -> str:
    """Return in one line what was done, with the address."""
    repo, folder, at = plan.bundle.repo, plan.bundle.folder, result.sha[:12]
    if result.state == "published":
        sentence = f"published: {result.url} at {at} ({result.commit})"
    elif result.state == "proposed":
        sentence = f"proposed: {result.pull_request}"
    elif result.pull_request is not None:
        sentence = f"nothing changed: the pull request {result.pull_request} equals {folder}, at {at}"
    else:
        word = "nothing" if plan.is_empty else "no file"
        sentence = f"{word} changed: {repo} equals {folder}, at {at}"
    tag = f"; tag '{result.tag}'" if result.tag is not None else ""
    return sentence + tag + (f"; in the collection {result.collection}" if result.collection is not None else "")
