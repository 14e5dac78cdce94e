"""Collections: lists of repositories that a namespace shows under a title."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from helpers.fake_hub.exchange import Answer, Call, Refused, Route, answer
from helpers.fake_hub.store import LOCK, moment, write_atomically

_SLUG = r"/api/collections/(?P<slug>[^/]+/[^/]+)"
SHOWN = 4
"""Items of each collection in a list of collections; all are only in the answer about one collection."""


def _all(call: Call) -> list[dict[str, Any]]:
    path = call.hub.root / "collections.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return [c for c in known if not c["private"] or (call.user is not None and call.user.belongs_to(c["namespace"]))]


def _find(call: Call, slug: str) -> dict[str, Any]:
    for collection in _all(call):
        if collection["slug"] == slug:
            return collection
    raise Refused(404, message="Collection not found")


def _keep(call: Call, collection: dict[str, Any]) -> None:
    path = call.hub.root / "collections.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    others = [c for c in known if c["slug"] != collection["slug"]]
    write_atomically(path, json.dumps([*others, collection]))


def _writable(call: Call, namespace: str) -> None:
    if not call.login().may_write(namespace):
        raise Refused(403, message=f'You don\'t have the rights to change collections of "{namespace}"')
    call.need_write_token()


def create(call: Call) -> Answer:
    asked = call.json()
    namespace, title = asked["namespace"], asked["title"]
    _writable(call, namespace)
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    slug = f"{namespace}/{words}-{hashlib.sha1(f'{namespace}/{title}'.encode()).hexdigest()[:24]}"
    with LOCK:
        if any(c["slug"] == slug for c in _all(call)):
            raise Refused(409, message="A collection with this title already exists", slug=slug)
        made = {"slug": slug, "title": title, "owner": {"name": namespace}, "namespace": namespace, "items": []}
        made |= {"lastUpdated": moment(), "private": asked.get("private", False), "theme": "blue", "upvotes": 0}
        made |= {"position": 0, "description": asked.get("description")}
        _keep(call, made)
    return answer(made)


def get(call: Call, slug: str) -> Answer:
    return answer(_find(call, slug))


def listing(call: Call) -> Answer:
    owners, items = call.query.get("owner", []), call.query.get("item", [])
    found = [
        {**{key: value for key, value in c.items() if key != "position"}, "items": c["items"][:SHOWN]}
        for c in _all(call)
        if (not owners or c["namespace"] in owners)
        and (not items or any(f"{i['type']}s/{i['id']}" in items for i in c["items"]))
    ]
    return call.page(found, min(int(call.asked("limit", "1000")), call.hub.page))


def add_item(call: Call, slug: str) -> Answer:
    asked = call.json()
    _writable(call, slug.split("/")[0])
    with LOCK:
        collection = _find(call, slug)
        item = asked["item"]
        if any((i["id"], i["type"]) == (item["id"], item["type"]) for i in collection["items"]):
            raise Refused(409, message="This item is already in the collection")
        call.repository(f"{item['type']}s", item["id"])
        place = len(collection["items"])
        note = {"note": {"text": asked["note"], "html": asked["note"]}} if asked.get("note") else {}
        collection["items"].append({"_id": f"{place:024x}", **item, "position": place, **note})
        _keep(call, collection)
    return answer(collection)


ROUTES: list[Route] = [
    ("POST", r"/api/collections", create),
    ("GET", r"/api/collections", listing),
    ("GET", _SLUG, get),
    ("POST", rf"{_SLUG}/items", add_item),
]
