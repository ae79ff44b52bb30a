"""Figures of several panels with the same lines: who stands where, and what has no number."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dissect.base.outcome import Status
from dissect.cells.manifest import Manifest
from dissect.config.layout import Axis, FigureLayout
from dissect.present.figures.outcomes import write_outcomes
from dissect.present.figures.style import COLUMN_WIDTH_IN, GREY
from dissect.present.tables.labels import axis_label, axis_order
from dissect.present.tables.marks import short_mark
from dissect.present.tables.tidy import plain_rows

Row = dict[str, Any]
_PANEL_HEIGHT_IN = 2.2
_LEGEND_MARK_IN, _LEGEND_LETTER_IN = 0.5, 0.07
"""Widths in a legend."""


@dataclass(frozen=True)
class Line:
    """One series in one panel; the same index has the same look in every panel."""

    label: str
    index: int
    rows: list[Row]
    """Those with a number, ascending along the first axis of the points."""
    missing: list[Row]


@dataclass(frozen=True)
class Panel:
    """One part of the figure."""

    title: str
    lines: list[Line]
    rows: list[Row]


def panels_of(manifest: Manifest, layout: FigureLayout, frame: pd.DataFrame) -> list[Panel]:
    """The panels, with all series of the figure in each, in the order of the CSV."""
    rows = plain_rows(frame)
    order = axis_order(rows)
    places = list(dict.fromkeys(tuple(row[axis] for axis in layout.series) for row in rows))
    places.sort(key=lambda place: [order[axis].index(v) for axis, v in zip(layout.series, place, strict=True)])
    parts = _parts(rows, layout)
    found = []
    for part in dict.fromkeys(parts):
        inside = [row for row in rows if _stands_in(row, layout, part)]
        lines = [_line(manifest, layout, index, place, inside) for index, place in enumerate(places)]
        title = ", ".join(axis_label(manifest, axis, v) for axis, v in zip(layout.panels, part, strict=True))
        found.append(Panel(title, [line for line in lines if line.rows or line.missing], inside))
    return found


def new_figure(n_panels: int) -> tuple[Figure, list[Axes]]:
    """One column of a page for a single panel, else its full width with up to three side by side."""
    across = n_panels if n_panels < 4 else 2
    down = -(-n_panels // across)
    figure = Figure(figsize=(COLUMN_WIDTH_IN * min(2, across), 0.4 + _PANEL_HEIGHT_IN * down))
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat[n_panels:]:
        axes.set_axis_off()
    return figure, list(grid.flat[:n_panels])


def set_titles(manifest: Manifest, layout: FigureLayout, axes: Axes, panel: Panel, across: int, note: str = "") -> None:
    """The panel's title, and in grey below it which series or points have no number, and why."""
    marks: dict[str, list[str]] = {}
    for line in panel.lines:
        for row in line.missing:
            at = [axis_label(manifest, axis, row[axis]) for axis in layout.x if row[axis] is not None]
            marks.setdefault(short_mark(row["status"]), []).append(" ".join([line.label, *at]))
    notes = [*([note] if note else []), *(f"{mark}: {', '.join(names)}" for mark, names in marks.items())]
    width = {1: 58, 3: 38}.get(across, 64)
    lines = [wrapped for text in notes for wrapped in textwrap.wrap(text, width)]
    axes.set_title("\n".join(lines), loc="left", fontsize=6, color=GREY, linespacing=1.3)
    if panel.title:
        axes.annotate(
            panel.title, (0, 1), xycoords="axes fraction", xytext=(0, 5 + 7.8 * len(lines)),
            textcoords="offset points", fontsize=8,
        )  # fmt: skip


def say_empty(axes: Axes) -> None:
    """In place of a panel in which nothing has a number; the titles say why."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, "no number", ha="center", va="center", color=GREY, transform=axes.transAxes)


def no_cells() -> Figure:
    """Of an experiment without any cell on the configured platforms."""
    figure, [axes] = new_figure(1)
    write_outcomes(axes, "", [])
    return figure


def draw_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One for all panels: each label once, as many side by side as fit."""
    handles = {label: handle for each in axes for handle, label in zip(*each.get_legend_handles_labels(), strict=True)}
    if handles:
        entry_in = _LEGEND_MARK_IN + _LEGEND_LETTER_IN * max(map(len, handles))
        columns = max(1, int(figure.get_figwidth() / entry_in))
        figure.legend(
            handles.values(), handles.keys(), loc="outside upper left", ncols=columns, handlelength=1.8,
            columnspacing=1.2, borderaxespad=0.2,
        )  # fmt: skip


def _parts(rows: list[Row], layout: FigureLayout) -> list[tuple[Any, ...]]:
    """Places of the panels that rows with all their axes stand in; those of all rows if there are no such."""
    places = [tuple(row[axis] for axis in layout.panels) for row in rows]
    return [place for place in places if None not in place] or places


def _stands_in(row: Row, layout: FigureLayout, part: tuple[Any, ...]) -> bool:
    """A cell without numbers has none of the axes below it, and stands in every panel of its own."""
    return all(row[axis] in (value, None) for axis, value in zip(layout.panels, part, strict=True))


def _line(manifest: Manifest, layout: FigureLayout, index: int, place: tuple[Any, ...], rows: list[Row]) -> Line:
    own = [row for row in rows if tuple(row[axis] for axis in layout.series) == place]
    measured = [row for row in own if row["status"] == Status.OK]
    if layout.x:
        measured.sort(key=lambda row: row[layout.x[0]])
    labels = [_label(manifest, own, axis, value) for axis, value in zip(layout.series, place, strict=True)]
    return Line(", ".join(labels), index, measured, [row for row in own if row["status"] != Status.OK])


def _label(manifest: Manifest, rows: list[Row], axis: Axis, value: Any) -> str:
    """GPUs by their name: on cpu they are processes."""
    names = {manifest.platforms[row["platform"]].gpu_label for row in rows}
    if axis == "n_gpus" and len(names) == 1:
        return f"{value} × {names.pop()}"
    return axis_label(manifest, axis, value)
