"""Read the original files of BUCC 2018, XQuAD-R (LAReQA) and Mewsli-X."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xharness.data.formats.text import find_plain_or_gzip, read_lines, read_text
from xharness.errors import DataError, did_you_mean

Row = dict[str, Any]
Stored = Iterable[tuple[str, Any]]
"""The location of each stored row, for messages, and the row."""

_BRACES = re.compile(r"\{(.*?)\}")


def bucc_sentences(stem: Path, language: str) -> Iterator[Row]:
    """Yield the sentences of the non-English language: id, text, and targets (ids of the English translations).

    Args:
        stem: the common stem of the three file names (``zh-en.dev``): ``.zh``, ``.en`` and ``.gold``.
        language: the extension of the other language's file.

    Raises:
        DataError: a line has no tab, an id occurs twice, the gold pairs name a missing sentence, or a file is missing
            or empty.
    """
    path = _file_of_stem(stem, language)
    own = {name for _, name, _ in _sentences(path)}
    english = {name for _, name, _ in _sentences(_file_of_stem(stem, "en"))}
    gold_path = _file_of_stem(stem, "gold")
    targets: dict[str, dict[str, None]] = {}
    for number, name, target in _pairs(gold_path, "xx-id<TAB>en-id"):
        for wanted, ids, ending in ((name, own, language), (target, english, "en")):
            if wanted not in ids:
                raise DataError(
                    f"{gold_path}: line {number}: '{wanted}' is not a sentence of {stem.name}.{ending}. Fetch all "
                    "three files again."
                )
        targets.setdefault(name, {})[target] = None
    for _, name, text in _sentences(path):
        yield {"id": name, "text": text, "targets": list(targets.get(name, ()))}


def bucc_english(stem: Path) -> Iterator[Row]:
    """Yield the English sentences, which are the candidates: id, text; see `bucc_sentences`."""
    for _, name, text in _sentences(_file_of_stem(stem, "en")):
        yield {"id": name, "text": text}


def _file_of_stem(stem: Path, ending: str) -> Path:
    path = stem.with_name(f"{stem.name}.{ending}")
    return find_plain_or_gzip(path) or path


def _sentences(path: Path) -> Iterator[tuple[int, str, str]]:
    seen: set[str] = set()
    for number, name, text in _pairs(path, "id<TAB>text"):
        if name in seen:
            raise DataError(f"{path}: line {number}: the id '{name}' occurs twice. Fetch it again.")
        seen.add(name)
        yield number, name, text


def _pairs(path: Path, expected: str) -> Iterator[tuple[int, str, str]]:
    number = 0
    for number, line in read_lines(path):
        left, tab, right = line.partition("\t")
        if not tab:
            raise DataError(f"{path}: line {number}: expected '{expected}', found {line[:80]!r}. Fetch it again.")
        yield number, left, right
    if not number:
        raise DataError(f"{path}: the file is empty. Fetch it again.")


@dataclass(frozen=True)
class _Paragraph:
    """A paragraph of XQuAD-R.

    Attributes:
        number: from 1, counted through the file.
        context: its text.
        sentences: the text of each sentence.
        questions: id, text and the index of the sentence in which the answer starts.
    """

    number: int
    context: str
    sentences: list[str]
    questions: list[tuple[str, str, int]]


def xquad_r_questions(path: Path) -> Iterator[Row]:
    """Yield the questions of an XQuAD-R file of LAReQA: id, text.

    A question whose answer starts in no sentence is skipped, as in the official loader.

    Raises:
        DataError: the file has another format, an id occurs twice, or a question does not have exactly one answer.
    """
    for paragraph in _paragraphs(path):
        for name, text, _ in paragraph.questions:
            yield {"id": name, "text": text}


def xquad_r_sentences(path: Path, language: str) -> Iterator[Row]:
    """Yield the sentences of all paragraphs that have a question: id, text, answers (ids of questions).

    The text is the sentence, directly followed by the complete paragraph. Every sentence of the paragraph that is
    equal to the answer's sentence counts as an answer. Both are as in the official loader.

    Args:
        path: a file of XQuAD-R.
        language: the prefix of the ids, followed by the numbers of the paragraph (from 1) and sentence (from 0).

    Raises:
        DataError: as in `xquad_r_questions`.
    """
    for paragraph in _paragraphs(path):
        answered: dict[str, list[str]] = {}
        for name, _, index in paragraph.questions:
            answered.setdefault(paragraph.sentences[index], []).append(name)
        for index, sentence in enumerate(paragraph.sentences if paragraph.questions else ()):
            yield {
                "id": f"{language}_{paragraph.number}_{index}",
                "text": (sentence + paragraph.context).replace("\n", ""),
                "answers": answered.get(sentence, []),
            }


def _paragraphs(path: Path) -> Iterator[_Paragraph]:
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON: {error}. Fetch it again.") from None
    seen: set[str] = set()
    number = 0
    for article in _list(content, "data", str(path)):
        for stored in _list(article, "paragraphs", str(path)):
            number += 1
            where = f"{path}: paragraph {number}"
            context = _text(stored, "context", where)
            breaks = [_break(pair, where) for pair in _list(stored, "sentence_breaks", where)]
            stored_questions = _list(stored, "qas", where)
            _check_spans(breaks, len(context), "sentence_breaks", where, required=bool(stored_questions))
            questions = []
            for qa in stored_questions:
                name, text, start = _question(qa, where)
                if not 0 <= start < len(context):
                    raise DataError(
                        f"{where}: question '{name}': 'answer_start' is {start}, but the context has {len(context)} "
                        "characters. Fetch it again."
                    )
                if name in seen:
                    raise DataError(f"{where}: the question id '{name}' occurs twice. Fetch it again.")
                seen.add(name)
                index = next((i for i, (first, end) in enumerate(breaks) if first <= start < end), None)
                if index is not None:
                    questions.append((name, text, index))
            yield _Paragraph(number, context, [context[first:end] for first, end in breaks], questions)


def _break(pair: Any, where: str) -> tuple[int, int]:
    match pair:
        case [int(start), int(end)] if not isinstance(start, bool) and not isinstance(end, bool):
            return start, end
    raise DataError(f"{where}: 'sentence_breaks' holds {pair!r}, expected pairs [start, end]. Fetch it again.")


def _check_spans(
    spans: list[tuple[int, int]], length: int, key: str, where: str, required: bool, ordered: bool = True
) -> None:
    """Raise DataError for sentence spans outside their text, which slices would silently truncate or wrap around."""
    if required and not spans:
        raise DataError(f"{where}: '{key}' is empty, expected at least one sentence. Fetch it again.")
    previous_end = 0
    for start, end in spans:
        if not previous_end <= start <= end <= length:
            raise DataError(
                f"{where}: '{key}' holds {start}-{end}, expected a start from {previous_end} on, and an end of at most "
                f"{length}. Fetch it again."
            )
        previous_end = end if ordered else 0


def _question(qa: Any, where: str) -> tuple[str, str, int]:
    """Return the id and text of a question, and the offset of its answer."""
    name, text = _text(qa, "id", where), _text(qa, "question", where)
    answers = _list(qa, "answers", where)
    if len(answers) != 1:
        raise DataError(f"{where}: the question '{name}' has {len(answers)} answers, expected one. Fetch it again.")
    return name, text, _number(answers[0], "answer_start", f"{where}: question '{name}'")


def mewsli_mentions(stored: Stored, language: str) -> Iterator[Row]:
    """Yield the mentions of one language: id, text, and targets (the id of the entity).

    The text is built as in the official code: ``mention: left { mention } right``, from the first sentence that
    contains the mention; existing braces become parentheses.

    Raises:
        DataError: a key is missing, the mention is not at its offset, no sentence contains it completely, or an id
            occurs twice.
    """
    seen: set[str] = set()
    for where, row in stored:
        context = _value(row, "context", where)
        if _text(context, "language", where) != language:
            continue
        several = isinstance(row, dict) and row.get("mentions") is not None
        for mention in _list(row, "mentions", where) if several else [_value(row, "mention", where)]:
            name = _text(mention, "example_id", where)
            _check_unique(name, seen, where)
            text = _in_sentence(context, _value(mention, "mention_span", where), f"{where}: example '{name}'")
            yield {"id": name, "text": text, "targets": [_text(mention, "entity_id", where)]}


def mewsli_entities(stored: Stored) -> Iterator[Row]:
    """Yield the entities, which are the candidates: id, and text (the sentences of the description).

    Raises:
        DataError: a key is missing, or an id occurs twice.
    """
    seen: set[str] = set()
    for where, row in stored:
        name, description = _text(row, "entity_id", where), _text(row, "description", where)
        _check_unique(name, seen, where)
        spans = [_span(span, where) for span in _list(row, "sentence_spans", where)]
        # No span at all is odd, but the official loader accepts it, and a million other entities are fine.
        _check_spans(spans, len(description), "sentence_spans", where, required=False, ordered=False)
        yield {"id": name, "text": _one_line(" ".join(description[start:end] for start, end in spans))}


def stored_rows(paths: Iterable[Path]) -> Iterator[tuple[str, Any]]:
    """Yield (location, row) for the lines of JSON Lines files.

    Raises:
        DataError: a line is not JSON, for example in a truncated file, or a file is empty.
    """
    for path in paths:
        number = 0
        for number, line in read_lines(path):
            where = f"{path}: line {number}"
            try:
                yield where, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{where}: cannot be read as JSON: {error}. Fetch it again.") from None
        if not number:
            raise DataError(f"{path}: holds nothing. Fetch it again.")


def _in_sentence(context: Any, mention_span: Any, where: str) -> str:
    text, mention = _text(context, "text", where), _text(mention_span, "text", where)
    start, end = _span(mention_span, where)
    if not mention:
        raise DataError(f"{where}: the mention is empty. Fetch it again.")
    spans = [_span(span, where) for span in _list(context, "sentence_spans", where)]
    # Their order is not checked: the first span that contains the mention counts, as in the official code.
    _check_spans(spans, len(text), "sentence_spans", where, required=True, ordered=False)
    if not 0 <= start <= end or text[start:end] != mention:
        raise DataError(f"{where}: the text at {start}-{end} is {text[start:end]!r}, not the mention {mention!r}.")
    for first, last in spans:
        if first <= start and end <= last:
            left, right = _BRACES.sub(r"(\1)", text[first:start]), _BRACES.sub(r"(\1)", text[end:last])
            return _one_line(f"{mention}: {left} {{ {mention} }} {right}")
    raise DataError(f"{where}: no sentence contains the complete mention {mention!r} ({start}-{end}). Fetch it again.")


def _one_line(text: str) -> str:
    # Replaced once, as in the official code: of three spaces, two remain.
    return " ".join(text.splitlines()).replace("  ", " ").strip()


def _check_unique(name: str, seen: set[str], where: str) -> None:
    if name in seen:
        raise DataError(f"{where}: the id '{name}' occurs twice. Fetch it again.")
    seen.add(name)


def _value(record: Any, key: str, where: str) -> Any:
    if not isinstance(record, dict):
        raise DataError(f"{where}: expected an object with '{key}', found {str(record)[:60]!r}. Fetch it again.")
    if key not in record:
        near = did_you_mean(key, record) or f" There are: {', '.join(map(str, list(record)[:20])) or 'none'}."
        raise DataError(f"{where}: has no '{key}'.{near}")
    return record[key]


def _typed(record: Any, key: str, where: str, kind: type, expected: str) -> Any:
    value = _value(record, key, where)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DataError(f"{where}: '{key}' is {str(value)[:60]!r}, expected {expected}. Fetch it again.")
    return value


def _text(record: Any, key: str, where: str) -> str:
    text: str = _typed(record, key, where, str, "a text")
    try:
        text.encode()
    except UnicodeEncodeError:
        # JSON can contain half of a surrogate pair, which no table of texts can store.
        raise DataError(f"{where}: '{key}' contains half a character: {text[:60]!a}. Fetch it again.") from None
    return text


def _number(record: Any, key: str, where: str) -> int:
    number: int = _typed(record, key, where, int, "an integer")
    return number


def _list(record: Any, key: str, where: str) -> list[Any]:
    items: list[Any] = _typed(record, key, where, list, "a list")
    return items


def _span(span: Any, where: str) -> tuple[int, int]:
    return _number(span, "start", where), _number(span, "end", where)
