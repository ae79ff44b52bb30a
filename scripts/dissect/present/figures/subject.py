"""What a figure is about: rows of one tidy table, spread over panels and series, each mark knowing its cell."""

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dissect.base.outcome import Flag, Status
from dissect.cells.cell_id import NO_NAME
from dissect.cells.manifest import Manifest
from dissect.config.layout import Axis, FigureLayout
from dissect.present.tables.columns import Quantity
from dissect.present.tables.labels import axis_label, axis_order
from dissect.present.tables.marks import mark, short_mark
from dissect.present.tables.views import VIEWS

Row = Mapping[str, Any]
IDS: tuple[Axis | str, ...] = ("key", "stage", "platform", "model", "framework", "method")
"""What the page filters marks by and links them with."""
_USUAL = "bf16"
"""The data type of figures that name none."""
_CELL: tuple[Axis, ...] = ("platform", "model", "framework", "method")


@dataclass(frozen=True)
class Panel:
    """One part of the figure."""

    title: str
    rows: Sequence[Row]
    """Those with a number."""
    missing: Sequence[Row]
    """The others, with their outcome."""


@dataclass(frozen=True)
class Subject:
    """Rows of a tidy table, and what their ids are called."""

    manifest: Manifest
    layout: FigureLayout
    rows: Sequence[Row]

    @property
    def quantity(self) -> Quantity:
        """What a figure of one quantity draws."""
        return VIEWS[self.layout.view].by_name[self.layout.drawn]

    @property
    def panel_axes(self) -> Sequence[Axis]:
        """What makes the panels: those of the layout, or the first axis of the points of bars and distributions."""
        return self.layout.panels or (self.layout.x[:1] if self.layout.kind in ("throughput", "distribution") else [])

    def panels(self, axes: Sequence[Axis]) -> list[Panel]:
        """One per value of these axes, in the order of the rows; cells without numbers stand in all of their own."""
        places = list(dict.fromkeys(tuple(row[axis] for axis in axes) for row in self.rows))
        places = [place for place in places if None not in place] or places
        found = []
        for place in places:
            own = [row for row in self.rows if all(row[a] in (v, None) for a, v in zip(axes, place, strict=True))]
            drawn = [row for row in own if row["status"] == Status.OK]
            shown = next((row for row in own if all(row[axis] is not None for axis in axes)), None)
            title = ", ".join(self._label(shown, axis) for axis in axes) if shown else ""
            found.append(Panel(title, drawn, [row for row in own if row["status"] != Status.OK]))
        return found

    def label(self, row: Row, axes: Iterable[Axis], bare: bool = False) -> str:
        """What a row's values of some axes are called. GPUs have their name: on ``cpu`` they are processes."""
        labels = []
        for axis in axes:
            gpu = self.manifest.platforms[row["platform"]].gpu_label
            is_named = axis == "n_gpus" and gpu and not bare
            labels.append(f"{row[axis]} × {gpu}" if is_named else self._label(row, axis, bare))
        return ", ".join(labels)

    def _label(self, row: Row, axis: Axis, bare: bool = False) -> str:
        """Of one axis; a platform with its data type where that is not the one that methods and texts name."""
        label = axis_label(self.manifest, axis, row[axis], bare)
        dtype = row["dtype"] or self._dtypes.get(row["platform"], _USUAL)
        return label if axis != "platform" or dtype == _USUAL else f"{label}, {dtype}"

    @cached_property
    def _dtypes(self) -> Mapping[str, str]:
        """The data type of each platform that has a cell with one; cells that cannot run have none."""
        return {row["platform"]: row["dtype"] for row in self.rows if row["dtype"]}

    def labels(
        self, axes: Sequence[Axis], name: Callable[[Row], str] | None = None, marked: Axis | None = None
    ) -> list[str]:
        """The labels of all rows with a number, in the order of the axes' values, and of others with a mark."""
        order = axis_order(self.rows)
        drawn = [row for row in self.rows if row["status"] == Status.OK or (marked and row[marked] is not None)]
        drawn.sort(key=lambda row: [order[axis].index(row[axis]) for axis in axes])
        return list(dict.fromkeys(name(row) if name else self.label(row, axes) for row in drawn))

    def mark(self, row: Row, quantities: Iterable[Quantity] = (), **fields: Any) -> dict[str, Any]:
        """A row as a figure's data has it: ids, fields, and what a reader who points at it is told."""
        ids = {name: "*" if row[name] == NO_NAME else row[name] for name in IDS}
        return ids | fields | {"says": self.said(row, quantities)}

    def said(self, row: Row, quantities: Iterable[Quantity]) -> dict[str, str]:
        """Which cell it is, its numbers with their intervals, and reasons to doubt them."""
        title = ", ".join(axis_label(self.manifest, axis, row[axis]) for axis in _CELL if row[axis] != NO_NAME)
        told = {"title": title, "Workload": row["workload"]}
        told |= {q.header: shown(q, row) for q in quantities if row[q.name] is not None}
        flags = [Flag(name).meaning for name in str(row["flags"] or "").split(";") if name]
        return told | ({"Reasons to doubt": "; ".join(flags)} if flags else {})

    def notes(self, missing: Iterable[Row], points: Sequence[Axis], letters: int) -> list[str]:
        """Lines of so many letters that name, by outcome, which series have no number, and at which points."""
        named: dict[str, dict[str, dict[str, None]]] = {}
        for row in missing:
            of_outcome = named.setdefault(short_mark(row["status"]), {})
            found = of_outcome.setdefault(self.label(row, self.layout.series), {})
            known = [self.label(row, [axis], bare=len(points) == 1) for axis in points if row[axis] is not None]
            found |= {" ".join(known): None} if known else {}
        return [
            line
            for outcome, series in named.items()
            for line in textwrap.wrap(f"{outcome}: {'; '.join(_joined(*each) for each in series.items())}", letters)
        ]

    def reasons(self) -> list[str]:
        """What every cell of the figure ended as; once where several ended alike."""
        told: tuple[Axis, ...] = (*_CELL, "n_gpus", "seq_len", "batch")
        axes: list[Axis] = [axis for axis in told if len({row[axis] for row in self.rows}) > 1] or ["platform"]
        reasons: dict[str, dict[str, None]] = {}
        for row in self.rows:
            ended = mark(row)
            reasons.setdefault((ended.notes or (ended.text,))[0], {})[self.label(row, axes)] = None
        return [f"{'; '.join(names)}: {reason}" for reason, names in reasons.items()]


def _joined(name: str, points: Iterable[str]) -> str:
    return " at ".join(filter(None, (name, ", ".join(points))))


def interval_of(row: Row, quantity: Quantity) -> dict[str, float]:
    """Ends of the interval of a number as shown, ``low`` and ``high``; nothing where it has none."""
    ends = {end: row.get(f"{quantity.name}_{end}") for end in ("low", "high")}
    return {name: end * quantity.scale for name, end in ends.items() if end is not None}


def shown(quantity: Quantity, row: Row) -> str:
    """A number with its interval and unit."""
    return f"{quantity.show_row(row)} {quantity.unit}".rstrip()
