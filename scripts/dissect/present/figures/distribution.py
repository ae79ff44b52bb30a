"""Figures 7 to 10: which share of the requests was answered within which time, one panel per model."""

import textwrap
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dissect.cells.manifest import Manifest
from dissect.config.layout import FigureLayout
from dissect.present.figures.multiples import Panels, Series, add_legend, panel_axes, say_why_empty
from dissect.present.figures.style import GREY, look
from dissect.present.tables.views import VIEWS

DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
"""By style."""
LINE_POINTS = 8.5
"""Height of a line of outcomes."""


def draw_distribution(manifest: Manifest, layout: FigureLayout, frame: pd.DataFrame) -> Figure:
    """Steps through every request's own sample; series without samples say why in the corner."""
    panels = Panels.of(manifest, layout, frame)
    if not panels.has_numbers:
        return say_why_empty(panels)
    values = panels.values(panels.panel_axis)
    figure, all_axes = panel_axes(len(values), 2.5)
    for axes, value in zip(all_axes, values, strict=True):
        _draw_panel(axes, panels, value)
    quantity = VIEWS[layout.view].by_name[layout.drawn]
    for axes in all_axes:
        axes.set_xlabel(f"{quantity.header} ({quantity.unit})")
    all_axes[0].set_ylabel("Share of requests (%)")
    add_legend(
        figure, panels, lambda colour, style: Line2D([], [], color=colour, linestyle=DASHES[style % len(DASHES)])
    )
    return figure


def _draw_panel(axes: Axes, panels: Panels, panel: Any) -> None:
    """The lines of one model; what has none is said above them."""
    for series in panels.series():
        _draw_steps(axes, panels, series, panels.of_series(series, **{panels.panel_axis: panel}))
    here = [row for row in panels.rows if row[panels.panel_axis] == panel]
    labels = {series.colour: panels.colour_label(series) for series in panels.series()}
    missing = [f"{label}: {said}" for colour, label in labels.items() if (said := panels.outcomes(here, colour))]
    axes.set_ylim(0, 101)
    axes.set_xlim(0, 1.04 * axes.dataLim.xmax if axes.lines else 1)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    lines = textwrap.wrap("; ".join(missing), 60)
    axes.annotate(
        "\n".join(lines), (0.5, 1), xycoords="axes fraction", xytext=(0, 3), textcoords="offset points", ha="center",
        va="bottom", fontsize=6.5, linespacing=1.3, color=GREY,
    )  # fmt: skip
    if len(panels.values(panels.panel_axis)) > 1:
        axes.set_title(panels.title(panel), fontsize=8, pad=5 + LINE_POINTS * len(lines))


def _draw_steps(axes: Axes, panels: Panels, series: Series, rows: list[dict[str, Any]]) -> None:
    """The empirical distribution: each of n requests lifts the line by 1/n where it was answered."""
    scale = VIEWS[panels.layout.view].by_name[panels.layout.drawn].scale
    samples = sorted(row[panels.layout.drawn] * scale for row in rows if row[panels.layout.drawn] is not None)
    if not samples:
        return
    steps = [100 * (position + 1) / len(samples) for position in range(len(samples))]
    axes.plot(
        [samples[0], *samples], [0, *steps], drawstyle="steps-post", color=look(series.colour)[0],
        linestyle=DASHES[series.style % len(DASHES)],
    )  # fmt: skip
