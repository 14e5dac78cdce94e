"""Submitting in words and tables: what would be sent to which leaderboard, and what came of it."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

from xharness.hub.repository import address
from xharness.leaderboard.package import Package
from xharness.leaderboard.submit import MERGED, PROPOSED, SubmitPlan, SubmitResult
from xharness.text import format_bytes, strip_controls


def plan_table(plan: SubmitPlan, package: Package | None) -> str:
    """Return what would be sent, file by file, what it is, and where it would go; ``package`` where it is one."""
    upload = plan.upload
    rows = [[file.path, format_bytes(file.size), file.sha256[:12]] for file in upload.files]
    lines = [tabulate(rows, headers=["file", "size", "sha256"], disable_numparse=True), ""]
    if package is not None:
        submission = package.submission
        lines += [
            f"submission: {submission.id} ({submission.name}), by {submission.submitted_by}",
            f"digest: {submission.digest}",
            f"track: {submission.group}; chosen by {submission.track.selected_by}",
            f"model: {_model(package)}",
        ]
    to = address(plan.repo, "dataset")
    total = f"{len(upload.files)} file{'s' if len(upload.files) > 1 else ''}, {format_bytes(upload.size)}"
    match plan.state:
        case state if state == MERGED:
            lines.append(f"nothing to do: it is on the board ({to})")
        case state if state == PROPOSED and plan.proposal is not None:
            lines.append(f"nothing to do: the pull request {plan.proposal.url} is open with the same content")
        case _:
            lines.append(f"to send: {total}, to {to}, as a new pull request '{upload.title}'")
    return strip_controls("\n".join(lines))


def _model(package: Package) -> str:
    model = package.submission.model
    if model.repo is not None:
        return model.repo + (f" at {model.revision[:12]}" if model.revision else "")
    return f"content {model.content[:12]}" if model.content else "not on the Hub"


def plan_notes(plan: SubmitPlan, package: Package | None) -> list[str]:
    """Return what is to be known before anything is sent."""
    notes = [*(package.notes if package is not None else ()), *plan.notes]
    return [strip_controls(note) for note in notes]


def plan_json(plan: SubmitPlan, package: Package | None) -> dict[str, Any]:
    """Return the plan for machines."""
    upload = plan.upload
    of_package = {}
    if package is not None:
        submission = package.submission
        of_package = {
            "name": submission.name,
            "digest": submission.digest,
            "track": submission.group,
            "cells": len(submission.cells),
            "seeds": list(submission.seeds),
        }
    return {
        "repo": plan.repo,
        "url": plan.proposal.url if plan.proposal is not None else address(plan.repo, "dataset"),
        "id": upload.id,
        **of_package,
        "title": upload.title,
        "compared": plan.reached,
        "there": plan.state,
        "files": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in upload.files],
        "bytes": upload.size,
        "notes": plan_notes(plan, package),
    }


def outcome_sentence(plan: SubmitPlan, outcome: SubmitResult) -> str:
    """Return what was done in one line, with the address to look at."""
    if outcome.state == "proposed":
        return strip_controls(f"proposed: {outcome.url}")
    if plan.state == MERGED:
        return strip_controls(f"nothing to do: it is on the board: {outcome.url}")
    return strip_controls(f"nothing to do: a pull request with the same content is open: {outcome.url}")
