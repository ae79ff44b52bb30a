"""Reading and validating YAML 1.2 files; every problem becomes a ConfigError."""

import math
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from dissect.config.errors import ConfigError, validation_sentence

M = TypeVar("M", bound=BaseModel)


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
        data = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        raise ConfigError(f"{shown}: {_yaml_sentence(error)}") from None
    except (YAMLError, ValueError) as error:
        raise ConfigError(f"{shown}: invalid YAML: {str(error).splitlines()[0]}") from None
    if data is None:
        raise ConfigError(f"{shown}: the file is empty, expected a mapping of keys to values")
    if not isinstance(data, dict):
        raise ConfigError(
            f"{shown}: found a {type(data).__name__} at the top level, expected a mapping of keys to values"
        )
    return data


def typed(value: Any, nested: bool = False) -> Any:
    """A value of Snakemake's ``--config`` with what it leaves as text: ``true``, and numbers in lists and mappings."""
    if isinstance(value, dict):
        return {key: typed(inner, nested=True) for key, inner in value.items()}
    if isinstance(value, list):
        return [typed(inner, nested=True) for inner in value]
    if not isinstance(value, str) or not (nested or value in ("true", "false")):
        return value
    try:
        scalar = YAML(typ="safe", pure=True).load(value)
    except YAMLError:
        return value
    return scalar if isinstance(scalar, (int, float)) else value


def validate(model: type[M], data: dict[str, Any], shown: str) -> M:
    """Validate data against its model; ``shown`` is the file's name in errors.

    Raises:
        ConfigError: a key is unknown, missing or has an invalid value.
    """
    _check_finite(data, shown)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(validation_sentence(shown, error, model)) from None


def _check_finite(value: Any, where: str) -> None:
    """Refuse infinity and not-a-number, which YAML has but JSON, and therefore a spec, has not."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}: found {value}, expected a finite number")
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        _check_finite(inner, f"{where}{'.' if '.yaml: ' in where else ': '}{key}")


def _yaml_sentence(error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    problem = (error.problem or "invalid YAML").splitlines()[0]
    if "found character '\\t'" in problem:
        problem = "found a tab, expected spaces for indentation"
    if "could not determine a constructor" in problem:
        problem = f"{problem}, only plain YAML is read"
    return place + problem
