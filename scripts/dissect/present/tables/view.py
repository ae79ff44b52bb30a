"""Views, which make rows of numbers from cells of one kind."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dissect.present.tables.columns import IDENTITY, OUTCOME, PROVENANCE, Column, Quantity, Record, Scalar

Points = Callable[[Record], Iterable[tuple[Mapping[str, Scalar], Any]]]


@dataclass(frozen=True)
class View:
    """Content of a tidy CSV of one kind of cells: one row per point of each cell."""

    points: Points
    """Points of a cell that ended ``ok``: values of the view's own axes, and the input of its quantities."""
    quantities: tuple[Quantity, ...]
    axes: Mapping[str, str] = field(default_factory=dict)
    """Axis below the cell -> meaning; empty in the single row of a cell without numbers."""
    origin: tuple[Column, ...] = ()
    """Columns with the origin of such numbers."""
    across: Callable[[Sequence[tuple[Record, dict[str, Scalar]]]], None] | None = None
    """Fills in numbers that compare cells of one table, given the rows of all of them."""

    @cached_property
    def by_name(self) -> dict[str, Quantity]:
        """Name -> quantity."""
        return {quantity.name: quantity for quantity in self.quantities}

    def column_names(self) -> list[str]:
        """The header of the tidy CSV."""
        interval = ("", "_low", "_high")
        numbers = [q.name + suffix for q in self.quantities for suffix in (interval if q.interval else ("",))]
        ends = [column.name for column in (*self.origin, *PROVENANCE)]
        return [c.name for c in IDENTITY] + list(self.axes) + [c.name for c in OUTCOME] + numbers + ends

    def rows_of(self, record: Record) -> list[dict[str, Scalar]]:
        """The rows of one cell: column name -> value; one row without numbers unless it ended ``ok``."""
        shared = {c.name: c.value(record) for c in (*IDENTITY, *OUTCOME, *self.origin, *PROVENANCE)}
        points = list(self.points(record)) or [(dict.fromkeys(self.axes), None)]
        return [shared | dict(axes) | self._numbers(measured) for axes, measured in points]

    def _numbers(self, measured: Any) -> dict[str, Scalar]:
        numbers: dict[str, Scalar] = {}
        for quantity in self.quantities:
            numbers[quantity.name] = None if measured is None else quantity.value(measured)
            if quantity.interval:
                low, high = (None, None) if measured is None else quantity.interval(measured)
                numbers |= {f"{quantity.name}_low": low, f"{quantity.name}_high": high}
        return numbers
