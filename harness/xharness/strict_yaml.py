"""Strict YAML: frozen pydantic models, all errors of a file reported at once."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode

from xharness.errors import SpecError, did_you_mean


class Strict(BaseModel):
    """A frozen record that refuses unknown keys and does not convert types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Loader(yaml.SafeLoader):
    """YAML without two traps: ``no`` stays Norwegian, and duplicate keys are errors."""

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise ConstructorError(None, None, f"the key '{key}' is given twice (line {line})")
            seen.add(key)
        return super().construct_mapping(node, deep)

    def get_single_node(self) -> Any:
        """Compose the document; refuse recursive aliases, and aliases that expand to too many values."""
        node = super().get_single_node()
        if node is not None and _count_expanded(node, {}, set()) > _MAX_VALUES:
            raise ConstructorError(None, None, f"with its aliases expanded it has over {_MAX_VALUES:,} values")
        return node


_MAX_VALUES = 1_000_000
"""Maximum values of a file, with aliases expanded: a few lines of aliases can expand to billions."""


def _count_expanded(node: Any, known: dict[int, int], above: set[int]) -> int:
    """Return how many values a node has with its aliases expanded."""
    if id(node) in known:
        return known[id(node)]
    if id(node) in above:
        raise ConstructorError(None, None, "an alias refers to a value that contains it", node.start_mark)
    inner: list[Any] = []
    if isinstance(node, yaml.SequenceNode):
        inner = node.value
    elif isinstance(node, MappingNode):
        inner = [part for pair in node.value for part in pair]
    above.add(id(node))
    known[id(node)] = 1 + sum(_count_expanded(part, known, above) for part in inner)
    above.remove(id(node))
    return known[id(node)]


# YAML 1.1 reads no, on, yes ... as booleans; only true and false are kept as such.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


def read(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; raise SpecError for anything else."""
    try:
        # Based on SafeLoader: the file cannot create Python objects.
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise SpecError(f"{path}: this file does not exist.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read: {error}.") from None
    except RecursionError:
        raise SpecError(f"{path.name}: not valid YAML: it is nested too deeply.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise SpecError(f"{path.name}: not valid YAML: {getattr(error, 'problem', error)}{where}.") from None
    if not isinstance(content, dict):
        raise SpecError(f"{path.name}: expected fields at the top level, found {type(content).__name__}.")
    return content


Model = TypeVar("Model", bound=Strict)


def parse(model: type[Model], content: dict[str, Any], where: str) -> Model:
    """Validate ``content`` and return it as a ``model``; raise one SpecError that lists every wrong field.

    Args:
        model: the record type.
        content: content of the file.
        where: name of the file, put before every problem.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        sentences = [line for problem in error.errors() for line in _sentence(model, problem).splitlines()]
        problems = [f"{where}: {sentence}" for sentence in sentences]
        raise SpecError("\n".join(problems)) from None


def _sentence(model: type[BaseModel], problem: Any) -> str:
    path = [str(part) for part in problem["loc"] if not str(part).startswith("function-")]
    field = ".".join(path) or "the file"
    value = problem.get("input")
    match problem["type"]:
        case "extra_forbidden":
            return f"{field}: no such field.{did_you_mean(path[-1], _fields_at(model, path[:-1]))}"
        case "missing":
            return f"{field}: field required."
        case "value_error":
            # Validators of a record list their problems, one per line: "field: ..." or a sentence.
            return "\n".join(_with_path(path, line) for line in str(problem["ctx"]["error"]).splitlines())
        case "literal_error":
            expected = problem["ctx"]["expected"]
            hint = did_you_mean(str(value), re.findall(r"'([^']+)'", expected))
            return f"{field}: found {value!r}, expected {expected}.{hint}"
        case _:
            message = problem["msg"].removeprefix("Input should be ").strip()
            return f"{field}: found {value!r} ({type(value).__name__}), expected {message}."


def _with_path(path: list[str], line: str) -> str:
    """Return a problem of a nested record with its path in the file.

    >>> _with_path(["sources", "0"], "revision: field required."), _with_path(["keep"], "give either.")
    ('sources.0.revision: field required.', 'keep: give either.')
    """
    if not path:
        return line
    return ".".join(path) + ("." if re.match(r"[\w.-]+: ", line) else ": ") + line


def _fields_at(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the field names of the record at a path of fields, indexes and keys."""
    current: Any = model
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel) and part in current.model_fields:
            current = current.model_fields[part].annotation
        inner = _record_in(current)
        current = inner if inner is not None else current
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _record_in(annotation: Any) -> type[BaseModel] | None:
    """Return the first record type inside an annotation such as ``dict[str, Source | None]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        model = _record_in(argument)
        if model is not None:
            return model
    return None
