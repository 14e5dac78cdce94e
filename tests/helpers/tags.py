"""Tags of words, gold and predicted, drawn by hypothesis."""

from hypothesis import strategies as st

UPOS = [
    "ADJ",
    "ADP",
    "ADV",
    "AUX",
    "CCONJ",
    "DET",
    "INTJ",
    "NOUN",
    "NUM",
    "PART",
    "PRON",
    "PROPN",
    "PUNCT",
    "SCONJ",
    "SYM",
    "VERB",
    "X",
]
IOB = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]


@st.composite
def tagged(draw, tags):
    """Gold and predicted tags of one shape, near each other as a model's would be."""
    sentences = st.lists(st.sampled_from(tags), min_size=1, max_size=9)
    golds = draw(st.lists(sentences, min_size=1, max_size=5))
    swap = st.one_of(st.none(), st.none(), st.sampled_from(tags))
    predictions = [[draw(swap) or tag for tag in sentence] for sentence in golds]
    return golds, predictions
