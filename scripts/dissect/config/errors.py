"""One clear sentence for every kind of bad configuration."""

import difflib
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError


class ConfigError(Exception):
    """Bad input: the message is one sentence that names file, key, what was found and what would be right."""


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the known name nearest to a wrong one, or nothing."""
    close = difflib.get_close_matches(str(name).lower(), {k.lower(): k for k in known}, n=1, cutoff=0.5)
    by_lower = {k.lower(): k for k in known}
    return f"; did you mean '{by_lower[close[0]]}'?" if close else ""


def listed(names: Iterable[str]) -> str:
    """Names as a sentence part."""
    return ", ".join(sorted(names)) or "none"


def unknown(where: str, what: str, name: str, known: Iterable[str]) -> ConfigError:
    """The error for a name that nothing defines."""
    known = list(known)
    return ConfigError(f"{where}: found the {what} '{name}', known are {listed(known)}{nearest(name, known)}")


def validation_sentence(file: Path | str, error: ValidationError, model: type[BaseModel]) -> str:
    """The most telling of Pydantic's complaints as one sentence; how many more there are is added."""
    # A misspelt key is often the reason why another one is missing, so it comes first.
    errors = sorted(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
    first = errors[0]
    fields = _fields_at(model, first["loc"])
    path = ".".join(str(part) for part in _without_tags(first["loc"])) or "(top level)"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    match first["type"]:
        case "extra_forbidden":
            name = str(first["loc"][-1])
            return f"{file}: {path}: found an unknown key, allowed are {listed(fields)}{nearest(name, fields)}{more}"
        case "missing":
            return f"{file}: {path}: found nothing, but this key is required{more}"
        case _:
            found = _short(first["input"])
            message = first["msg"].removeprefix("Value error, ")
            message = message[0].lower() + message[1:]
            return f"{file}: {path}: found {found}: {message}{_nearest_literal(first)}{more}"


def _nearest_literal(error: Any) -> str:
    if error["type"] != "literal_error":
        return ""
    allowed = [part.strip("' ") for part in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
    return nearest(str(error["input"]), allowed)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _without_tags(loc: tuple[int | str, ...]) -> list[int | str]:
    # Pydantic adds the names of union members (``list[str]``, ``function-after[...]``) to the path.
    return [part for part in loc if not (isinstance(part, str) and any(c in part for c in "[]()"))]


def _fields_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Names of the fields that are allowed beside the last part of an error's path."""
    candidates: list[Any] = [model]
    for part in loc[:-1]:
        candidates = [inner for candidate in candidates for inner in _descend(candidate, part)]
    return [name for candidate in candidates if _is_model(candidate) for name in candidate.model_fields]


def _descend(kind: Any, part: int | str) -> list[Any]:
    if _is_model(kind):
        field = kind.model_fields.get(part)
        return _flatten(field.annotation) if field else [kind]
    return _flatten(kind)


def _flatten(annotation: Any) -> list[Any]:
    """The models inside an annotation such as ``dict[str, Model] | None``."""
    if _is_model(annotation):
        return [annotation]
    origin = typing.get_origin(annotation)
    if origin in (list, dict, typing.Union, types.UnionType, typing.Annotated):
        return [inner for argument in typing.get_args(annotation) for inner in _flatten(argument)]
    return []


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
