"""The loopback Hub itself: the unmodified clients write to it, and it goes wrong as it was told to."""

import hashlib
import itertools
import os
import signal
import subprocess
import sys

import pytest

from helpers.fake_hub import TOKEN, ClientError, LoopbackHub
from helpers.paths import TESTS

CARD = "---\nlicense: mit\ntags: [xtreme]\n---\n# Tiny\n"
NUMBERS = itertools.count()
WEIGHTS = bytes(range(256)) * 5000


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as hub:
        hub.user("stranger", "hf_stranger")
        hub.user("reader", "hf_reader", "read", {"org": "write"})
        yield hub


@pytest.fixture(scope="module")
def client(hub, tmp_path_factory):
    with hub.client(tmp_path_factory.mktemp("home"), HF_TOKEN=TOKEN, PYTHONPATH=str(TESTS)) as client:
        client.run(
            """
import warnings
warnings.simplefilter("error", UserWarning)  # what the Hub warns of
from pathlib import Path
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError
api, stranger, reader, nobody = HfApi(), HfApi(token="hf_stranger"), HfApi(token="hf_reader"), HfApi(token=False)

def adds(**files):
    return [CommitOperationAdd(p.replace("__", "."), c.encode() if isinstance(c, str) else c) for p, c in files.items()]

def commit(repo, *operations, by=api, **options):
    files = {k: options.pop(k) for k in list(options) if "__" in k}
    return by.create_commit(repo, [*operations, *adds(**files)], commit_message="A change", **options)

def status(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except HfHubHTTPError as error:
        return error.response.status_code, type(error).__name__, error.server_message
    return 200, None, None
"""
        )
        yield client


@pytest.fixture(autouse=True)
def _fresh(hub):
    hub.requests.clear()
    hub.faults.clear()


@pytest.fixture
def repo(hub, client, request):
    """Return the name of a new repository with one file."""
    name = f"org/{request.node.originalname}-{next(NUMBERS)}"
    client.run("api.create_repo(repo); commit(repo, README__md=card)", repo=name, card=CARD)
    hub.requests.clear()
    return name


def kept(hub, name, kind="models", revision="main"):
    repository = hub.repository(kind, name)
    return {path: file.read_bytes() for path, file in repository.files(repository.resolve(revision)).items()}


def test_a_repository_is_made_written_and_deleted(hub, client):
    assert client.run("result = api.whoami()")["orgs"][0]["name"] == "org"
    url = client.run("result = str(api.create_repo('org/life', private=True))")
    assert url == f"{hub.endpoint}/org/life"
    assert client.run("result = status(api.create_repo, 'org/life')")[0] == 409
    assert client.run("result = str(api.create_repo('org/life', exist_ok=True))") == url
    assert list(kept(hub, "org/life")) == [".gitattributes"]
    done = client.run(
        "done = commit('org/life', README__md=card, model__safetensors=weights, a__json='{}', empty__bin=b'');"
        "result = [done.oid, done.commit_url]",
        card=CARD,
        weights=WEIGHTS,
    )
    life = hub.repository("models", "org/life")
    assert done == [life.resolve("main"), f"{url}/commit/{done[0]}"]
    assert kept(hub, "org/life")["model.safetensors"] == WEIGHTS
    assert kept(hub, "org/life")["README.md"] == CARD.encode()
    large = life.tree(done[0])["model.safetensors"]
    assert large.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert [c["title"] for c in life.history()] == ["A change", "initial commit"]

    # The same again: no byte and no commit.
    hub.requests.clear()
    again = client.run("result = commit('org/life', model__safetensors=weights, a__json='{}').oid", weights=WEIGHTS)
    assert again == done[0]
    assert not hub.sent("PUT", "/lfs/")
    assert not hub.sent("POST", "/commit/")

    client.run("commit('org/life', CommitOperationDelete('a.json'), **{'sub/b__json': '{}', 'sub/c__json': '[]'})")
    assert {"sub/b.json", "sub/c.json"} < set(kept(hub, "org/life")) >= {"model.safetensors"}
    client.run("api.delete_folder('sub', 'org/life')")
    assert sorted(kept(hub, "org/life")) == [".gitattributes", "README.md", "empty.bin", "model.safetensors"]
    assert client.run("result = status(api.delete_file, 'no.json', 'org/life')")[:2] == [
        404,
        "RemoteEntryNotFoundError",
    ]
    client.run("api.delete_repo('org/life')")
    assert client.run("result = status(api.model_info, 'org/life')")[:2] == [404, "RepositoryNotFoundError"]


def test_branches_tags_and_lists_of_several_pages(hub, client, repo, monkeypatch):
    monkeypatch.setattr(hub, "page", 2)
    found = client.run(
        """
api.create_branch(repo, branch="later")
commit(repo, revision="later", **{"deep/er/a__json": "1", "deep/b__json": "2", "c__json": "3"})
api.create_tag(repo, tag="v1", revision="later", tag_message="The first")
result = {
    "tree": [e.path for e in api.list_repo_tree(repo, recursive=True, revision="v1")],
    "top": [e.path for e in api.list_repo_tree(repo, revision="later")],
    "deep": [e.path for e in api.list_repo_tree(repo, "deep", revision="later")],
    "commits": [c.title for c in api.list_repo_commits(repo, revision="v1")],
    "paths": [p.path for p in api.get_paths_info(repo, ["deep", "c.json", "none"], revision="later")],
    "names": [m.id for m in api.list_models(author="org")] + [len(list(api.list_models(search="no such")))],
    "twice": [status(api.create_branch, repo, branch="later")[0], status(api.create_tag, repo, tag="v1")[0]],
    "unknown": status(commit, repo, revision="nowhere", c__json="3")[:2],
    "resolved": api.resolve_revision(repo, revision="v1").resolved,
}
refs = api.list_repo_refs(repo, include_pull_requests=True)
result["refs"] = [[r.ref for r in refs.branches], [r.ref for r in refs.tags], refs.pull_requests]
api.delete_tag(repo, tag="v1")
api.delete_branch(repo, branch="later")
result["main"] = status(api.delete_branch, repo, branch="main")[0]
""",
        repo=repo,
    )
    files = [".gitattributes", "README.md", "c.json", "deep/b.json", "deep/er/a.json"]
    assert found["tree"] == ["deep", "deep/er", *files]
    assert found["top"] == ["deep", *files[:3]]
    assert found["deep"] == ["deep/er", "deep/b.json"]
    assert found["commits"] == ["A change", "A change", "initial commit"]
    assert found["paths"] == ["deep", "c.json"]
    assert repo in found["names"]
    assert found["names"][-1] == 0
    assert found["twice"] == [409, 409]
    assert found["unknown"] == [404, "RevisionNotFoundError"]
    assert len(found["resolved"]) == 40
    assert found["refs"] == [["refs/heads/main", "refs/heads/later"], ["refs/tags/v1"], []]
    assert found["main"] == 403
    assert list(hub.repository("models", repo).record["refs"]) == ["refs/heads/main"]


def test_a_pull_request_is_opened_continued_and_merged(hub, client, repo):
    found = client.run(
        """
opened = commit(repo, by=stranger, create_pr=True, commit_description="Why", a__json="1", w__safetensors=b"w" * 99)
result = {"opened": [opened.pr_num, opened.pr_revision, opened.pr_url]}
commit(repo, by=stranger, revision=opened.pr_revision, b__json="2")
commit(repo, c__json="3")
result["not mine"] = status(commit, repo, by=HfApi(token="hf_stranger"), d__json="4")
result["merge by stranger"] = status(stranger.merge_pull_request, repo, 1)[0]
details = api.get_discussion_details(repo, 1)
result["details"] = [details.status, details.author, details.target_branch, details.conflicting_files]
result["events"] = [e.type for e in details.events]
result["diff"] = details.diff
api.comment_discussion(repo, 1, "Thank you")
api.merge_pull_request(repo, 1)
details = api.get_discussion_details(repo, 1)
result["merged"] = [details.status, details.merge_commit_oid, api.model_info(repo).sha]
draft = api.create_pull_request(repo, "Later")
result["draft"] = [draft.num, draft.status, status(api.merge_pull_request, repo, 2)[0]]
commit(repo, revision="refs/pr/2", a__json="5")
api.change_discussion_status(repo, 2, "open")
commit(repo, a__json="6")
result["conflict"] = [api.get_discussion_details(repo, 2).conflicting_files, status(api.merge_pull_request, repo, 2)[0]]
api.change_discussion_status(repo, 2, "closed")
api.create_discussion(repo, "A question")
of = lambda **options: [d.title for d in api.get_repo_discussions(repo, **options)]
result["lists"] = [of(), of(discussion_status="open"), of(discussion_type="pull_request", author="stranger")]
""",
        repo=repo,
    )
    assert found["opened"] == [1, "refs/pr/1", f"{hub.endpoint}/{repo}/discussions/1"]
    assert found["not mine"][0] == 403
    assert "create_pr=1" in found["not mine"][2]
    assert found["merge by stranger"] == 403
    assert found["details"] == ["open", "stranger", "refs/heads/main", []]
    assert found["events"] == ["comment", "commit", "commit"]
    assert "diff --git a/a.json b/a.json\n--- /dev/null\n+++ b/a.json\n@@ -0,0 +1 @@\n+1" in found["diff"]
    assert "c.json" not in found["diff"]
    assert found["merged"][0] == "merged"
    assert found["merged"][1] == found["merged"][2]
    assert found["draft"] == [2, "draft", 409]
    assert found["conflict"] == [["a.json"], 409]
    assert found["lists"] == [["A change", "Later", "A question"], ["A question"], ["A change"]]
    assert {path: kept(hub, repo)[path] for path in ("a.json", "b.json", "c.json", "w.safetensors")} == {
        "a.json": b"6",
        "b.json": b"2",
        "c.json": b"3",
        "w.safetensors": b"w" * 99,
    }


def test_who_may_read_and_write(hub, client, repo):
    found = client.run(
        """
read = lambda api: status(get_hf_file_metadata, hf_hub_url(repo, "README.md"), token=api.token)[:2]
write = lambda api: status(commit, repo, by=api, a__json="1")[0]
made = lambda api: status(api.create_repo, "org/other")[0]
everybody = [nobody, stranger, reader, api]
unknown = HfApi(token="hf_unknown")
result = {"unknown": [write(unknown), made(unknown), status(unknown.model_info, repo)[0]]}
result |= {"public": [read(a) for a in everybody], "write": [write(a) for a in everybody]}
result["made"] = [made(a) for a in everybody]
api.update_repo_settings(repo, private=True)
result["private"] = [read(a) for a in everybody]
result["check"] = [status(a.auth_check, repo, write=True)[0] for a in everybody]
api.update_repo_settings(repo, private=False, gated="manual")
result["gated"] = [read(a) for a in everybody]
result["listed"] = repo in [m.id for m in nobody.list_models()]
api.update_repo_settings(repo, private=True, gated=False)
result["not listed"] = repo in [m.id for m in nobody.list_models()]
""",
        repo=repo,
    )
    good, lost = [200, None], [404, "RepositoryNotFoundError"]
    assert found["unknown"] == [401, 401, 401]
    assert found["public"] == [good, good, good, good]
    assert found["write"] == [401, 403, 403, 200]
    assert found["made"] == [401, 403, 403, 200]
    assert found["private"] == [[401, "RepositoryNotFoundError"], lost, good, good]
    assert found["check"] == [401, 404, 403, 200]
    assert found["gated"] == [[401, "GatedRepoError"], [403, "GatedRepoError"], good, good]
    assert (found["listed"], found["not listed"]) == (True, False)


def test_collections(hub, client, repo):
    found = client.run(
        """
made = api.create_collection("Ten checkpoints", namespace="org", description="All", exists_ok=True)
again = api.create_collection("Ten checkpoints", namespace="org", exists_ok=True)
for i in range(5):
    api.create_repo(f"{repo}-{i}")
    full = api.add_collection_item(made.slug, f"{repo}-{i}", "model", note="A note")
result = {
    "same": made.slug == again.slug,
    "twice": status(api.add_collection_item, made.slug, f"{repo}-0", "model")[0],
    "exists": len(api.add_collection_item(made.slug, f"{repo}-0", "model", exists_ok=True).items),
    "absent": status(api.add_collection_item, made.slug, "org/absent", "model")[0],
    "items": [[i.item_id, i.note] for i in api.get_collection(made.slug).items][:1],
    "listed": [[c.title, len(c.items)] for c in nobody.list_collections(owner="org", item=f"models/{repo}-4")],
    "others": list(api.list_collections(owner="stranger")),
    "stranger": status(stranger.add_collection_item, made.slug, repo, "model")[0],
}
""",
        repo=repo,
    )
    assert found == {
        "same": True,
        "twice": 409,
        "exists": 5,
        "absent": 404,
        "items": [[f"{repo}-0", "A note"]],
        "listed": [["Ten checkpoints", 4]],
        "others": [],
        "stranger": 403,
    }


def test_cards_and_evaluation_results_are_checked(hub, client, repo):
    index = "model-index: [{name: a, results: [{task: {}, dataset: {type: t, name: n}, metrics: [{type: f1}]}]}]"
    for yaml, fault in [
        ("license: other", '"license_name" is required'),
        ("language: [no]", '"language" must be a string or a list of strings'),
        ("tags: [a", "YAML"),
        (index, '"model-index[0].results[0].task.type" is required'),
        (index, '"model-index[0].results[0].metrics[0].value" is required'),
    ]:
        with pytest.raises(ClientError) as caught:
            client.run("commit(repo, README__md=card)", repo=repo, card=f"---\n{yaml}\n---\n")
        assert "ValueError" in caught.value.kinds
        assert fault in caught.value.message
    with pytest.raises(ClientError, match="empty or missing yaml metadata"):
        # Said again here: what other tests import may have set the filters of warnings anew.
        client.run(
            "warnings.simplefilter('error', UserWarning); commit(repo, README__md='# No metadata')",
            repo=repo,
        )
    results = "result = status(commit, repo, **{'.eval_results/x__yaml': text})"
    for text, fault in [
        ("dataset: {id: org/x}", "must be a list"),
        ("- {dataset: {id: org/x}, value: 1}", "dataset.task_id"),
        ("- {dataset: {id: org/x, task_id: a}, value: true}", "value"),
        ("- {dataset: {id: org/x, task_id: a}, value: 1, date: 2026-11-21}", "date"),
        ("- {dataset: {id: org/x, task_id: a}, value: 1, source: {name: me}}", "source.url"),
    ]:
        status, kind, message = client.run(results, repo=repo, text=text)
        assert (status, kind) == (400, "BadRequestError")
        assert fault in message
    assert len(hub.repository("models", repo).history()) == 2
    good = '- {dataset: {id: org/x, task_id: a}, value: 61.5, date: "2026-11-21"}'
    assert client.run(results, repo=repo, text=good)[0] == 200
    entries = "info = api.model_info(repo, expand=['evalResults', 'cardData']); result = info.eval_results[0].value"
    assert client.run(entries, repo=repo) == 61.5
    assert client.run("result = info.card_data.license") == "mit"


SEND = "result = status(commit, repo, parent_commit=parent, w__safetensors=weights, a__json='1')"


def faulty(hub, client, repo, match, **fault):
    """Return what came of a commit while something goes wrong, and whether the repository stands where it stood."""
    before = hub.repository("models", repo).resolve("main")
    hub.fail(match, **fault)
    try:
        answer = client.run(SEND, repo=repo, parent=before, weights=WEIGHTS)
    except ClientError as error:
        answer = "NetworkError" if "NetworkError" in error.kinds else error.kinds[0]
    assert hub.faults[0].times == 0, "nothing went wrong"
    return answer, hub.repository("models", repo).resolve("main") == before


def test_uploads_that_go_wrong_and_are_tried_again(hub, client, repo):
    done = [200, None, None]
    assert faulty(hub, client, repo, "PUT /lfs/", cut_upload_after=1000) == (done, False)
    assert [r.status for r in hub.requests if r.method == "PUT"] == [200]
    assert not [name for name in os.listdir(hub.repository("models", repo).content("")) if name.startswith(".")]
    assert kept(hub, repo)["w.safetensors"] == WEIGHTS


def test_too_many_requests(hub, client, repo):
    hub.fail("GET .*/resolve/", status=429, headers={"Retry-After": "0"})
    client.run("hf_hub_download(repo, 'README.md', force_download=True)", repo=repo)
    assert [r.status for r in hub.requests if r.method == "GET" and "/resolve/" in r.path] == [429, 200]


@pytest.mark.parametrize(
    ("match", "fault", "answer"),
    [
        ("POST .*/commit/", {"status": 500}, [500, "HfHubHTTPError"]),
        ("POST .*/commit/", {"status": 429, "headers": {"Retry-After": "1"}}, [429, "HfHubHTTPError"]),
        ("POST .*/commit/", {"cut_upload_after": 50}, "NetworkError"),
        ("PUT /lfs/", {"corrupt": True}, "RuntimeError"),
        ("PUT /lfs/", {"status": 403}, "RuntimeError"),
    ],
)
def test_a_commit_that_fails_leaves_everything_as_it_was(hub, client, repo, match, fault, answer):
    found, unchanged = faulty(hub, client, repo, match, **fault)
    assert (found[:2] if isinstance(found, list) else found) == answer
    assert unchanged
    blobs = hub.repository("models", repo).content("")
    if match.startswith("PUT"):
        assert hashlib.sha256(WEIGHTS).hexdigest() not in os.listdir(blobs)
    assert not [name for name in os.listdir(blobs) if name.startswith(".")]
    hub.faults.clear()
    assert client.run(SEND, repo=repo, parent=None, weights=WEIGHTS)[0] == 200
    assert kept(hub, repo)["w.safetensors"] == WEIGHTS


def test_somebody_elses_commit_comes_before(hub, client, repo):
    found, unchanged = faulty(hub, client, repo, "POST .*/commit/", stale=True)
    assert found[0] == 412
    assert not unchanged
    assert sorted(kept(hub, repo)) == [".gitattributes", "README.md", "elsewhere.txt"]
    assert hub.repository("models", repo).history()[0]["author"] == "somebody"
    # A pull request starts from the parent that it names, whatever came after it.
    old = hub.repository("models", repo).history()[1]["id"]
    hub.fail("POST .*/commit/", stale=True)
    client.run("commit(repo, parent_commit=old, create_pr=True, a__json='1')", repo=repo, old=old)
    assert "elsewhere.txt" not in kept(hub, repo, revision="refs/pr/1")
    client.run("api.merge_pull_request(repo, 1)", repo=repo)
    assert sorted(kept(hub, repo)) == [".gitattributes", "README.md", "a.json", "elsewhere.txt"]


def test_the_answer_is_lost_after_the_commit(hub, client, repo):
    found, unchanged = faulty(hub, client, repo, "POST .*/commit/", after=True)
    assert found == "NetworkError"
    assert not unchanged
    assert kept(hub, repo)["w.safetensors"] == WEIGHTS
    hub.requests.clear()
    assert client.run(SEND, repo=repo, parent=None, weights=WEIGHTS)[0] == 200
    assert not hub.sent("POST", "/commit/")


def test_objects_must_be_there_before_the_commit(hub, client, repo):
    code = """
from huggingface_hub._commit_api import _send_commit
operation = CommitOperationAdd("w.safetensors", b"never sent")
operation._upload_mode, operation._should_ignore = "lfs", False
result = status(_send_commit, operations=[operation], files_to_copy={}, commit_message="m", commit_description="",
    repo_type="model", repo_id=repo, headers=api._build_hf_headers(), revision="main")
"""
    found = client.run(code, repo=repo)
    assert found[:2] == [400, "BadRequestError"]
    assert "was not uploaded" in found[2]
    assert "w.safetensors" not in kept(hub, repo)


def test_only_what_was_announced_is_kept(hub, client, repo):
    code = """
from huggingface_hub.lfs import UploadInfo, post_lfs_batch_info
from huggingface_hub.utils import get_session
batch = lambda: post_lfs_batch_info([UploadInfo.from_bytes(b"true bytes")], None, "model", repo)[0][0]
href = batch()["actions"]["upload"]["href"]
put = lambda url, content: get_session().put(url, content=content).status_code
result = [put(href, b"fake bytes"), put(href, b"true"), put(href.replace("key=", "key=0"), b"true bytes")]
result += ["actions" in batch(), put(href, b"true bytes"), "actions" in batch()]
"""
    assert client.run(code, repo=repo) == [400, 400, 403, True, 200, False]


def test_downloads_that_go_wrong(hub, client, repo):
    hub.repository("models", repo).commit({"w.safetensors": WEIGHTS})
    get = "result = Path(hf_hub_download(repo, 'w.safetensors', force_download=True)).read_bytes() == weights"
    hub.fail("GET .*/resolve/.*safetensors", corrupt=True)
    assert client.run(get, repo=repo, weights=WEIGHTS) is False
    assert client.run(get, repo=repo, weights=WEIGHTS) is True
    hub.fail("GET .*/resolve/.*safetensors", slow=0.3)
    took = client.run(
        f"import time; start = time.monotonic(); {get}; result = time.monotonic() - start", repo=repo, weights=WEIGHTS
    )
    assert took > 0.5, "two pieces"
    ranged = """
from huggingface_hub.utils import get_session
url = f"{api.endpoint}/{repo}/resolve/main/w.safetensors"
part = lambda wanted: get_session().get(url, headers={"Range": f"bytes={wanted}"})
first = part("10-19")
result = [first.status_code, list(first.content), first.headers["Content-Range"]]
result += [len(part("1279990-").content), part("1280000-").status_code]
"""
    found = client.run(ranged, repo=repo)
    assert found == [206, list(range(10, 20)), f"bytes 10-19/{len(WEIGHTS)}", 10, 416]


def test_transformers_pushes_and_reads(hub, client, tmp_path):
    code = """
from helpers.tiny_models import checkpoint
folder = checkpoint(Path(to), "classification")
from transformers import AutoModelForSequenceClassification, AutoTokenizer
import torch
warnings.simplefilter("default")
model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
model.push_to_hub("org/pushed", tags=["tiny"])
tokenizer.push_to_hub("org/pushed", create_pr=True)
api.merge_pull_request("org/pushed", 1)
there = AutoModelForSequenceClassification.from_pretrained("org/pushed")
words = AutoTokenizer.from_pretrained("org/pushed")
result = all(torch.equal(a, b) for a, b in zip(model.parameters(), there.parameters(), strict=True))
result = result and words("eins zwei") == tokenizer("eins zwei")
"""
    assert client.run(code, to=str(tmp_path / "tiny")) is True
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md"} < set(kept(hub, "org/pushed"))


def test_datasets_pushes_and_reads(hub, client):
    code = """
import datasets
datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}).push_to_hub("org/rows", "en", split="test")
datasets.Dataset.from_dict({"text": ["c"], "label": [0]}).push_to_hub("org/rows", "sw", split="test")
result = [list(datasets.load_dataset("org/rows", name, split="test")["text"]) for name in ("en", "sw")]
"""
    assert client.run(code) == [["a", "b"], ["c"]]
    assert "en/test-00000-of-00001.parquet" in kept(hub, "org/rows", "datasets")


def test_a_process_of_its_own(tmp_path):
    command = [sys.executable, "-m", "helpers.fake_hub", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(TESTS)})
    with process:
        endpoint = process.stdout.readline().strip()
        code = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1] + '/api/models').read().decode())"
        answer = subprocess.run([sys.executable, "-c", code, endpoint], check=True, capture_output=True, text=True)
        process.send_signal(signal.SIGTERM)
    assert answer.stdout.strip() == "[]"
    assert process.returncode == 0
