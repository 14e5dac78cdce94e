"""The routes that only read: who asks, repositories and their lists, files and parts of files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, quote

import yaml

from helpers.fake_hub.exchange import ID, KIND, REPOSITORY, Answer, Call, Refused, Route, answer
from helpers.fake_hub.store import File, Repository, blob_id, moment
from helpers.fake_hub.validation import EVAL_RESULTS, front_matter


def whoami(call: Call) -> Answer:
    user = call.user
    if user is None:
        raise Refused(401, message="Invalid username or password.")
    return answer(
        {
            "type": "user",
            "name": user.name,
            "fullname": user.name,
            "orgs": [{"type": "org", "name": n, "roleInOrg": role} for n, role in user.organisations.items()],
            "auth": {"type": "access_token", "accessToken": {"displayName": "loopback", "role": user.role}},
        }
    )


def auth_check(call: Call, kind: str, name: str, write: str = "") -> Answer:
    repository = call.writable(kind, name) if write else call.repository(kind, name)
    call.ungated(repository)
    return answer({})


def _text(repository: Repository, sha: str, path: str) -> str:
    file = repository.files(sha).get(path)
    return file.read_text(encoding="utf-8") if file else ""


def _described(repository: Repository, sha: str | None) -> dict[str, Any]:
    record = repository.record
    card = (front_matter(_text(repository, sha, "README.md")) or {}) if sha else {}
    history = repository.history(sha) if sha else []
    return {
        "_id": repository.name,
        "id": repository.name,
        "author": repository.name.split("/")[0],
        "sha": sha,
        "private": record["private"],
        "gated": record["gated"],
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        # json, and not what YAML made of it: dates
        "cardData": json.loads(json.dumps(card, default=str)),
        "tags": card.get("tags") or [],
        **{name: card[name] for name in ("library_name", "pipeline_tag") if name in card},
        "lastModified": history[0]["date"] if history else moment(),
        "createdAt": history[-1]["date"] if history else moment(),
    }


def info(call: Call, kind: str, name: str, revision: str = "main") -> Answer:
    repository, sha = call.at(kind, name, revision)
    siblings: list[dict[str, Any]] = []
    for path, file in repository.tree(sha).items():
        siblings.append({"rfilename": path})
        if call.flag("blobs"):
            siblings[-1] |= {"size": file.size, "blobId": file.oid}
            if file.sha256:
                lfs = file.entry(path)["lfs"]
                siblings[-1]["lfs"] = {**lfs, "sha256": lfs["oid"]}
    found = {**_described(repository, sha), "siblings": siblings}
    if "evalResults" in [*call.query.get("expand", []), *call.query.get("expand[]", [])]:
        found["evalResults"] = [
            {"filename": path, "data": entry}
            for path in repository.tree(sha)
            if EVAL_RESULTS.fullmatch(path)
            for entry in json.loads(json.dumps(yaml.safe_load(_text(repository, sha, path)), default=str))
        ]
    return answer(found)


def listing(call: Call, kind: str) -> Answer:
    found = []
    for record in sorted((call.hub.root / kind).glob("*/*/repo.json")):
        name = record.parent.relative_to(call.hub.root / kind).as_posix()
        try:
            repository = call.repository(kind, name)
        except Refused:
            continue
        if call.asked("author", name.split("/")[0]) == name.split("/")[0] and call.asked("search") in name:
            found.append(_described(repository, repository.resolve("main")))
    return call.page(found, min(int(call.asked("limit", "1000")), call.hub.page))


def tree(call: Call, kind: str, name: str, revision: str, path: str = "") -> Answer:
    repository, sha = call.at(kind, name, revision)
    below = f"{path}/" if path else ""
    inside = {p: f for p, f in repository.tree(sha).items() if p.startswith(below)}
    if below and not inside:
        raise Refused(404, "EntryNotFound", f"{path} does not exist")
    entries = [_folder(p, inside) for p in _folders(inside) if len(p) > len(path)]
    entries += [file.entry(p) for p, file in inside.items()]
    if not call.flag("recursive"):
        entries = [e for e in entries if "/" not in e["path"][len(below) :]]
    return call.page(entries)


def _folders(paths: Iterable[str]) -> list[str]:
    return sorted({str(folder) for p in paths for folder in PurePosixPath(p).parents if str(folder) != "."})


def _folder(path: str, files: Mapping[str, File]) -> dict[str, Any]:
    # As in git, a folder has another id where anything below it is another.
    below = [f"{p.removeprefix(path)} {file.oid}" for p, file in sorted(files.items()) if p.startswith(f"{path}/")]
    return {"type": "directory", "path": path, "oid": blob_id("\n".join(below).encode()), "size": 0}


def paths_info(call: Call, kind: str, name: str, revision: str) -> Answer:
    repository, sha = call.at(kind, name, revision)
    if "json" in (call.headers.get("Content-Type") or ""):
        paths = call.json()["paths"]
    else:
        paths = parse_qs(call.body.read().decode()).get("paths", [])
    files = repository.tree(sha)
    folders = set(_folders(files))
    return answer([files[p].entry(p) if p in files else _folder(p, files) for p in paths if p in files or p in folders])


def refs(call: Call, kind: str, name: str) -> Answer:
    known = call.repository(kind, name).record["refs"]

    def below(prefix: str) -> list[dict[str, str]]:
        return [
            {"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": sha}
            for ref, sha in known.items()
            if ref.startswith(prefix)
        ]

    found = {"branches": below("refs/heads/"), "tags": below("refs/tags/"), "converts": below("refs/convert/")}
    return answer({**found, **({"pullRequests": below("refs/pr/")} if call.flag("include_prs") else {})})


def commits(call: Call, kind: str, name: str, revision: str) -> Answer:
    repository, sha = call.at(kind, name, revision)
    return call.page(
        [
            {**{key: c[key] for key in ("id", "title", "message", "date")}, "authors": [{"user": c["author"]}]}
            for c in repository.history(sha)
        ]
    )


def resolve(call: Call, name: str, revision: str, path: str, kind: str = "models") -> Answer:
    repository, sha = call.at(kind, name, revision)
    call.ungated(repository)
    file = repository.tree(sha).get(path)
    if file is None:
        missing = {"X-Repo-Commit": sha, "X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
        return answer({"error": "Entry not found"}, 404, missing)
    # The bytes come from here and not by a redirect: the client follows one to the same host, and then
    # misses X-Repo-Commit.
    headers = {
        "X-Repo-Commit": sha,
        "ETag": f'"{file.digest}"',
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(PurePosixPath(path).name)}",
    }
    if file.sha256:
        headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
    content = repository.content(file.digest)
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", call.headers.get("Range") or "")
    if wanted is None:
        return Answer(headers=headers, file=content, length=file.size)
    start, end = int(wanted[1]), min(int(wanted[2] or file.size - 1), file.size - 1)
    if start >= file.size:
        return Answer(status=416, headers={"Content-Range": f"bytes */{file.size}"})
    headers["Content-Range"] = f"bytes {start}-{end}/{file.size}"
    return Answer(b"", 206, headers, content, start, end - start + 1)


ROUTES: list[Route] = [
    ("GET", r"/api/whoami-v2", whoami),
    ("GET", rf"/api/{KIND}", listing),
    ("GET", REPOSITORY, info),
    ("GET", rf"{REPOSITORY}/auth-check(?:/(?P<write>write))?", auth_check),
    ("GET", rf"{REPOSITORY}/revision/(?P<revision>[^/]+)", info),
    ("GET", rf"{REPOSITORY}/tree/(?P<revision>[^/]+)(?:/(?P<path>.*))?", tree),
    ("GET", rf"{REPOSITORY}/refs", refs),
    ("GET", rf"{REPOSITORY}/commits/(?P<revision>[^/]+)", commits),
    ("POST", rf"{REPOSITORY}/paths-info/(?P<revision>[^/]+)", paths_info),
    ("GET", rf"/(?:(?P<kind>datasets|spaces)/)?{ID}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", resolve),
]
