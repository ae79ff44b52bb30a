"""Views, which make rows of numbers from cells of one kind."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dissect.base.outcome import Status
from dissect.present.tables.columns import IDENTITY, OUTCOME, PROVENANCE, Column, Quantity, Record, Scalar
from dissect.present.tables.over_runs import PointOfRun, counts_of, names_of, numbers_of
from dissect.present.tables.start_classes import START_CLASS, class_of
from dissect.results.result import Result

Points = Callable[[Record, Result], Iterable[tuple[Mapping[str, Scalar], Any]]]


@dataclass(frozen=True)
class View:
    """Content of a tidy CSV of one kind of cells: one row per point of each cell."""

    points: Points
    """Points of a run that ended ``ok``: values of the view's own axes, and the input of its quantities."""
    quantities: tuple[Quantity, ...]
    axes: Mapping[str, str] = field(default_factory=dict)
    """Axis below the cell -> meaning; empty in the single row of a cell without numbers."""
    origin: tuple[Column, ...] = ()
    """Columns with the origin of such numbers."""
    across: Callable[[Sequence[tuple[Record, dict[str, Any]]]], None] | None = None
    """Fills in numbers that compare cells of one table, given the rows of all of them."""

    @cached_property
    def by_name(self) -> dict[str, Quantity]:
        """Name -> quantity."""
        return {quantity.name: quantity for quantity in self.quantities}

    def column_names(self) -> list[str]:
        """The header of the tidy CSV."""
        numbers = [column for q in self.quantities for column in q.columns]
        ends = [column.name for column in (*self.origin, *PROVENANCE)]
        return [c.name for c in IDENTITY] + list(self.axes) + [c.name for c in OUTCOME] + numbers + ends

    def rows_of(self, record: Record) -> list[dict[str, Any]]:
        """The rows of one cell: column name -> value, the values of single runs (``RUN_VALUES``), and ``START_CLASS``.

        A cell has one row without numbers unless all its runs ended ``ok``.
        """
        shared = {c.name: c.value(record) for c in (*IDENTITY, *OUTCOME, *self.origin, *PROVENANCE)}
        places: dict[tuple[Scalar, ...], list[PointOfRun]] = {}
        if record.runs and record.runs.status is Status.OK:
            for run in record.results:
                for named, measured in self.points(record, run):
                    place = tuple(named[axis] for axis in self.axes)
                    places.setdefault(place, []).append(PointOfRun(run, named, measured))
        rows = [
            {**shared, **counts_of(points), **names_of(points), **numbers_of(self.quantities, points)}
            for points in places.values()
        ] or [{**shared, **dict.fromkeys(self.axes), **numbers_of(self.quantities, [])}]
        for row in rows:
            row[START_CLASS] = class_of(record.spec, row)
        return rows
