"""Tables and sentences of `xharness submit`."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

from xharness.hub.repository import address
from xharness.leaderboard.package import Package
from xharness.leaderboard.submit import MERGED, PROPOSED, SubmitPlan, SubmitResult
from xharness.text import format_bytes, strip_controls


def plan_table(plan: SubmitPlan, package: Package | None) -> str:
    """Format what would be sent and where; ``package`` is None for a withdrawal."""
    upload = plan.upload
    rows = [[file.path, format_bytes(file.size), file.sha256[:12]] for file in upload.files]
    lines = [tabulate(rows, headers=["file", "size", "sha256"], disable_numparse=True), ""]
    if package is not None:
        submission = package.submission
        lines += [
            f"submission: {submission.id} ({submission.name}), by {submission.submitted_by}",
            f"digest: {submission.digest}",
            f"track: {submission.track_label}; selected by {submission.track.selected_by}",
            f"model: {_model(package)}",
        ]
    to = address(plan.repo, "dataset")
    size = f"{len(upload.files)} file{'s' if len(upload.files) > 1 else ''}, {format_bytes(upload.size)}"
    match plan.state:
        case state if state == MERGED:
            lines.append(f"nothing to do: it is on the leaderboard ({to})")
        case state if state == PROPOSED and plan.proposal is not None:
            lines.append(f"nothing to do: pull request {plan.proposal.url} with the same content is open")
        case _:
            lines.append(f"to send: {size}, to {to}, as a new pull request '{upload.title}'")
    return strip_controls("\n".join(lines))


def _model(package: Package) -> str:
    model = package.submission.model
    if model.repo is not None:
        return model.repo + (f" at {model.revision[:12]}" if model.revision else "")
    return f"content {model.content[:12]}" if model.content else "not on the Hub"


def plan_notes(plan: SubmitPlan, package: Package | None) -> list[str]:
    """Return the notes to show before anything is sent."""
    notes = [*(package.notes if package is not None else ()), *plan.notes]
    return [strip_controls(note) for note in notes]


def plan_json(plan: SubmitPlan, package: Package | None) -> dict[str, Any]:
    """Return the plan as JSON."""
    upload = plan.upload
    package_facts = {}
    if package is not None:
        submission = package.submission
        package_facts = {
            "name": submission.name,
            "digest": submission.digest,
            "track": submission.track_label,
            "cells": len(submission.cells),
            "seeds": list(submission.seeds),
        }
    return {
        "repo": plan.repo,
        "url": plan.proposal.url if plan.proposal is not None else address(plan.repo, "dataset"),
        "id": upload.id,
        **package_facts,
        "title": upload.title,
        "compared": plan.reached,
        "there": plan.state,
        "files": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in upload.files],
        "bytes": upload.size,
        "notes": plan_notes(plan, package),
    }


def result_sentence(plan: SubmitPlan, result: SubmitResult) -> str:
    """Format the result in one line, with its URL."""
    if result.state == "proposed":
        return strip_controls(f"proposed: {result.url}")
    if plan.state == MERGED:
        return strip_controls(f"nothing to do: it is on the leaderboard: {result.url}")
    return strip_controls(f"nothing to do: a pull request with the same content is open: {result.url}")
