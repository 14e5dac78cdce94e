"""Prediction files in XTREME's submission formats: read and write.

Google's evaluate.py can rescore the files. Files from other systems can be read, too: CRLF, a byte order mark,
blank lines at the end and a missing last newline are all accepted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xharness import files
from xharness.errors import PredictionError, unknown
from xharness.metrics.retrieval import Ranking


@dataclass(frozen=True)
class Shape:
    """The size of the predictions that the gold data requires.

    Attributes:
        lines: examples (classification, multiple_choice, retrieval).
        lengths: words of every sentence (tagging).
        highest: the highest valid index (retrieval), counted from 0.
    """

    lines: int = 0
    lengths: Sequence[int] = ()
    highest: int = 0


@dataclass(frozen=True)
class Format:
    """The file format of the predictions of one task kind."""

    extension: str
    encode: Callable[[Any], str]
    decode: Callable[[Path, str, Shape], Any]


def path(root: Path, task: str, kind: str, language: str, split: str) -> Path:
    """Return the path of the predictions of a task in a language.

    Args:
        root: the folder of predictions, which has one folder per task.
        task: name of the target (``xquad``).
        kind: task kind, one of ``FORMATS``.
        language: two-letter code.
        split: ``test`` or ``dev``; the file name starts with it.
    """
    return root / task / f"{split}-{language}.{_format(kind).extension}"


def write(path: Path, kind: str, predictions: Any) -> None:
    """Write predictions atomically; ``read`` returns the same.

    Args:
        path: the file; its folder is created if needed.
        kind: task kind, one of ``FORMATS``.
        predictions: classification: labels; tagging: a sequence of tags per sentence; span_qa: id -> answer,
            kept in this order; retrieval: for every English sentence the index of its translation, from 0;
            multiple_choice: labels; mining: (id, English id) pairs; ranking: id -> Ranking.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    files.write_text(path, _format(kind).encode(predictions))


def read(path: Path, kind: str, gold: Shape) -> Any:
    """Return the predictions of a file, as ``write`` takes them.

    A blank line between labels counts as an (always wrong) label, as in evaluate.py. Ids may be missing, and ids that
    are not in the gold data are kept; the metric counts both.

    Args:
        path: the file.
        kind: task kind, one of ``FORMATS``.
        gold: the expected size; not needed for span_qa.

    Raises:
        PredictionError: the file is missing, not UTF-8, not of this format, or does not fit the gold data.
    """
    form = _format(kind)
    try:
        # Answers may contain lone surrogates, where JSON data had them escaped; write_text writes them, too.
        text = path.read_bytes().decode("utf-8-sig", "surrogatepass")
    except FileNotFoundError:
        raise PredictionError(
            f"{path}: the file does not exist. Predictions are expected as "
            f"<task>/test-<language>.{form.extension}, as eval writes them."
        ) from None
    except OSError as error:
        raise PredictionError(f"{path}: cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError as error:
        raise PredictionError(f"{path}: not UTF-8 (byte {error.start + 1}). Save it as UTF-8.") from None
    return form.decode(path, text, gold)


def find_files(root: Path, split: str = "test") -> list[tuple[str, str, Path]]:
    """Return (task folder, language, file) of every prediction file below a folder, sorted.

    Args:
        root: the folder of predictions, which has one folder per task.
        split: ``test`` or ``dev``; the file names start with it.

    Raises:
        PredictionError: the folder does not exist.
    """
    if not root.is_dir():
        raise PredictionError(
            f"{root}: the folder does not exist. Name the one that has a folder per task (xnli, panx ...)."
        )
    name = re.compile(rf"{split}-([a-z]{{2,3}})\.(?:tsv|jsonl?)")
    below = [(file, name.fullmatch(file.name)) for file in root.glob(f"*/{split}-*") if file.is_file()]
    return sorted((file.parent.name, match[1], file) for file, match in below if match)


def unrecognized_files(root: Path, split: str = "test") -> list[Path]:
    """Return paths named ``<task>/<split>-*`` that are no prediction files: by their names, or because no files."""
    known = {path for _, _, path in find_files(root, split)}
    return sorted(path for path in root.glob(f"*/{split}-*") if path not in known)


def _format(kind: str) -> Format:
    if kind not in FORMATS:
        raise unknown("task kind", kind, FORMATS)
    return FORMATS[kind]


def _lines(text: str) -> list[str]:
    # Not splitlines(), which also splits at U+2028, U+0085 and other characters that occur within a line.
    lines = [line.strip() for line in text.split("\n")]
    return lines[:-1] if not lines[-1] else lines


def _expect_lines(path: Path, text: str, expected: int) -> list[str]:
    lines = _lines(text)
    while len(lines) > expected and not lines[-1]:
        lines.pop()
    if len(lines) != expected:
        raise PredictionError(
            f"{path}: found {len(lines)} lines, expected {expected}, one for every example. Predict again on "
            "the complete split, in the data's order."
        )
    return lines


def _encode_labels(predictions: Sequence[object]) -> str:
    return "".join(f"{label}\n" for label in predictions)


def _decode_labels(path: Path, text: str, gold: Shape) -> list[str]:
    return _expect_lines(path, text, gold.lines)


def _encode_tags(predictions: Sequence[Sequence[str]]) -> str:
    return "".join("".join(f"{tag}\n" for tag in tags) + "\n" for tags in predictions)


def _decode_tags(path: Path, text: str, gold: Shape) -> list[list[str]]:
    sentences: list[list[str]] = []
    first_lines: list[int] = []
    after_blank = True
    for number, line in enumerate(_lines(text), start=1):
        if len(line.split()) > 1:
            raise PredictionError(
                f"{path}, line {number}: found {line[:40]!r}, expected one tag and nothing else. "
                "Write the tags without their words, and a blank line after each sentence."
            )
        if line and after_blank:
            sentences.append([])
            first_lines.append(number)
        if line:
            sentences[-1].append(line)
        after_blank = not line
    lengths = [len(tags) for tags in sentences]
    if lengths != list(gold.lengths):
        raise PredictionError(f"{path}: {_first_difference(lengths, gold.lengths, first_lines)}")
    return sentences


def _first_difference(lengths: Sequence[int], expected: Sequence[int], first_lines: Sequence[int]) -> str:
    problem = ""
    if len(lengths) != len(expected):
        problem = f"found {len(lengths)} sentences, expected {len(expected)}. "
    for index, (length, expected_length) in enumerate(zip(lengths, expected, strict=False)):
        if length != expected_length:
            return problem + (
                f"Sentence {index + 1} (from line {first_lines[index]}) is the first that differs: found "
                f"{length} tags, expected {expected_length}. Write one tag for every word, and a blank line after each "
                "sentence."
            )
    return problem + (
        f"The first {min(len(lengths), len(expected))} agree, so the file seems to be cut short, or of "
        "another split. Predict again on the complete split."
    )


def _encode_answers(predictions: Mapping[str, str]) -> str:
    return json.dumps(dict(predictions), ensure_ascii=False, indent=2) + "\n"


def _decode_answers(path: Path, text: str, gold: Shape) -> dict[str, str]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PredictionError(f"{path}: not valid JSON: {error}. Expected one object of id: answer.") from None
    if not isinstance(content, dict):
        found_type = type(content).__name__
        raise PredictionError(f"{path}: found a JSON {found_type}, expected one object of id: answer.")
    for question, answer in content.items():
        if not isinstance(answer, str):
            raise PredictionError(
                f"{path}: the answer to '{question}' is of type {type(answer).__name__}, expected text. "
                "Write one answer for each id, not a list of the best."
            )
    return content


def _decode_indices(path: Path, text: str, gold: Shape) -> list[int]:
    indices = []
    for number, line in enumerate(_expect_lines(path, text, gold.lines), start=1):
        # evaluate.py compares lines as text, so 07 or +7 would never be right; int() would accept them.
        if not re.fullmatch(r"0|-?[1-9][0-9]*", line):
            raise PredictionError(f"{path}, line {number}: found {line[:40]!r}, expected an integer such as 0 or 17.")
        if line.startswith("-") or len(line) > len(str(gold.highest)) or int(line) > gold.highest:
            raise PredictionError(
                f"{path}, line {number}: found the index {line[:40]}, expected one from 0 to {gold.highest}. "
                "Indices count the sentences of the other language from 0."
            )
        indices.append(int(line))
    return indices


_CHOICE = 'expected an object such as {"label": 0}'


def _encode_choices(predictions: Sequence[str]) -> str:
    # XCOPA's official file has numbers, and its evaluate.py compares them as numbers.
    return "".join(json.dumps({"label": int(p) if p.isdecimal() else p}) + "\n" for p in predictions)


def _decode_choices(path: Path, text: str, gold: Shape) -> list[str]:
    labels = []
    for number, line in enumerate(_expect_lines(path, text, gold.lines), start=1):
        content = _json(path, line, _CHOICE, number)
        label = content.get("label") if isinstance(content, dict) else None
        if not isinstance(label, int | str) or isinstance(label, bool):
            raise PredictionError(
                f'{path}, line {number}: found {line[:40]!r}, expected an object such as {{"label": 0}}.'
            )
        labels.append(str(label))
    return labels


def _encode_pairs(predictions: Sequence[tuple[str, str]]) -> str:
    return "".join(f"{first}\t{second}\n" for first, second in predictions)


def _decode_pairs(path: Path, text: str, gold: Shape) -> list[tuple[str, str]]:
    pairs = []
    for number, line in enumerate(_lines(text), start=1):
        first, tab, second = line.partition("\t")
        if line and (not tab or not first or not second or "\t" in second):
            raise PredictionError(f"{path}, line {number}: found {line[:60]!r}, expected 'xx-id<TAB>en-id'.")
        if line:
            pairs.append((first, second))
    return pairs


def _encode_rankings(predictions: Mapping[str, Ranking]) -> str:
    encoded: dict[str, Any] = {}
    for query, ranking in predictions.items():
        candidates = list(ranking.candidates)
        # A plain list is Mewsli-X's official format; LAReQA has none, and ours adds the ranks for the uncut mean.
        encoded[query] = (
            candidates if ranking.ranks is None else {"candidates": candidates, "ranks": list(ranking.ranks)}
        )
    return json.dumps(encoded, ensure_ascii=False, indent=1) + "\n"


def _decode_rankings(path: Path, text: str, gold: Shape) -> dict[str, Ranking]:
    content = _json(path, text, "expected one object of id: candidates")
    if not isinstance(content, dict):
        raise PredictionError(f"{path}: found a JSON {type(content).__name__}, expected one object of id: candidates.")
    rankings = {}
    for query, entry in content.items():
        candidates, ranks = (entry.get("candidates"), entry.get("ranks")) if isinstance(entry, dict) else (entry, None)
        if not isinstance(candidates, list) or not all(isinstance(candidate, str) for candidate in candidates):
            raise PredictionError(f"{path}: '{query}': expected a list of candidate ids, the best first.")
        if ranks is not None and not (
            isinstance(ranks, list) and all(isinstance(r, int) and not isinstance(r, bool) for r in ranks)
        ):
            raise PredictionError(f"{path}: '{query}': expected 'ranks' to be a list of integers, 1 or more.")
        rankings[query] = Ranking(tuple(candidates), None if ranks is None else tuple(ranks))
    return rankings


def _json(path: Path, text: str, expected: str, line: int | None = None) -> Any:
    where = str(path) if line is None else f"{path}, line {line}"
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise PredictionError(f"{where}: not valid JSON: {error}; {expected}.") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; raise ValueError for a repeated name, of which json would silently keep the last value."""
    unique: dict[str, Any] = {}
    for name, value in pairs:
        if name in unique:
            raise ValueError(f"'{name}' is given twice")
        unique[name] = value
    return unique


FORMATS: dict[str, Format] = {
    "classification": Format("tsv", _encode_labels, _decode_labels),
    "multiple_choice": Format("jsonl", _encode_choices, _decode_choices),
    "tagging": Format("tsv", _encode_tags, _decode_tags),
    "span_qa": Format("json", _encode_answers, _decode_answers),
    "retrieval": Format("tsv", _encode_labels, _decode_indices),
    "mining": Format("tsv", _encode_pairs, _decode_pairs),
    "ranking": Format("json", _encode_rankings, _decode_rankings),
}
"""Task kind -> the file format of its predictions."""
