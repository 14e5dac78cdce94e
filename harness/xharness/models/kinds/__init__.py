"""Registry of the task kinds (`KINDS`)."""

from __future__ import annotations

from xharness.models.kinds import classification, embedding, multiple_choice, span_qa, tagging
from xharness.models.kinds.base import Kind

KINDS: dict[str, Kind] = {
    "classification": classification.KIND,
    "multiple_choice": multiple_choice.KIND,
    "tagging": tagging.KIND,
    "span_qa": span_qa.KIND,
    "retrieval": embedding.KIND,
    "mining": embedding.KIND,
    "ranking": embedding.KIND,
}
