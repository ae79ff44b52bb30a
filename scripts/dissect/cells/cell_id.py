"""The readable id of a cell: ``stage/platform/model/framework/method/workload``."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

NO_NAME = "-"
"""In place of a model or method where a stage has none."""


class CellId(NamedTuple):
    """The names of which an id consists; ``str`` joins them."""

    stage: str
    platform: str
    model: str
    framework: str
    method: str
    workload: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The parts of an id, or of a glob over ids; raises ``TypeError`` unless there are six."""
        return cls(*text.split("/"))

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """From a mapping that has every part by name, such as a row of a table."""
        return cls(*(str(row[part]) for part in cls._fields))

    def __str__(self) -> str:
        return "/".join(self)


PARTS = CellId._fields
EVERY_CELL = CellId(*"*" * len(PARTS))
"""The glob that matches all."""


def without_set(platform: str) -> str:
    """A platform as the configuration names it: ``h200`` of ``h200@<set of reference results>``."""
    return platform.partition("@")[0]
