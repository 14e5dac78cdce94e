"""Convert a row into an example: columns and labels by name, answer offsets checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from xharness.data.examples import Bitext, Candidate, Choice, Example, Pair, Query, Question, Tagged
from xharness.errors import DataError
from xharness.tasks.dataset_spec import DataSpec

Row = dict[str, Any]
Converter = Callable[[Row, int], Example]
"""Turns a row and its number into an example."""


def converter(
    spec: DataSpec,
    columns: dict[str, str],
    features: Any,
    where: str,
    answers_of: Mapping[str, tuple[str, ...]] | None = None,
) -> Converter:
    """Return the function that converts (row, its number) into an example.

    Args:
        spec: gives the kind, the labels and their map.
        columns: canonical field -> column.
        features: column -> type in the table; label names are read from it.
        where: how messages refer to the table.
        answers_of: ranking: query id -> ids of the correct candidates, if the candidates name their queries.

    Raises:
        DataError: raised by the returned function: an unknown label, a missing text, words without tags.
    """
    match spec.kind:
        case "classification":
            return _pair_converter(spec, columns, features, where)
        case "tagging":
            return _tagging_converter(spec, columns, features, where)
        case "span_qa":
            return _question_converter(spec, columns, where)
        case "multiple_choice":
            return _choice_converter(spec, columns, features, where)
        case "mining" | "ranking":
            return _query_converter(spec, columns, where, answers_of or {})
        case _:
            return _bitext_converter(spec, columns, where)


def _example_ids(columns: Mapping[str, str]) -> Callable[[Row, int], str]:
    """Return the function that gives (row, its number) an id: the value of the id column, else the number."""
    column = columns.get("id")
    return lambda row, number: str(row[column]) if column else str(number)


def _pair_converter(spec: DataSpec, columns: dict[str, str], features: Any, where: str) -> Converter:
    id_of, text = _example_ids(columns), _texts(spec, where)
    a, b, label = columns["text_a"], columns["text_b"], columns["label"]
    to_label = _labels(spec, features.get(label), label, where)
    return lambda row, i: Pair(id_of(row, i), text(row, a, i), text(row, b, i), to_label(row[label], i))


def _tagging_converter(spec: DataSpec, columns: dict[str, str], features: Any, where: str) -> Converter:
    id_of = _example_ids(columns)
    words, tags = columns["tokens"], columns["tags"]
    to_tag = _labels(spec, getattr(features.get(tags), "feature", None), tags, where)

    def convert(row: Row, i: int) -> Tagged:
        for column in (words, tags):
            if not isinstance(row[column], list):
                raise DataError(f"{spec.name}: {where}: row {i} has no list in '{column}' ({row[column]!r}).")
        if wrong := [word for word in row[words] if not isinstance(word, str)]:
            raise DataError(f"{spec.name}: {where}: row {i} has a word in '{words}' that is not text ({wrong[0]!r}).")
        if len(row[words]) != len(row[tags]):
            raise DataError(f"{spec.name}: {where}: row {i} has {len(row[words])} words and {len(row[tags])} tags.")
        return Tagged(id_of(row, i), tuple(row[words]), tuple(to_tag(tag, i) for tag in row[tags]))

    return convert


def _question_converter(spec: DataSpec, columns: dict[str, str], where: str) -> Converter:
    id_of, text = _example_ids(columns), _texts(spec, where)
    question, context, answers = columns["question"], columns["context"], columns["answers"]
    return lambda row, i: _question(
        id_of(row, i),
        text(row, question, i),
        text(row, context, i),
        stored_answers(row, answers, i, f"{spec.name}: {where}"),
    )


def _choice_converter(spec: DataSpec, columns: dict[str, str], features: Any, where: str) -> Converter:
    id_of, text = _example_ids(columns), _texts(spec, where)
    context, question, label = columns["context"], columns["question"], columns["label"]
    to_label = _labels(spec, features.get(label), label, where)
    choices = _choices(spec, where)

    def convert(row: Row, i: int) -> Choice:
        context_text, question_text = text(row, context, i), text(row, question, i)
        listed = choices(row, i, context_text, question_text)
        return Choice(id_of(row, i), context_text, question_text, listed, to_label(row[label], i))

    return convert


def _query_converter(
    spec: DataSpec, columns: dict[str, str], where: str, answers_of: Mapping[str, tuple[str, ...]]
) -> Converter:
    id_of, text = _example_ids(columns), _texts(spec, where)
    body, targets = columns["text"], columns.get("targets")
    return lambda row, i: Query(
        id_of(row, i),
        text(row, body, i),
        tuple(map(str, row[targets])) if targets else answers_of.get(id_of(row, i), ()),
    )


def _bitext_converter(spec: DataSpec, columns: dict[str, str], where: str) -> Converter:
    id_of, text = _example_ids(columns), _texts(spec, where)
    other, english = columns["text"], columns["english"]
    # Lines in the Hub's google/xtreme end in a newline.
    return lambda row, i: Bitext(id_of(row, i), text(row, other, i).strip(), text(row, english, i).strip())


def candidate_converter(spec: DataSpec, columns: dict[str, str], where: str) -> Callable[[Row, int], Candidate]:
    """Return the function that converts (row, its number) into a candidate; see ``converter``."""
    text = _texts(spec, where)
    return lambda row, number: Candidate(str(row[columns["id"]]), text(row, columns["text"], number))


def _texts(spec: DataSpec, where: str) -> Callable[[Row, str, int], str]:
    """Return the function that reads a text from (row, column, row number); it raises DataError if there is none."""

    def text(row: Row, column: str, number: int) -> str:
        value = row[column]
        if not isinstance(value, str):
            raise DataError(f"{spec.name}: {where}: row {number} has no text in '{column}' ({value!r}).")
        return value

    return text


def _choices(spec: DataSpec, where: str) -> Callable[[Row, int, str, str], tuple[str, ...]]:
    """Return the function that reads the choices of (row, its number, context, question), in label order."""
    listed = spec.choice_list
    if listed is None:
        text = _texts(spec, where)
        return lambda row, number, *_: tuple(text(row, column, number) for column in spec.choices)

    def read_list(row: Row, number: int, column: str) -> list[str]:
        value: Any = row
        for part in column.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if not isinstance(value, list) or any(not isinstance(item, str) for item in value):
            raise DataError(f"{spec.name}: {where}: row {number} has no list of texts in '{column}' ({value!r}).")
        if len(value) != len(spec.labels):
            raise DataError(
                f"{spec.name}: {where}: row {number} has {len(value)} texts in '{column}', expected "
                f"{len(spec.labels)}, one for each label."
            )
        return value

    def choices(row: Row, number: int, context: str, question: str) -> tuple[str, ...]:
        texts = read_list(row, number, listed.column)
        if listed.names is not None:
            names = [spec.label_map.get(name, name) for name in read_list(row, number, listed.names)]
            if sorted(names) != sorted(spec.labels):
                raise DataError(
                    f"{spec.name}: {where}: row {number} names its choices {', '.join(names)} in '{listed.names}', "
                    f"expected {', '.join(spec.labels)}."
                )
            texts = [texts[names.index(label)] for label in spec.labels]
        prefix = listed.prefix.format(context=context, question=question)
        return tuple(prefix + choice if prefix.strip() else choice for choice in texts)

    return choices


def stored_label(feature: Any, value: Any) -> str:
    """Return a label as stored: its name if the column's type has label names, else its text."""
    names: list[str] | None = getattr(feature, "names", None)
    return names[value] if names is not None and isinstance(value, int) and 0 <= value < len(names) else str(value)


def _labels(spec: DataSpec, feature: Any, column: str, where: str) -> Callable[[Any, int], str]:
    """Return the function that maps (stored label, row number) to the canonical label, by name."""
    known = set(spec.labels)

    def convert(value: Any, row: int) -> str:
        if value is None or isinstance(value, list | dict):
            raise DataError(f"{spec.name}: {where}: row {row} has no label in '{column}' ({value!r}).")
        name = stored_label(feature, value)
        name = spec.label_map.get(name, name)
        if name not in known and not (spec.infers_labels and name):
            raise DataError(
                f"{spec.name}: {where}: row {row} has the label '{name}', which is not one of "
                f"{', '.join(spec.labels)}. If it is another name of one of these, add it to 'label_map' in the spec."
            )
        return name

    return convert


def _question(name: str, question: str, context: str, answers: list[tuple[str, int]]) -> Question:
    starts = [
        start if occurs_at(context, text, start) else nearest_occurrence(context, text, start)
        for text, start in answers
    ]
    return Question(name, question, context, tuple(text for text, _ in answers), tuple(starts))


def stored_answers(row: Row, column: str, number: int, where: str) -> list[tuple[str, int]]:
    """Return the answers of a row as stored: (text, start).

    Raises:
        DataError: they are not two lists ``text`` and ``answer_start`` of equal length, of texts and of integers.
    """
    stored = row[column]
    texts, starts = (stored.get("text"), stored.get("answer_start")) if isinstance(stored, dict) else (None, None)
    if not isinstance(texts, list) or not isinstance(starts, list):
        shown = repr(stored)[:100]
        problem = f"has no lists 'text' and 'answer_start' in '{column}' ({shown})"
    elif len(texts) != len(starts):
        problem = f"has {len(texts)} texts and {len(starts)} starts in '{column}'"
    elif wrong := [text for text in texts if not isinstance(text, str)]:
        problem = f"has an answer in '{column}.text' that is not text ({wrong[0]!r})"
    elif odd := [start for start in starts if not isinstance(start, int) or isinstance(start, bool)]:
        problem = f"has a start in '{column}.answer_start' that is not an integer ({odd[0]!r})"
    else:
        return list(zip(texts, starts, strict=True))
    raise DataError(f"{where}: row {number} {problem}.")


def occurs_at(context: str, text: str, start: int) -> bool:
    """Return whether a text occurs in a context at this offset."""
    return start >= 0 and context.startswith(text, start)


def nearest_occurrence(context: str, text: str, start: int) -> int:
    """Return the offset of the occurrence of ``text`` nearest to ``start`` (the earlier of two); -1 if none.

    Copies on the Hub strip contexts without moving ``answer_start`` (XQuAD zh: 100 of 1,190 rows).

    >>> nearest_occurrence("ab ab", "ab", 2)
    3
    """
    offsets = []
    offset = context.find(text)
    while offset >= 0 and text:
        offsets.append(offset)
        offset = context.find(text, offset + 1)
    return min(offsets, key=lambda o: (abs(o - start), o), default=-1)
