"""Vectors of many texts: equal to the bare model's, made once and gone on with, centered and whitened by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from helpers.oracle import use_oracle
from xharness.errors import ModelError, OutputError
from xharness.evaluation.retrieval import embeddings
from xharness.evaluation.retrieval.embeddings import EmbeddingJob
from xharness.models import inference
from xharness.models import loading as models_loading
from xharness.models.kinds import embedding
from xharness.models.kinds.base import Context
from xharness.tasks.inputs import RetrievalInput

TEXTS = ["Wo ist der nächste Bahnhof?", "Es ist heute kalt.", "", " Diesen Film habe ich schon gesehen. ", "kalt"]


class Bar:
    """Counts what a bar is moved on by."""

    n = 0

    def update(self, by: float) -> None:
        self.n += by

    def set_postfix_str(self, *_: Any, **__: Any) -> None:
        pass


@pytest.fixture(scope="module")
def path(tiny_checkpoint):
    return tiny_checkpoint("encoder")


@pytest.fixture(scope="module")
def encoder(path):
    return models_loading.load(
        path, embedding.KIND, name="tiny", device=torch.device("cpu"), dtype="float32", pooling="pooler"
    )


@pytest.fixture
def embed(encoder, tmp_path):
    def run(job: EmbeddingJob, budget: int = 4096, **settings: Any) -> np.ndarray:
        given = RetrievalInput(layer={"default": "last"}, **settings)
        context = Context(encoder.tokenizer, given.max_length, given, layers=job.layers)
        run.bar = Bar()
        embeddings.embed(job, tmp_path / "v", encoder, context, budget, run.bar)
        found = [embeddings.open_vectors(tmp_path / "v", job.name, job.digest, n) for n in job.kept_layers]
        assert all(isinstance(each, np.memmap) for each in found)
        return np.stack(found, axis=1)

    return run


JOB = EmbeddingJob("de-test", TEXTS, "d", (0, 1, 2), "float32", unit=False)


def bare(path: Path, texts: list[str], special: bool = True, pooling: str = "mean") -> np.ndarray:
    """Return [texts, layers, width] as transformers alone gives them, one text at a time."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    model = transformers.AutoModel.from_pretrained(path).eval()
    rows = []
    for text in texts:
        with torch.no_grad():
            output = model(**tokenizer(text.strip(), return_tensors="pt"), output_hidden_states=True)
        if pooling == "pooler":
            rows.append(output.pooler_output)
            continue
        states = torch.stack(output.hidden_states)[:, 0]
        if pooling == "cls":
            rows.append(states[:, 0])
            continue
        inner = states[:, 1:-1] if not special and states.shape[1] > 2 else states
        rows.append(inner.mean(1))
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("pooling", ["mean", "cls", "pooler"])
@pytest.mark.parametrize("special", [True, False])
def test_vectors_are_those_of_the_bare_model(pooling, special, path, embed):
    job = replace(JOB, layers=()) if pooling == "pooler" else JOB
    found = embed(job, pooling=pooling, special_tokens=special)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, bare(path, TEXTS, special, pooling), rtol=1e-4, atol=1e-5)


def test_special_tokens_and_a_prefix_change_the_vectors(path, embed):
    plain = embed(JOB)
    without = embed(replace(JOB, digest="e"), special_tokens=False)
    # A text of nothing keeps its special tokens, and is the only one that stays.
    assert [bool(np.allclose(a, b, atol=1e-4)) for a, b in zip(plain, without, strict=True)] == [0, 0, 1, 0, 0]
    texts = [text for text in TEXTS if text]
    prefixed = embed(replace(JOB, texts=texts, digest="f"), prefix="kalt: ")
    expected = bare(path, [f"kalt: {text.strip()}" for text in texts])
    np.testing.assert_allclose(prefixed, expected, rtol=1e-4, atol=1e-5)


def test_layer_0_is_the_embeddings(path, embed):
    found = embed(replace(JOB, layers=(0,)))
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    model = transformers.AutoModel.from_pretrained(path).eval()
    with torch.no_grad():
        ids = tokenizer(TEXTS[0], return_tensors="pt").input_ids
        expected = model.embeddings(ids)[0].mean(0).numpy()
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-4, atol=1e-5)


def test_unit_length_and_half_precision(embed):
    long = embed(JOB)
    unit = embed(replace(JOB, digest="u", unit=True))
    half = embed(replace(JOB, digest="h", unit=True, stored="float16"))
    np.testing.assert_allclose(unit, long / np.linalg.norm(long, axis=-1, keepdims=True), rtol=1e-5)
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, unit, atol=5e-4)


def test_longer_texts_are_cut(embed):
    short = embed(replace(JOB, texts=["Es ist heute kalt."]), max_length=4)
    long = embed(replace(JOB, texts=["Es ist heute kalt. Wo ist der Bahnhof?"], digest="l"), max_length=4)
    assert np.array_equal(short, long)


# --- Made once ------------------------------------------------------------------------------------------------------


@pytest.fixture
def ran(monkeypatch):
    """Return the numbers of rows that went through the encoder, in chunks of two."""
    forward, rows = inference.forward, []
    monkeypatch.setattr(inference, "forward", lambda *a, **k: (rows.append(len(a[2].rows)), forward(*a, **k))[1])
    monkeypatch.setattr(embeddings, "CHUNK", 2)
    return rows


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((folder / "v").iterdir())}


def interrupted(embed, monkeypatch, job: EmbeddingJob, chunk: int) -> None:
    """Embed until a chunk is done and its vectors are written, but not yet noted down."""
    whole, left = embeddings.files.write_json, [chunk]

    def stop(*given: Any) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        whole(*given)

    with monkeypatch.context() as patch:
        patch.setattr(embeddings.files, "write_json", stop)
        with pytest.raises(KeyboardInterrupt):
            embed(job)


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_a_stopped_job_goes_on_from_the_last_chunk(chunk, embed, ran, monkeypatch, tmp_path):
    embed(JOB)
    uninterrupted = files_of(tmp_path)
    assert ran == [2, 2, 1]
    for path in (tmp_path / "v").iterdir():
        path.unlink()
    interrupted(embed, monkeypatch, JOB, chunk)
    assert embeddings.open_vectors(tmp_path / "v", JOB.name, JOB.digest, 0) is None
    ran.clear()
    embed(JOB)
    assert ran == [2, 2, 1][chunk - 1 :]
    assert files_of(tmp_path) == uninterrupted
    assert embed.bar.n == len(TEXTS)
    ran.clear()
    embed(JOB)
    assert ran == []


@pytest.mark.parametrize(
    ("changes", "budget"),
    [
        ({"digest": "other"}, 4096),
        ({"texts": TEXTS[::-1], "digest": "o"}, 4096),
        ({"texts": TEXTS[:4], "digest": "o"}, 4096),
        ({"layers": (0, 1)}, 4096),
        ({"layers": ()}, 4096),
        ({"stored": "float16"}, 4096),
        ({}, 64),
    ],
)
def test_another_job_begins_anew(changes, budget, embed, ran, monkeypatch, tmp_path):
    interrupted(embed, monkeypatch, JOB, 3)
    ran.clear()
    other = replace(JOB, **changes)
    pooling = "mean" if other.layers else "pooler"
    found = embed(other, budget, pooling=pooling)
    assert sum(ran) == len(other.texts)
    for path in (tmp_path / "v").iterdir():
        path.unlink()
    assert np.array_equal(found, embed(other, budget, pooling=pooling))


def test_a_layer_that_was_left_half_done_is_not_taken_for_whole(embed, ran, monkeypatch, tmp_path):
    interrupted(embed, monkeypatch, replace(JOB, layers=(1,)), 2)
    embed(replace(JOB, layers=(2,)))
    assert (tmp_path / "v" / "de-test.1.npy").is_file()
    assert embeddings.open_vectors(tmp_path / "v", JOB.name, JOB.digest, 1) is None
    assert embeddings.open_vectors(tmp_path / "v", JOB.name, JOB.digest, 2) is not None


@pytest.mark.parametrize("damage", ['{"digest', "[]", ""])
def test_a_damaged_state_begins_anew(damage, embed, ran, tmp_path):
    before = embed(JOB)
    (tmp_path / "v" / "de-test.json").write_text(damage)
    assert np.array_equal(embed(JOB), before)
    assert sum(ran) == 2 * len(TEXTS)


@pytest.mark.parametrize("resumed", [False, True])
def test_a_full_disk_is_told_before_anything_is_written(resumed, embed, ran, monkeypatch, tmp_path):
    big = replace(JOB, texts=TEXTS * 2000, layers=(0,))
    if resumed:
        interrupted(embed, monkeypatch, big, 2)
    usage = embeddings.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(embeddings.shutil, "disk_usage", lambda path: usage)
    ran.clear()
    words = r"the vectors of de-test need 0\.0 GiB, but only 0\.0 GiB are free\. Free disk space"
    with pytest.raises(OutputError, match=words):
        embed(big)
    assert ran == []
    raw = np.ones((10_000, 16), np.float32)
    with pytest.raises(OutputError, match="Free disk space"):
        embeddings.center_and_whiten([(tmp_path / "v" / "c.npy", raw, [10_000])], center=True, whiten=False)


def test_a_folder_that_cannot_be_made(embed, tmp_path):
    (tmp_path / "v").write_text("a file")
    with pytest.raises(OutputError, match="v: vectors cannot be written: File exists"):
        embed(JOB)


def test_a_vector_of_zeros_is_named(embed, monkeypatch):
    use_oracle(monkeypatch, lambda text, layer: [0.0 if text.startswith("Es") and layer == 1 else 1.0])
    with pytest.raises(ModelError, match=r"^Text number 2 of de-test \('Es ist heute kalt\.'\) has a zero vector"):
        embed(JOB)


# --- Centred and whitened -------------------------------------------------------------------------------------------


def sides(tmp_path: Path, stored: str) -> tuple[list[Any], list[np.ndarray]]:
    """Return two sides, the first of two languages, with means far from zero and correlated directions."""
    chance = np.random.default_rng(0)
    mix = chance.normal(size=(6, 6))
    parts = [[40, 25], [50]]
    raw = []
    for sizes in parts:
        raw.append(np.concatenate([chance.normal(size=(n, 6)) @ mix + 3 * chance.normal(size=6) for n in sizes]))
    stored_vectors = [vectors.astype(stored) for vectors in raw]
    names = [tmp_path / f"{n}.npy" for n in range(2)]
    return list(zip(names, stored_vectors, parts, strict=True)), stored_vectors


@pytest.mark.parametrize("block", [7, 65_536])
@pytest.mark.parametrize(("stored", "near"), [("float32", 1e-5), ("float16", 2e-3)])
def test_centring_and_whitening_by_hand(stored, near, block, tmp_path, monkeypatch):
    monkeypatch.setattr(embeddings, "BLOCK", block)
    given, raw = sides(tmp_path, stored)
    split = [raw[0][:40], raw[0][40:], raw[1]]
    split = [vectors.astype(np.float64) for vectors in split]
    centered = [vectors - vectors.mean(0) for vectors in split]
    # Before they are made one long: no mean is left in any language, and no correlation over all.
    means = [embeddings._means(vectors, parts) for _, vectors, parts in given]
    taken = [
        np.concatenate([block for _, block in embeddings._blocks(vectors, mean, parts)])
        for (_, vectors, parts), mean in zip(given, means, strict=True)
    ]
    np.testing.assert_allclose(np.concatenate(taken), np.concatenate(centered), atol=1e-5)
    for vectors in (taken[0][:40], taken[0][40:], taken[1]):
        np.testing.assert_allclose(vectors.mean(0), 0, atol=1e-5)
    for center in (True, False):
        kept = means if center else [None, None]
        turn = embeddings._whitening([(v, m, p) for (_, v, p), m in zip(given, kept, strict=True)])
        turned = np.concatenate(centered if center else split) @ turn
        np.testing.assert_allclose(np.cov(turned.T, bias=True), np.eye(6), atol=1e-4)
        for whiten in (False, True):
            expected = [np.concatenate((centered if center else split)[:2]), (centered if center else split)[2]]
            expected = [vectors @ turn if whiten else vectors for vectors in expected]
            found = embeddings.center_and_whiten(given, center=center, whiten=whiten)
            for made, right in zip(found, expected, strict=True):
                assert (made.dtype, isinstance(made, np.memmap)) == (np.dtype(stored), True)
                np.testing.assert_allclose(made, right / np.linalg.norm(right, axis=1, keepdims=True), atol=near)


def test_directions_without_variance_are_dropped(tmp_path):
    flat = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)  # three points span two directions
    turn = embeddings._whitening([(flat, embeddings._means(flat, [3]), [3])])
    assert np.linalg.matrix_rank(turn, tol=1e-3) == 2
    [found] = embeddings.center_and_whiten([(tmp_path / "x.npy", flat, [3])], center=True, whiten=True)
    # Whitened, three points are the corners of a triangle of equal sides.
    np.testing.assert_allclose(found @ found.T, 1.5 * np.eye(3) - 0.5, atol=1e-5)


@pytest.mark.parametrize("parts", [[3, 1], [4]])
def test_nothing_left_after_centring(parts, tmp_path):
    same = np.ones((4, 6), np.float32)
    with pytest.raises(ModelError, match="leaves a zero vector: a single text, or identical texts"):
        embeddings.center_and_whiten([(tmp_path / "x.npy", same, parts)], center=True, whiten=False)


def test_a_state_says_what_was_run(embed, ran, tmp_path):
    embed(JOB)
    state = json.loads((tmp_path / "v" / "de-test.json").read_text())
    assert {name: state[name] for name in ("texts", "done", "layers")} == {"texts": 5, "done": 5, "layers": [0, 1, 2]}
    assert embeddings.tokens_of(tmp_path / "v", "de-test") == state["tokens"] > 5
