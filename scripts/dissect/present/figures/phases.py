"""Figure 5: how much of each phase of a training step the device was busy, and with what."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from dissect.base.outcome import Status
from dissect.cells.manifest import Manifest
from dissect.config.layout import FigureLayout
from dissect.present.figures.outcomes import write_outcomes
from dissect.present.figures.style import COLUMN_WIDTH_IN, GREY, OKABE_ITO
from dissect.present.tables.labels import axis_label
from dissect.present.tables.marks import mark
from dissect.present.tables.tidy import plain_rows

PARTS = (
    ("compute_share", "Compute {}", OKABE_ITO[0], "white"),
    ("communication_share", "Communication, not overlapped", OKABE_ITO[4], "black"),
    ("idle_share", "Idle", "#DADADA", "black"),
)
"""Quantity, label, colour, colour of the number in it."""
PHASES = ("forward", "backward", "optimizer")
_BAR_IN, _TITLE_IN = 0.24, 0.26
_LEAST_WRITTEN = 5
"""Percent: a narrower piece has no room for its number."""


@dataclass(frozen=True)
class Bar:
    """One phase of one cell: shares in percent, in the order of ``PARTS``."""

    label: str
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Group:
    """One cell: its bars, or what it ended as."""

    label: str
    bars: list[Bar]
    outcome: str = ""


def groups_of(manifest: Manifest, layout: FigureLayout, frame: pd.DataFrame) -> list[Group]:
    """The cells in the order of the CSV."""
    found = []
    for values, rows in frame.groupby(list(layout.series), sort=False, dropna=False):
        label = ", ".join(axis_label(manifest, axis, value) for axis, value in zip(layout.series, values, strict=True))
        measured = plain_rows(rows[(rows["status"] == Status.OK) & rows["step_phase"].isin(PHASES)])
        bars = [
            Bar(axis_label(manifest, "step_phase", row["step_phase"]), tuple(100 * row[name] for name, *_ in PARTS))
            for row in measured
        ]
        outcome = "" if bars else mark(plain_rows(rows)[0]).text
        found.append(Group(label, bars, outcome))
    return found


def draw_phases(manifest: Manifest, layout: FigureLayout, frame: pd.DataFrame) -> Figure:
    """One stacked bar per phase, the cells one below the other; a cell without numbers says how it ended."""
    groups = groups_of(manifest, layout, frame)
    height = 0.75 + sum(_TITLE_IN + _BAR_IN * max(1, len(group.bars)) for group in groups)
    figure = Figure(figsize=(COLUMN_WIDTH_IN, max(1.2, height)))
    axes = figure.add_subplot()
    if not groups:
        write_outcomes(axes, "", [])
        return figure
    ticks = _draw_groups(axes, groups, _kernels(frame))
    axes.set_yticks([place for place, _ in ticks], [label for _, label in ticks])
    axes.set_ylim(max(place for place, _ in ticks) + 0.5, -1.1)
    axes.set_xlim(0, 100)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda percent, _: f"{percent:g} %"))
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("Share of the phase")
    if any(group.bars for group in groups):
        figure.legend(loc="outside upper left", ncols=2, handlelength=1, columnspacing=1.2, borderaxespad=0.2)
    return figure


def _kernels(frame: pd.DataFrame) -> str:
    """What was timed: nobody may take a CPU's operators for kernels."""
    devices = set(frame["device"].dropna())
    return "operators" if devices == {"cpu"} else "kernels (CPU: operators)" if "cpu" in devices else "kernels"


def _draw_groups(axes: Axes, groups: Sequence[Group], kernels: str) -> list[tuple[float, str]]:
    """Bars from the top down; returns where each row stands and its label."""
    ticks: list[tuple[float, str]] = []
    top = 0.0
    for number, group in enumerate(groups):
        axes.text(0, top - 0.66, group.label, va="center", fontsize=7.5, fontweight="bold")
        if not group.bars:
            axes.text(1, top, group.outcome, va="center", color=GREY, fontsize=7)
            ticks.append((top, ""))
        first = number == next((i for i, each in enumerate(groups) if each.bars), None)
        for row, bar in enumerate(group.bars):
            _draw_bar(axes, top + row, bar, kernels if first and row == 0 else None)
            ticks.append((top + row, bar.label))
        top += max(1, len(group.bars)) + _TITLE_IN / _BAR_IN
    return ticks


def _draw_bar(axes: Axes, place: float, bar: Bar, kernels: str | None) -> None:
    """``kernels`` names what was timed in the legend; None leaves the bar out of it."""
    left = 0.0
    for share, (_, label, colour, text) in zip(bar.shares, PARTS, strict=True):
        axes.barh(place, share, left=left, height=0.72, color=colour, label=label.format(kernels) if kernels else None)
        if share >= _LEAST_WRITTEN:
            axes.text(left + share / 2, place, f"{share:.0f}", ha="center", va="center", color=text, fontsize=7)
        left += share
