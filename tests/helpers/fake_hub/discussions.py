"""Discussions and pull requests: opening, listing, commenting, closing, merging."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from helpers.fake_hub.exchange import REPOSITORY, Answer, Call, Refused, Route, answer
from helpers.fake_hub.store import LOCK, File, Repository, full_ref, moment

_NUMBERED = rf"{REPOSITORY}/discussions/(?P<number>\d+)"


def open_discussion(
    repository: Repository, author: str, title: str, text: str, *, base: str = "", onto: str = "", status: str = "open"
) -> int:
    """Record a discussion, or where there is a base a pull request, and return its number."""
    with LOCK:
        known = repository.record["discussions"]
        pulls = [ref.removeprefix("refs/pr/") for ref in repository.record["refs"] if ref.startswith("refs/pr/")]
        number = max(map(int, [*known, *pulls, "0"])) + 1
        new = {"title": title, "author": author, "status": status, "pull": bool(base), "events": []}
        repository.change(discussions={**known, str(number): {**new, "base": base, "onto": onto}})
        _say(repository, number, author, text)
        return number


def note_commit(repository: Repository, ref: str, sha: str, author: str, title: str) -> None:
    """Add a commit to the events of the pull request that a ref is of, if it is of one."""
    number = ref.removeprefix("refs/pr/")
    if isinstance(repository.record["discussions"].get(number), dict):
        _note(repository, int(number), author, "commit", subject=title, oid=sha)


def _note(repository: Repository, number: int, author: str, kind: str, **data: Any) -> dict[str, Any]:
    with LOCK:
        known = repository.record["discussions"]
        found = known[str(number)]
        # Whatever happens is later than all that happened before it.
        now = moment(sum(len(each["events"]) for each in known.values() if isinstance(each, dict)))
        event = {"id": f"{number:012x}{len(found['events']):012x}", "type": kind, "createdAt": now}
        event |= {"author": {"name": author}, "data": data}
        found["events"].append(event)
        repository.change(discussions=known)
        return event


def _say(repository: Repository, number: int, author: str, text: str) -> dict[str, Any]:
    latest = {"raw": text, "html": text, "updatedAt": moment(number)}
    return _note(repository, number, author, "comment", latest=latest, edited=False, hidden=False)


def _update(repository: Repository, number: int, **values: Any) -> None:
    with LOCK:
        known = repository.record["discussions"]
        known[str(number)] |= values
        repository.change(discussions=known)


def _found(repository: Repository, number: int | str) -> dict[str, Any]:
    found = repository.record["discussions"].get(str(number))
    if found is None:
        raise Refused(404, message=f"Discussion {number} not found")
    if isinstance(found, str):  # a test that needs no more than a pull request of some title
        found = {"title": found, "author": "bot", "status": "open", "pull": True, "events": [], "base": "", "onto": ""}
    return found


def _shown(repository: Repository, number: int | str) -> dict[str, Any]:
    found = _found(repository, number)
    return {
        "title": found["title"],
        "num": int(number),
        "author": {"name": found["author"]},
        "createdAt": moment(int(number)),
        "status": found["status"],
        "repo": {"name": repository.name, "type": repository.kind.removesuffix("s")},
        "isPullRequest": found["pull"],
    }


def listing(call: Call, kind: str, name: str) -> Answer:
    repository = call.repository(kind, name)
    shown = [_shown(repository, number) for number in repository.record["discussions"]]
    found = [
        d
        for d in shown
        if call.asked("type", "all") in ("all", "pull_request" if d["isPullRequest"] else "discussion")
        and call.asked("status", "all") in ("all", "closed" if d["status"] in ("closed", "merged") else "open")
        and call.asked("author", d["author"]["name"]) == d["author"]["name"]
    ]
    start = int(call.asked("p", "0")) * call.hub.page
    return answer({"discussions": found[start : start + call.hub.page], "count": len(found), "start": start})


def details(call: Call, kind: str, name: str, number: str) -> Answer:
    repository = call.repository(kind, name)
    found = _found(repository, number)
    shown = {**_shown(repository, number), "events": found["events"]}
    if found["pull"]:
        before, after = repository.tree(found["base"]), repository.tree(repository.resolve(f"refs/pr/{number}") or "")
        shown["changes"] = {"base": found["onto"], "mergeCommitId": found.get("merge")}
        shown["filesWithConflicts"] = [] if found.get("merge") else merged(repository, found, number)[1]
        if call.flag("diff"):
            shown["diff"] = "".join(_difference(repository, path, before, after) for path in sorted(before | after))
    return answer(shown)


def _difference(repository: Repository, path: str, before: Mapping[str, File], after: Mapping[str, File]) -> str:
    old, new = before.get(path), after.get(path)
    if old == new:
        return ""

    def lines(file: File | None) -> list[str]:
        if file is None or file.sha256:
            return []
        return repository.content(file.oid).read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)

    names = [f"a/{path}" if old else "/dev/null", f"b/{path}" if new else "/dev/null"]
    return f"diff --git a/{path} b/{path}\n" + "".join(difflib.unified_diff(lines(old), lines(new), *names))


def merged(repository: Repository, found: Mapping[str, Any], number: str) -> tuple[dict[str, File], list[str]]:
    """Return the target's files with the changes of a pull request laid over them, and the paths in conflict."""
    base, head = repository.tree(found["base"]), repository.tree(repository.resolve(f"refs/pr/{number}") or "")
    onto = repository.tree(repository.resolve(found["onto"]) or "")
    changed = [path for path in base | head if base.get(path) != head.get(path)]
    conflicts = [path for path in changed if onto.get(path) not in (base.get(path), head.get(path))]
    laid = {p: f for p, f in onto.items() if p not in changed} | {p: head[p] for p in changed if p in head}
    return laid, sorted(conflicts)


def create(call: Call, kind: str, name: str) -> Answer:
    user = call.login()
    repository = call.repository(kind, name)
    asked = call.json()
    with LOCK:
        main = repository.resolve("main") or ""
        of_pull = {"base": main, "onto": full_ref("main"), "status": "draft"} if asked["pullRequest"] else {}
        number = open_discussion(repository, user.name, asked["title"], asked["description"], **of_pull)
        if asked["pullRequest"]:
            repository.point(f"refs/pr/{number}", main)
    return answer({"num": number, "pullRequest": asked["pullRequest"]}, 201)


def comment(call: Call, kind: str, name: str, number: str) -> Answer:
    user = call.login()
    repository = call.repository(kind, name)
    _found(repository, number)
    return answer({"newMessage": _say(repository, int(number), user.name, call.json()["comment"])})


def change_status(call: Call, kind: str, name: str, number: str) -> Answer:
    user = call.login()
    repository = call.repository(kind, name)
    if _found(repository, number)["author"] != user.name:
        call.writable(kind, name)
    asked = call.json()
    if "comment" in asked:
        _say(repository, int(number), user.name, asked["comment"])
    _update(repository, int(number), status=asked["status"])
    return answer({"newStatus": _note(repository, int(number), user.name, "status-change", status=asked["status"])})


def merge(call: Call, kind: str, name: str, number: str) -> Answer:
    repository = call.writable(kind, name)
    user = call.login().name
    with LOCK:
        found = _found(repository, number)
        if not found["pull"] or found["status"] != "open":
            raise Refused(409, message=f"This is not an open pull request: {found['status']}")
        tree, conflicts = merged(repository, found, number)
        if conflicts:
            raise Refused(409, message=f"This pull request has conflicts: {', '.join(conflicts)}")
        parent = repository.resolve(found["onto"]) or ""
        sha = repository.advance(found["onto"], tree, parent, title=f"{found['title']} (#{number})", author=user)
        _update(repository, int(number), status="merged", merge=sha)
        _note(repository, int(number), user, "status-change", status="merged")
    return answer({"mergeCommitId": sha})


ROUTES: list[Route] = [
    ("GET", rf"{REPOSITORY}/discussions", listing),
    ("POST", rf"{REPOSITORY}/discussions", create),
    ("GET", _NUMBERED, details),
    ("POST", rf"{_NUMBERED}/comment", comment),
    ("POST", rf"{_NUMBERED}/status", change_status),
    ("POST", rf"{_NUMBERED}/merge", merge),
]
