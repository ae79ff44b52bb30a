"""Lines over a size: a quantity over bytes or tokens, and Figure 4, scaling efficiency over the number of GPUs."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import altair as alt

from dissect.config.layout import Axis
from dissect.present.figures.layers import (
    HEIGHT,
    TELLS,
    Described,
    Part,
    across,
    colour,
    data_of,
    panel_of,
    shape,
    side_by_side,
    size_axis,
    value_axis,
    width,
)
from dissect.present.figures.look import FAINT, NOTE, OUTLINE
from dissect.present.figures.subject import Panel, Row, Subject, interval_of
from dissect.present.tables.columns import Quantity
from dissect.present.tables.labels import axis_label, row_header
from dissect.present.tables.views import VIEWS

Marks = list[dict[str, Any]]
_BELOW, _CROSS = 3, 10
"""Between the scale of numbers and the crosses of outcomes, and height of such a cross, in pixels."""


def curve(subject: Subject) -> Described:
    """One panel per value of ``layout.panels``, one line per series; sizes without a number are crossed below."""
    layout, quantity = subject.layout, subject.quantity
    title = f"{quantity.header} ({quantity.unit})"
    panels = subject.panels(subject.panel_axes)
    drawn = [
        [
            subject.mark(
                row, [quantity], x=row[layout.x[0]], series=subject.label(row, layout.series), **_point(row, quantity)
            )
            for row in panel.rows
        ]
        for panel in panels
    ]  # fmt: skip

    def series(row: Row) -> str:
        return subject.label(row, layout.series)

    return _lines(subject, layout.x[0], panels, drawn, (_size_title(layout.x[0]), title), series)


def scaling(subject: Subject) -> Described:
    """Efficiency over the number of GPUs, in percent of the smallest number that was measured."""
    [panel] = subject.panels([])
    efficiency = VIEWS["training"].by_name["scaling_efficiency"]
    drawn: Marks = []
    names: dict[tuple[Any, ...], str] = {}
    fewest = min(row["n_gpus"] for row in subject.rows)
    for place, rows in _grouped(subject, panel.rows).items():
        base = min(row["n_gpus"] for row in rows)
        names[place] = subject.label(rows[0], subject.layout.series) + (f" (100 % at {base})" if base > fewest else "")
        drawn += [
            subject.mark(
                row, [subject.quantity, efficiency], x=row["n_gpus"], series=names[place], **_point(row, efficiency)
            )
            for row in rows
        ]  # fmt: skip
    for row in panel.missing:
        names.setdefault(_place(subject, row), f"{subject.label(row, subject.layout.series)} (no number)")

    def series(row: Row) -> str:
        return names[_place(subject, row)]

    return _lines(
        subject, "n_gpus", [panel], [drawn], (_count_label(subject.rows), "Scaling efficiency (%)"), series, ideal=100
    )


def _place(subject: Subject, row: Row) -> tuple[Any, ...]:
    return tuple(row[axis] for axis in subject.layout.series)


def _grouped(subject: Subject, rows: Sequence[Row]) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(_place(subject, row), []).append(row)
    return groups


def _point(row: Row, quantity: Quantity) -> dict[str, float]:
    return {"y": row[quantity.name] * quantity.scale, **interval_of(row, quantity)}


def _size_title(axis: Axis) -> str:
    """Title of the axis of sizes; labels of bytes have their unit."""
    return f"{row_header(axis)} (tokens)" if axis in ("sequence", "seq_len") else row_header(axis)


def _count_label(rows: Sequence[Row]) -> str:
    devices = {row["device"] for row in rows} - {None}
    if devices == {"cpu"}:
        return "Number of processes"
    return "Number of GPUs (CPU: processes)" if "cpu" in devices else "Number of GPUs"


def _lines(
    subject: Subject, axis: Axis, panels: Sequence[Panel], drawn: Sequence[Marks], titles: tuple[str, str],
    series: Callable[[Row], str], ideal: float | None = None,
) -> Described:  # fmt: skip
    n = len(panels)
    labels = subject.labels(subject.layout.series, series, marked=axis)
    parts, notes = [], []
    values = [mark[name] for marks in drawn for mark in marks for name in ("y", "low", "high") if name in mark]
    losses = [[row for row in panel.missing if row[axis] is not None] for panel in panels]
    crosses = [_crosses(subject, axis, lost, series) for lost in losses]
    below = max((cross["place"] + _CROSS - HEIGHT for each in crosses for cross in each), default=0)
    for number, (panel, marks, lost) in enumerate(zip(panels, drawn, losses, strict=True)):
        sizes = {row[axis]: axis_label(subject.manifest, axis, row[axis], bare=True) for row in (*panel.rows, *lost)}
        y = value_axis("y", titles[1] if number % across(n) == 0 else None, values, is_shared=n > 1)
        x = size_axis("x", titles[0], sizes, below)
        parts.append(_panel(marks, crosses[number], x, y, labels, ideal, n))
        notes.append(subject.notes(panel.missing, subject.layout.x or [axis], width(n) // 5))
    return side_by_side(subject, panels, parts, notes, below)


def _panel(
    marks: Marks, crosses: Marks, x: alt.X, y: alt.Y, labels: Sequence[str], ideal: float | None, n_panels: int
) -> Part:
    tone = colour(labels, n_panels)
    base = alt.Chart().encode(x=x, y=y, color=tone)
    layers: list[Any] = []
    if ideal is not None:
        layers.append(alt.Chart(data_of([{"y": ideal}])).mark_rule(style=FAINT).encode(y="y:Q"))
    layers += [
        base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=1.2).encode(y="low:Q", y2="high:Q"),
        base.mark_line(strokeWidth=1.8),
        base.mark_point(filled=True, opacity=1, size=55, style=OUTLINE, tooltip=TELLS).encode(shape=shape(labels)),
    ]
    if crosses:
        layers.append(
            alt.Chart(data_of(crosses))
            .mark_text(text="×", fontSize=15, tooltip=TELLS, y=alt.expr("datum.place"))
            .encode(x=x, color=tone)
        )
        none = alt.Chart(data_of([{}])).mark_text(text="none", align="right", style=NOTE, x=-5, y=_height_of(1))
        layers.append(none)
    return panel_of(layers, marks)


def _height_of(number: int) -> int:
    """Where the first, second, ... cross of a size stands."""
    return HEIGHT + _BELOW + _CROSS * number


def _crosses(subject: Subject, axis: Axis, lost: Sequence[Row], series: Callable[[Row], str]) -> Marks:
    """At sizes without a number, in a strip below the scale of numbers; one below the other where several have none."""
    counts: Counter[Any] = Counter()
    crosses = []
    for row in lost:
        counts[row[axis]] += 1
        crosses.append(subject.mark(row, x=row[axis], series=series(row), place=_height_of(counts[row[axis]])))
    return crosses
