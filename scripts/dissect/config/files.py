"""Reading and validating YAML 1.2 files; every problem becomes a ConfigError."""

import re
from collections.abc import Iterable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from dissect.config.errors import ConfigError, validation_sentence

M = TypeVar("M", bound=BaseModel)

DEEPEST = 50
"""Most levels of nesting in a file."""
LARGEST = 100_000
"""Most values in a file; what an alias stands for counts as often as it is used."""
GREATEST = 1e15
"""Largest number that a key may have."""
LEAST = 1e-15
"""Smallest number above 0 that a key may have: what is divided by it stays in the range of a float."""
_LIST = re.compile(r"\[((?:[^][]|\[[^][]*\])*)\]")
_ITEM = re.compile(r",((?:[^][,]|\[[^][]*\])*)")
"""A glob of a list and the comma before it; one in the brackets of a glob ends none."""


def read_yaml(path: Path, shown: str) -> dict[str, Any]:
    """Read a YAML file that holds one mapping; ``shown`` is the file's name in errors.

    Raises:
        ConfigError: the file is missing, empty, not a mapping, or invalid YAML (tabs, duplicate keys, Python tags).
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{shown}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{shown}: cannot be read as UTF-8 text ({error})") from None
    try:
        data = deepcopy(_parse(text))
    except MarkedYAMLError as error:
        raise ConfigError(f"{shown}: {_yaml_sentence(error)}") from None
    except (YAMLError, ValueError) as error:
        raise ConfigError(f"{shown}: invalid YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise _too_deep(shown) from None
    _check_size(data, shown)
    if data is None:
        raise ConfigError(f"{shown}: the file is empty, expected a mapping of keys to values")
    if not isinstance(data, dict):
        raise ConfigError(
            f"{shown}: found a {type(data).__name__} at the top level, expected a mapping of keys to values"
        )
    return data


@cache
def _parse(text: str) -> Any:
    """What a text has as YAML, which nobody may change. Most of the time to load a study, so a process does it once."""
    return YAML(typ="safe", pure=True).load(text)


def typed(value: Any, nested: bool = False) -> Any:
    """A value of Snakemake's ``--config`` with what it leaves as text.

    That is ``true``, numbers in lists and mappings, and lists of globs with a wildcard that means something in YAML.
    The quotes of a text in a mapping are lost, so one that reads as a number needs them twice.
    """
    if isinstance(value, dict):
        return {key: typed(inner, nested=True) for key, inner in value.items()}
    if isinstance(value, list):
        return [typed(inner, nested=True) for inner in value]
    if isinstance(value, str) and not nested and (listed := _LIST.fullmatch(value)):
        return [typed(inner.strip(" '\""), nested=True) for inner in _ITEM.findall(f",{listed[1]}")]
    if not isinstance(value, str) or not (nested or value in ("true", "false")):
        return value
    try:
        scalar = YAML(typ="safe", pure=True).load(value)
    except (YAMLError, ValueError):  # YAML refuses numbers of thousands of digits by a ValueError
        return value
    kinds = (str,) if value[:1] in ("'", '"') else (int, float)
    return scalar if isinstance(scalar, kinds) else value


def validate(model: type[M], data: dict[str, Any], shown: str) -> M:
    """Validate data against its model; ``shown`` is the file's name in errors.

    Raises:
        ConfigError: a key is unknown, missing or has an invalid value.
    """
    _check_numbers(data, shown)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(validation_sentence(shown, error, model)) from None


def _check_size(data: Any, shown: str) -> None:
    """Refuse what aliases blow up, or make contain itself, before anything walks through it."""
    seen, level = 0, [data]
    for _ in range(DEEPEST):
        seen += len(level)
        if seen > LARGEST:
            raise ConfigError(f"{shown}: has more than {LARGEST} values, aliases counted as often as they are used")
        level = [inner for value in level for inner in _inner(value)]
        if not level:
            return
    raise _too_deep(shown)


def _too_deep(shown: str) -> ConfigError:
    return ConfigError(f"{shown}: is nested deeper than {DEEPEST} levels")


def _inner(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _check_numbers(value: Any, where: str) -> None:
    """Refuse infinity and not-a-number, which YAML has but JSON, and therefore a spec, has not; and absurd sizes."""
    if isinstance(value, (int, float)) and not abs(value) <= GREATEST:  # not-a-number is no smaller either
        raise ConfigError(f"{where}: found {_shown(value)}, expected a finite number of at most {GREATEST:g}")
    if isinstance(value, float) and 0 < abs(value) < LEAST:
        raise ConfigError(f"{where}: found {value:g}, expected 0 or at least {LEAST:g}")
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        _check_numbers(inner, f"{where}{'.' if '.yaml: ' in where else ': '}{key}")


def _shown(number: float) -> str:
    try:
        return f"{number:g}"
    except OverflowError:  # a whole number beyond the largest float
        return "a number of more than 300 digits"


def _yaml_sentence(error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    problem = (error.problem or "invalid YAML").splitlines()[0]
    if "found character '\\t'" in problem:
        problem = "found a tab, expected spaces for indentation"
    if "could not determine a constructor" in problem:
        problem = f"{problem}, only plain YAML is read"
    return place + problem
