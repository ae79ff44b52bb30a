"""Rows of a tidy CSV that was written before."""

import csv
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

_TEXT = (
    "platform", "model", "framework", "method", "workload", "batch", "status", "phase", "reason", "device", "dtype",
    "product", "direction", "key", "reference", "flags",
)  # fmt: skip
"""Columns whose values stay text, whatever they look like."""


def read_tidy(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV that ``write_table`` wrote; an empty field is None, what looks like a number is one."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: _value(name, text) for name, text in row.items()} for row in csv.DictReader(file)]


def _value(name: str, text: str) -> Any:
    if not text or name in _TEXT:
        return text or None
    with suppress(ValueError):
        return json.loads(text, parse_constant=str)
    return text
