"""Figure 4: how much of the throughput per GPU is left when more GPUs work together."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import blended_transform_factory, offset_copy

from dissect.base.outcome import Status
from dissect.cells.manifest import Manifest
from dissect.config.layout import FigureLayout
from dissect.present.figures.outcomes import write_outcomes
from dissect.present.figures.style import COLUMN_WIDTH_IN, GREY, look
from dissect.present.tables.efficiency import Point, efficiencies
from dissect.present.tables.labels import axis_label
from dissect.present.tables.marks import mark, short_mark
from dissect.present.tables.tidy import plain_rows

ROW_POINTS = 9
"""Height of one row of outcomes above the axis."""
ROW_SHARE = 0.1
"""The same as a share of the range that the lines take."""


@dataclass(frozen=True)
class Missing:
    """A count of GPUs without a number, and the outcome in its place."""

    n_gpus: int
    mark: str
    """One word."""
    reason: str


@dataclass(frozen=True)
class Series:
    """One line."""

    label: str
    points: list[Point]
    missing: list[Missing]


def series_of(manifest: Manifest, layout: FigureLayout, frame: pd.DataFrame) -> list[Series]:
    """The lines in the order of the CSV."""
    found = []
    for values, rows in frame.groupby(list(layout.series), sort=False, dropna=False):
        label = ", ".join(axis_label(manifest, axis, value) for axis, value in zip(layout.series, values, strict=True))
        measured = rows["status"] == Status.OK
        found.append(Series(label, efficiencies(rows[measured]), _missing(rows[~measured])))
    return found


def draw_scaling(manifest: Manifest, layout: FigureLayout, frame: pd.DataFrame) -> Figure:
    """Efficiency over the number of GPUs; counts without a number carry their outcome at the bottom."""
    series = series_of(manifest, layout, frame)
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 2.5))
    axes = figure.add_subplot()
    if not any(line.points for line in series):
        _say_why_empty(axes, series)
        return figure
    _draw_ideal(axes)
    for index, line in enumerate(series):
        _draw_line(axes, line, index)
    incomplete = [index for index, line in enumerate(series) if line.missing]
    _scale(axes, series, rows_below=len(incomplete))
    for row, index in enumerate(reversed(incomplete)):
        _draw_missing(figure, axes, series[index], index, row)
    axes.set_xlabel(_count_label(frame))
    axes.set_ylabel("Scaling efficiency")
    figure.legend(loc="outside upper left", ncols=2, handlelength=1.8, columnspacing=1.2, borderaxespad=0.2)
    return figure


def _missing(rows: pd.DataFrame) -> list[Missing]:
    return [Missing(row["n_gpus"], short_mark(row["status"]), _reason(row)) for row in plain_rows(rows)]


def _reason(row: Mapping[str, Any]) -> str:
    entry = mark(row)
    return entry.notes[0] if entry.notes else entry.text


def _draw_ideal(axes: Axes) -> None:
    axes.axhline(100, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate(
        "ideal", (1, 100), xycoords=("axes fraction", "data"), xytext=(3, 0), textcoords="offset points",
        va="center", color=GREY, fontsize=7,
    )  # fmt: skip


def _draw_line(axes: Axes, line: Series, index: int) -> None:
    colour, marker = look(index)
    if not line.points:
        axes.plot([], [], label=f"{line.label} (no number)", **_hollow(index))
        return
    counts = [point.n_gpus for point in line.points]
    values = [point.efficiency for point in line.points]
    reach = [[p.efficiency - p.low for p in line.points[1:]], [p.high - p.efficiency for p in line.points[1:]]]
    axes.errorbar(counts[1:], values[1:], yerr=reach, color=colour, fmt="none", elinewidth=1, zorder=2)
    axes.plot(counts, values, color=colour, marker=marker, label=line.label + _base_note(line), zorder=3)


def _hollow(index: int) -> dict[str, Any]:
    """Marker of a series where it has no number."""
    colour, marker = look(index)
    return {
        "marker": marker, "markerfacecolor": "white", "markeredgecolor": colour, "markeredgewidth": 1,
        "markersize": 4, "linestyle": "none",
    }  # fmt: skip


def _base_note(line: Series) -> str:
    """Says which count is 100 % where smaller ones have no number."""
    base = line.points[0].n_gpus
    return f" (100 % at {base})" if any(missing.n_gpus < base for missing in line.missing) else ""


def _draw_missing(figure: Figure, axes: Axes, line: Series, index: int, row: int) -> None:
    """The outcomes of one series: a row of its own above the axis, each at the count that it belongs to."""
    at_count = blended_transform_factory(axes.transData, axes.transAxes)
    height = ROW_POINTS * (row + 0.6)
    for missing in line.missing:
        place = offset_copy(at_count, figure, x=-11, y=height, units="points")
        axes.plot(missing.n_gpus, 0, transform=place, clip_on=False, **_hollow(index))
        axes.annotate(
            missing.mark, (missing.n_gpus, 0), xycoords=at_count, xytext=(-7, height), textcoords="offset points",
            va="center", color=look(index)[0], fontsize=6.5,
        )  # fmt: skip


def _scale(axes: Axes, series: Sequence[Series], rows_below: int) -> None:
    measured = [point for line in series for point in line.points]
    counts = sorted({p.n_gpus for p in measured} | {m.n_gpus for line in series for m in line.missing})
    axes.set_xscale("log", base=2)
    axes.set_xlim(counts[0] / 2**0.35, counts[-1] * 2**0.3)
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:g}"))
    floor = max(0, 10 * math.floor((min(point.low for point in measured) - 5) / 10))
    top = max(103, max(point.high for point in measured) + 2)
    ticks = [tick for tick in MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(floor, top) if floor <= tick <= top]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda percent, _: f"{percent:g} %"))
    axes.set_ylim(floor - rows_below * ROW_SHARE * (top - floor), top)


def _count_label(frame: pd.DataFrame) -> str:
    devices = set(frame["device"].dropna())
    if devices == {"cpu"}:
        return "Number of processes"
    return "Number of GPUs (CPU: processes)" if "cpu" in devices else "Number of GPUs"


def _say_why_empty(axes: Axes, series: Sequence[Series]) -> None:
    """In place of a drawing: the outcomes, those of equal reason together."""
    counts: dict[tuple[str, str], list[str]] = {}
    for line in series:
        for missing in line.missing:
            counts.setdefault((line.label, missing.reason), []).append(str(missing.n_gpus))
    outcomes = [f"{label}, {', '.join(at)}: {reason}" for (label, reason), at in counts.items()]
    write_outcomes(axes, "No point of this figure has a number", outcomes)
