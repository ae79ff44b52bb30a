"""The readable id of a cell: ``stage/platform/model/framework/method/workload``."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

NO_NAME = "-"
"""Placeholder for the model or method where a stage has none."""


class CellId(NamedTuple):
    """The parts of a cell's id; ``str`` joins them."""

    stage: str
    platform: str
    model: str
    framework: str
    method: str
    workload: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split an id, or a glob over ids, into its parts.

        Raises:
            TypeError: the text does not have six parts.
        """
        return cls(*text.split("/"))

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """The id in a mapping that has every part by name, such as a row of a table."""
        return cls(*(str(row[part]) for part in cls._fields))

    def __str__(self) -> str:
        return "/".join(self)


PARTS = CellId._fields
EVERY_CELL = CellId(*"*" * len(PARTS))
"""The glob that matches every cell."""


def without_set(platform: str) -> str:
    """Name of a platform in the configuration: ``h200`` for ``h200@<set of reference results>``."""
    return platform.partition("@")[0]
