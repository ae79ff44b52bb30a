"""Figure 6: throughput of the serving engines as bars, grouped by platform, one panel per model."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.transforms import blended_transform_factory

from dissect.base.outcome import Status
from dissect.cells.manifest import Manifest
from dissect.config.layout import FigureLayout
from dissect.present.figures.multiples import Panels, add_legend, panel_axes, say_why_empty
from dissect.present.figures.style import look
from dissect.present.tables.labels import axis_label
from dissect.present.tables.marks import short_mark
from dissect.present.tables.views import VIEWS

GROUP_WIDTH = 0.84
"""Of the bars of one platform together; platforms are 1 apart."""
HATCHES = ("", "//////", "......", "xxxxxx")


def draw_throughput(manifest: Manifest, layout: FigureLayout, frame: pd.DataFrame) -> Figure:
    """Bars from zero; where a number is missing its outcome stands upright in the bar's place."""
    panels = Panels.of(manifest, layout, frame)
    if not panels.has_numbers:
        return say_why_empty(panels)
    values = panels.values(panels.panel_axis)
    figure, all_axes = panel_axes(len(values), 2.6)
    for axes, value in zip(all_axes, values, strict=True):
        for position, group in enumerate(panels.values(layout.x[-1])):
            _draw_group(axes, panels, position, {panels.panel_axis: value, layout.x[-1]: group})
        _label_groups(axes, panels)
        if len(values) > 1:
            axes.set_title(panels.title(value), fontsize=8)
    quantity = VIEWS[layout.view].by_name[layout.drawn]
    all_axes[0].set_ylabel(f"{quantity.header} ({quantity.unit})")
    add_legend(figure, panels, lambda colour, style: Patch(**_look(colour, style)))
    return figure


def _look(colour: str, style: int) -> dict[str, Any]:
    """The first style is filled, the others are hatched."""
    face = colour if style == 0 else "white"
    return {"facecolor": face, "edgecolor": colour, "hatch": HATCHES[style % len(HATCHES)], "linewidth": 0.8}


def _draw_group(axes: Axes, panels: Panels, position: int, where: dict[str, Any]) -> None:
    """The bars of one platform side by side; an outcome that a whole colour shares stands once, in its middle."""
    all_series = panels.series()
    width = GROUP_WIDTH / len(all_series)
    at = {series: position - GROUP_WIDTH / 2 + width * (i + 0.5) for i, series in enumerate(all_series)}
    missing: dict[tuple[int, str], list[float]] = {}
    for series in all_series:
        for row in panels.of_series(series, **where):
            if row["status"] == Status.OK:
                axes.bar(
                    at[series], row[panels.layout.drawn], width * 0.86, **_look(look(series.colour)[0], series.style)
                )
            else:
                missing.setdefault((series.colour, short_mark(row["status"])), []).append(at[series])
    labels = {series.colour: panels.colour_label(series) for series in all_series}
    upright = blended_transform_factory(axes.transData, axes.transAxes)
    for (colour, outcome), places in missing.items():
        axes.text(
            sum(places) / len(places), 0.03, f"{labels[colour]}: {outcome}", rotation=90, ha="center", va="bottom",
            fontsize=6.5, color=look(colour)[0], transform=upright,
        )  # fmt: skip


def _label_groups(axes: Axes, panels: Panels) -> None:
    axis = panels.layout.x[-1]
    labels = [axis_label(panels.manifest, axis, group) for group in panels.values(axis)]
    axes.set_xticks(range(len(labels)), labels, rotation=20 if len(labels) > 3 else 0)
    axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", length=0)
