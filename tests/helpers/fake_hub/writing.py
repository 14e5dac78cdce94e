"""The routes that change repositories: making them, uploads, commits, branches, tags, settings."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from helpers.fake_hub.discussions import note_commit, open_discussion
from helpers.fake_hub.exchange import ID, KIND, REPOSITORY, Answer, Call, Refused, Route, answer
from helpers.fake_hub.store import LARGE, LOCK, File, Repository, WrongDigest, full_ref, is_large
from helpers.fake_hub.validation import EVAL_RESULTS, card_errors, eval_results_errors, front_matter

_NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_][\w.-]{0,95}(?<![.-])")
ATTRIBUTES = "".join(f"*{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in LARGE)


def _named(call: Call) -> tuple[dict[str, Any], Repository]:
    """Return what is asked of a repository that the user may make or delete, and where it lies."""
    user = call.login()
    asked = call.json()
    kind = asked.get("type") or "model"
    namespace = asked.get("organization") or user.name
    if not user.may_write(namespace):
        raise Refused(403, message=f'You don\'t have the rights to create a {kind} under the namespace "{namespace}"')
    call.need_write_token()
    if not _NAME.fullmatch(asked["name"]):
        raise Refused(400, message=f"Invalid repo name: {asked['name']}")
    return asked, call.hub.place(f"{kind}s", f"{namespace}/{asked['name']}")


def create(call: Call) -> Answer:
    asked, repository = _named(call)
    url = call.hub.url(repository)
    with LOCK:
        if repository.exists:
            raise Refused(409, message=f"You already created this {repository.kind[:-1]} repo", url=url)
        repository.change(private=asked.get("visibility") == "private")
        repository.commit({".gitattributes": ATTRIBUTES}, title="initial commit", author=call.login().name)
    return answer({"url": url, "name": repository.name, "id": repository.name})


def delete(call: Call) -> Answer:
    _, repository = _named(call)
    call.repository(repository.kind, repository.name)
    repository.delete()
    return answer({})


def settings(call: Call, kind: str, name: str) -> Answer:
    repository = call.writable(kind, name)
    asked = call.json()
    changes = {"gated": asked["gated"]} if "gated" in asked else {}
    if "visibility" in asked:
        changes["private"] = asked["visibility"] == "private"
    repository.change(**changes)
    return answer(changes)


def validate_yaml(call: Call) -> Answer:
    content = call.json()["content"]
    errors = [{"message": message} for message in card_errors(content)]
    warnings = [] if errors or front_matter(content) else [{"message": "empty or missing yaml metadata in repo card"}]
    return answer({"errors": errors, "warnings": warnings}, 400 if errors else 200)


def _for_upload(call: Call, kind: str, name: str, revision: str) -> Repository:
    """Return the repository; for a new pull request it is enough that the user is known and may read it."""
    if call.flag("create_pr"):
        call.login()
        return call.repository(kind, name)
    return call.writable(kind, name, revision)


def preupload(call: Call, kind: str, name: str, revision: str) -> Answer:
    repository = _for_upload(call, kind, name, revision)
    there = repository.tree(repository.resolve(revision) or "")
    modes = []
    for file in call.json()["files"]:
        path = file["path"]
        mode = {"path": path, "uploadMode": "lfs" if is_large(path, file["size"]) else "regular", "shouldIgnore": False}
        modes.append(mode | ({"oid": there[path].digest} if path in there else {}))
    return answer({"files": modes})


def lfs_batch(call: Call, name: str, kind: str = "models") -> Answer:
    asked = call.json()
    if "ref" in asked:  # the client leaves it out for a new pull request
        repository = call.writable(kind, name, asked["ref"]["name"])
    else:
        call.login()
        repository = call.repository(kind, name)
    objects = []
    for wanted in asked["objects"]:
        found: dict[str, Any] = {"oid": wanted["oid"], "size": wanted["size"]}
        if not repository.content(wanted["oid"]).is_file():
            path = f"/lfs/{kind}/{name}/{wanted['oid']}"
            key = call.hub.sign(f"{path} {wanted['size']}")
            href = f"{call.hub.endpoint}{path}?size={wanted['size']}&key={key}"
            found |= {"authenticated": True, "actions": {"upload": {"href": href, "header": {}}}}
        objects.append(found)
    return answer({"transfer": "basic", "objects": objects})


def upload(call: Call, kind: str, name: str, oid: str) -> Answer:
    size = call.asked("size")
    if call.asked("key") != call.hub.sign(f"{call.path} {size}"):
        raise Refused(403, message="SignatureDoesNotMatch")
    if call.body.size != int(size) or call.fault.corrupt:
        raise Refused(400, message="BadDigest: not the bytes that were announced")
    try:
        call.hub.place(kind, name).keep_large(call.body.pieces(), oid)
    except WrongDigest:
        raise Refused(400, message="BadDigest: not the bytes that were announced") from None
    return Answer(headers={"ETag": f'"{oid}"'})


def commit(call: Call, kind: str, name: str, revision: str) -> Answer:
    repository = _for_upload(call, kind, name, revision)
    lines = [json.loads(line) for line in call.body.read().splitlines() if line.strip()]
    header = lines[0]["value"]
    with LOCK:
        head = repository.resolve(revision)
        ref = full_ref(revision)
        if repository.record["refs"].get(ref) != head or (head is None and revision != "main"):
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if call.fault.stale:
            other = {"elsewhere.txt": f"changed after {head}\n"}
            head = repository.commit(other, revision, title="Somebody else's commit", author="somebody")
        parent = _parent(repository, header.get("parentCommit"), head or "", call.flag("create_pr"))
        tree = _apply(repository, lines[1:], repository.tree(parent))
        user = call.login().name
        number = None
        if call.flag("create_pr"):
            number = open_discussion(repository, user, header["summary"], header["description"], base=parent, onto=ref)
            ref = f"refs/pr/{number}"
        sha = repository.advance(
            ref, tree, parent, title=header["summary"], description=header["description"], author=user
        )
        note_commit(repository, ref, sha, user, header["summary"])
    done = {
        "success": True,
        "commitOid": sha,
        "commitUrl": f"{call.hub.url(repository)}/commit/{sha}",
        "hookOutput": "",
    }
    return answer(done | ({"pullRequestUrl": f"{call.hub.url(repository)}/discussions/{number}"} if number else {}))


def _parent(repository: Repository, wanted: str | None, head: str, pull: bool) -> str:
    if not wanted or head.startswith(wanted):
        return head
    if pull and repository.resolve(wanted):
        return wanted
    raise Refused(412, message="A commit has happened since. Please refresh and try again.")


def _apply(repository: Repository, operations: list[dict[str, Any]], tree: dict[str, File]) -> dict[str, File]:
    """Return the files after the operations of a commit.

    Raises:
        Refused: one of them cannot be done; objects that were kept on the way belong to no commit.
    """
    for operation in operations:
        key, value = operation["key"], operation["value"]
        path = value["path"].rstrip("/")
        if key == "file":
            tree[path] = _regular(repository, path, value["content"])
        elif key == "lfsFile":
            content = repository.content(value["oid"])
            if not content.is_file() or content.stat().st_size != value.get("size", content.stat().st_size):
                raise Refused(400, message=f"{path}: LFS object {value['oid']} was not uploaded")
            tree[path] = repository.large(value["oid"], content.stat().st_size)
        elif key in ("deletedFile", "deletedFolder"):
            gone = [p for p in tree if p == path or (key == "deletedFolder" and p.startswith(f"{path}/"))]
            if not gone:
                raise Refused(404, "EntryNotFound", f"A file with this name doesn't exist: {path}")
            for p in gone:
                del tree[p]
        else:
            raise Refused(400, message=f"unknown operation {key}")
    return tree


def _regular(repository: Repository, path: str, content: str) -> File:
    try:
        data = base64.b64decode(content, validate=True)
    except binascii.Error:
        raise Refused(400, message=f"{path}: the content is not base64") from None
    if is_large(path, len(data)):
        raise Refused(400, message=f"{path}: this file must be uploaded with LFS")
    if path == "README.md" or EVAL_RESULTS.fullmatch(path):
        check = card_errors if path == "README.md" else eval_results_errors
        if errors := check(data.decode("utf-8", errors="replace")):
            raise Refused(400, message=f"{path}: " + "; ".join(errors).replace("\n", " "))
    return repository.keep(path, data)


def create_branch(call: Call, kind: str, name: str, branch: str) -> Answer:
    repository = call.writable(kind, name)
    start = (call.json() or {}).get("startingPoint") or "main"
    return _create_ref(call, repository, full_ref(branch), start)


def create_tag(call: Call, kind: str, name: str, revision: str) -> Answer:
    repository = call.writable(kind, name)
    return _create_ref(call, repository, full_ref(call.json()["tag"], tag=True), revision)


def _create_ref(call: Call, repository: Repository, ref: str, revision: str) -> Answer:
    with LOCK:
        _, sha = call.at(repository.kind, repository.name, revision)
        if ref in repository.record["refs"]:
            raise Refused(409, message=f"Reference {ref} already exists")
        repository.point(ref, sha)
    return answer({"ref": ref, "targetCommit": sha}, 201)


def delete_ref(call: Call, kind: str, name: str, what: str, revision: str) -> Answer:
    repository = call.writable(kind, name)
    ref = full_ref(revision, tag=what == "tag")
    with LOCK:
        if ref not in repository.record["refs"]:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if ref == "refs/heads/main":
            raise Refused(403, message="The main branch cannot be deleted")
        repository.point(ref, None)
    return answer({})


ROUTES: list[Route] = [
    ("POST", r"/api/repos/create", create),
    ("DELETE", r"/api/repos/delete", delete),
    ("POST", r"/api/validate-yaml", validate_yaml),
    ("PUT", rf"{REPOSITORY}/settings", settings),
    ("POST", rf"{REPOSITORY}/preupload/(?P<revision>[^/]+)", preupload),
    ("POST", rf"/(?:(?P<kind>datasets|spaces)/)?{ID}\.git/info/lfs/objects/batch", lfs_batch),
    ("PUT", rf"/lfs/{KIND}/{ID}/(?P<oid>[0-9a-f]{{64}})", upload),
    ("POST", rf"{REPOSITORY}/commit/(?P<revision>[^/]+)", commit),
    ("POST", rf"{REPOSITORY}/branch/(?P<branch>[^/]+)", create_branch),
    ("POST", rf"{REPOSITORY}/tag/(?P<revision>[^/]+)", create_tag),
    ("DELETE", rf"{REPOSITORY}/(?P<what>branch|tag)/(?P<revision>[^/]+)", delete_ref),
]
