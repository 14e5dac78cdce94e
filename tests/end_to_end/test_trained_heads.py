"""Small encoders trained from scratch on real English data score far above chance through the path of `eval`.

make test-all, or: .venv/bin/python -m pytest tests/end_to_end/test_trained_heads.py -m slow
"""

from __future__ import annotations

from collections import Counter

import pytest

import xharness
from helpers.tiny_models import train_tagger, train_tokenizer
from xharness.data import loading as data_loading
from xharness.tasks.registry import load_task, load_training

STEPS = 800


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "training", "least"),
    # Always saying the most frequent tag gives a token accuracy of about 17 (NOUN), and no entity at all.
    [("udpos-hub", "ud_en", {"token_accuracy": 75.0, "f1": 65.0}), ("panx", "panx_en", {"f1": 40.0})],
)
def test_english_far_above_chance(task, training, least, mirror, tmp_path):
    examples = data_loading.load(load_training(training), "en", "train", mirror).examples[:4000]
    tokenizer = train_tokenizer((" ".join(e.tokens) for e in examples), tmp_path / "tokenizer", vocabulary=8_000)
    checkpoint = train_tagger(tmp_path / "tagger", tokenizer, task, mirror, STEPS)

    found = xharness.evaluate(
        str(checkpoint), targets=task, languages=["en", "de"], data_dir=mirror, output=tmp_path / "runs"
    )

    english = found.tasks[task].languages["en"]
    for metric, value in least.items():
        assert english.scores[metric] > value
    tags = Counter(tag for e in data_loading.load(load_task(task), "en", "test", mirror).examples for tag in e.tags)
    most = 100 * tags.most_common(1)[0][1] / tags.total()
    if "token_accuracy" in least:
        assert english.scores["token_accuracy"] > most + 40
    assert english.n > 1000
    assert not found.tasks[task].complete, "samples and stand-ins are never the benchmark's mean"
