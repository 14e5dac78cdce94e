"""Tables of what would be published and what was."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tabulate import tabulate

from xharness.hub.repository import address
from xharness.publishing.plan import PublishPlan
from xharness.publishing.send import PublishResult
from xharness.text import format_bytes, strip_controls


def _states(plan: PublishPlan) -> dict[str, str]:
    """Return path -> new, changed, same or removed; "to send" where the Hub was not asked."""
    difference = plan.difference
    word = "new" if plan.reached else "to send"
    states = {file.path: word for file in difference.new} | {file.path: "changed" for file in difference.changed}
    states |= {file.path: "same" for file in difference.same} | dict.fromkeys(difference.deleted, "removed")
    return dict(sorted(states.items()))


def plan_table(plan: PublishPlan) -> str:
    """Return what would be sent, file by file, and where it would go."""
    publication = plan.publication
    sizes = {file.path: format_bytes(file.size) for file in publication.files}
    rows = [[path, sizes.get(path, ""), state] for path, state in _states(plan).items()]
    table = tabulate(rows, headers=["file", "size", ""], disable_numparse=True)
    return strip_controls(f"{table}\n\n{_summary(plan)}")


def _summary(plan: PublishPlan) -> str:
    """Return the whole plan in one line."""
    publication, target, sent = plan.publication, plan.target, plan.difference.sent
    to = address(publication.repo) + (f" ({target.branch})" if target.branch else "")
    if target.create_pr:
        to += f", pull request {plan.proposal.url}" if plan.proposal is not None else ", as a new pull request"
    total = f"{len(publication.files)} files, {format_bytes(publication.size)}"
    if plan.has_nothing:
        return f"nothing to change: {total}, all at {to}"
    if not plan.difference:
        return f"no file to send: {total}, all at {to}"
    size = format_bytes(sum(file.size for file in sent))
    return f"to send: {len(sent)} files, {size} (of {total}), to {to}"


def plan_notes(plan: PublishPlan) -> list[str]:
    """Return what is to be known before anything is sent."""
    target, kept = plan.target, [path for path in plan.difference.kept if path != ".gitattributes"]
    notes = [*plan.publication.notes, *plan.notes]
    if kept:
        notes.append(f"kept there: {', '.join(kept[:8])}{' ...' if len(kept) > 8 else ''}")
    if plan.to_tag:
        notes.append(f"the tag '{target.tag}' will be made")
    if plan.to_collect:
        notes.append(f"the repository will be put into the collection '{target.collection}'")
    return [strip_controls(note) for note in notes]


def plan_json(plan: PublishPlan) -> dict[str, Any]:
    """Return the plan for machines."""
    publication = plan.publication
    by_path = {file.path: file for file in publication.files}
    return {
        "repo": publication.repo,
        "url": address(publication.repo),
        "folder": publication.folder.name,
        "content_hash": publication.checkpoint.content_hash,
        "compared": plan.reached,
        "at": plan.repo_state.sha if plan.repo_state is not None else None,
        "pull_request": plan.proposal.url if plan.proposal is not None else None,
        "target": asdict(plan.target),
        "files": [
            {
                "path": path,
                "state": state,
                "size": by_path[path].size if path in by_path else None,
                "sha256": by_path[path].sha256 if path in by_path else None,
            }
            for path, state in _states(plan).items()
        ],
        "kept": list(plan.difference.kept),
        "bytes": publication.size,
        "bytes_to_send": sum(file.size for file in plan.difference.sent),
        "notes": plan_notes(plan),
    }


def outcome_sentence(plan: PublishPlan, outcome: PublishResult) -> str:
    """Return what was done in one line, with the address to look at."""
    repo, at = plan.publication.repo, outcome.sha[:12]
    if outcome.state == "published":
        sentence = f"published: {outcome.url} at {at} ({outcome.commit})"
    elif outcome.state == "proposed":
        sentence = f"proposed: {outcome.pull_request}"
    elif outcome.pull_request is not None:
        sentence = (
            f"nothing changed: the pull request {outcome.pull_request} is as {plan.publication.folder} is, at {at}"
        )
    else:
        word = "nothing" if plan.has_nothing else "no file"
        sentence = f"{word} changed: {repo} is as {plan.publication.folder} is, at {at}"
    tag = f"; tag '{outcome.tag}'" if outcome.tag is not None else ""
    return sentence + tag + (f"; in the collection {outcome.collection}" if outcome.collection is not None else "")
