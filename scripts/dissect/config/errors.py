"""Errors in the configuration, each reported in one sentence."""

import difflib
import re
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError


class ConfigError(Exception):
    """Invalid input. The message is one sentence with file, key, the value found and what is expected."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A suggestion such as ``; did you mean 'h200'?``, or an empty text if no known name is close."""
    close = difflib.get_close_matches(str(name).lower(), {k.lower(): k for k in known}, n=1, cutoff=0.5)
    by_lower = {k.lower(): k for k in known}
    return f"; did you mean '{by_lower[close[0]]}'?" if close else ""


def listed(names: Iterable[str]) -> str:
    """Sorted names as a comma-separated list, or ``none``."""
    return ", ".join(sorted(names)) or "none"


def unknown(where: str, what: str, name: str, known: Iterable[str]) -> ConfigError:
    """The error for an undefined name, with a suggestion and the known names."""
    known = list(known)
    return ConfigError(f"{where}: unknown {what} '{name}'{nearest(name, known)} (known: {listed(known)})")


_EXPECTED = {
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "string_type": "a text, in quotes where it reads as something else",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number without a unit",
    "float_type": "a number without a unit",
}
"""Pydantic's type of an error -> what would be right."""


_TAGS = frozenset(("bool", "str", "int", "float", "constrained-str", "constrained-int", "constrained-float"))


def validation_sentence(file: Path | str, error: ValidationError, model: type[BaseModel]) -> str:
    """The most relevant of Pydantic's errors as one sentence, followed by the number of further errors."""
    # A misspelt key is often the reason why another one is missing, so it comes first.
    errors = sorted(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
    first = errors[0]
    keys, fields = _walk(model, first["loc"])
    path = ".".join(map(str, keys)) or "(top level)"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    match first["type"]:
        case "extra_forbidden":
            name = str(first["loc"][-1])
            return f"{file}: {path}: unknown key '{name}'{nearest(name, fields)} (known: {listed(fields)}){more}"
        case "missing":
            return f"{file}: {path}: missing required key{more}"
        case kind:
            found = _short(first["input"])
            message = first["msg"].removeprefix("Value error, ")
            message = f"expected {_EXPECTED[kind]}" if kind in _EXPECTED else message[0].lower() + message[1:]
            example = f": [{first['input']}]" if kind == "list_type" and isinstance(first["input"], str) else ""
            return f"{file}: {path}: found {found}: {message}{example}{_nearest_literal(first)}{more}"


def _nearest_literal(error: Any) -> str:
    if error["type"] != "literal_error":
        return ""
    allowed = [part.strip("' ") for part in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
    return nearest(str(error["input"]), allowed)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _walk(model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[list[int | str], list[str]]:
    """The keys of an error's path, and the names of the fields that are allowed at its last part."""
    keys: list[int | str] = []
    at: list[Any] = []
    inner: list[Any] = [model]
    for part in loc:
        # Pydantic adds tags and names of union members (``str``, ``list[str]``, ``function-after[...]``) to the path.
        if tagged := [each for each in inner if _has_tag(each, part)]:
            inner = tagged
        elif part not in _TAGS and not re.search(r"[][()]", str(part)):
            keys.append(part)
        at, inner = inner, [found for each in inner for found in _descend(each, part)]
    return keys, list(dict.fromkeys(name for each in at if _is_model(each) for name in each.model_fields))


def _has_tag(kind: Any, part: int | str) -> bool:
    """Whether a union tells a model by its name, or by this value of one of its fields."""
    if not _is_model(kind) or part in kind.model_fields:
        return False
    return part == kind.__name__ or any(part in typing.get_args(each.annotation) for each in kind.model_fields.values())


def _descend(kind: Any, part: int | str) -> list[Any]:
    if _is_model(kind):
        field = kind.model_fields.get(part)
        return _flatten(field.annotation) if field else [kind]
    return _flatten(kind)


def _flatten(annotation: Any) -> list[Any]:
    """Models inside an annotation such as ``dict[str, Model] | None``."""
    if _is_model(annotation):
        return [annotation]
    origin = typing.get_origin(annotation)
    if origin in (list, dict, typing.Union, types.UnionType, typing.Annotated):
        return [inner for argument in typing.get_args(annotation) for inner in _flatten(argument)]
    return []


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
