"""Upgrades of ``result.json``: each turns a record of one schema version into one of the next. Pure.

An upgrade changes where a record keeps what was measured, never what was measured, and never the identity of its cell:
the key stays that of the spec as it was stored.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

SCHEMA_VERSION: Final = 1
"""Schema version that this version of the project writes."""

Record = dict[str, Any]
"""A ``result.json`` as plain JSON."""

UPGRADES: Mapping[int, Callable[[Record], Record]] = {}
"""Schema version -> what makes a record of that version one of the next; no version but the first was ever written."""


class NewerVersionError(ValueError):
    """A record of a schema version that only a later version of the project reads."""


def upgraded(record: Record, upgrades: Mapping[int, Callable[[Record], Record]] = UPGRADES) -> Record:
    """The record in the newest schema version.

    Raises:
        NewerVersionError: its version is above the newest.
        ValueError: its version is no schema version.
    """
    version, newest = record.get("schema_version"), max((SCHEMA_VERSION, *(known + 1 for known in upgrades)))
    if not isinstance(version, int) or version < 1:
        raise ValueError(f"has schema_version {version!r}, which is none of 1 to {newest}")
    if version > newest:
        raise NewerVersionError(
            f"has schema_version {version}, this version of the project reads up to {newest}; update the project"
        )
    for known in range(version, newest):
        record = {**upgrades[known](record), "schema_version": known + 1}
    return record
