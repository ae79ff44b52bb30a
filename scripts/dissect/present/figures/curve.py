"""A quantity over a size: bandwidth over bytes, throughput over the sequence length."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from dissect.cells.manifest import Manifest
from dissect.config.layout import FigureLayout
from dissect.present.figures.panels import Line, draw_legend, new_figure, no_cells, panels_of, say_empty, set_titles
from dissect.present.figures.style import look
from dissect.present.tables.columns import Quantity
from dissect.present.tables.labels import axis_label, row_header
from dissect.present.tables.views import VIEWS

_TOO_HIGH = 20
"""How many times the lowest line the highest may reach on a linear scale."""


def draw_curve(manifest: Manifest, layout: FigureLayout, frame: pd.DataFrame) -> Figure:
    """One panel per value of ``layout.panels``, one line per series; sizes without a number are named above it."""
    panels = panels_of(manifest, layout, frame)
    if not panels:
        return no_cells()
    quantity = VIEWS[layout.view].by_name[layout.values[0]]
    figure, parts = new_figure(len(panels))
    for axes, panel in zip(parts, panels, strict=True):
        set_titles(manifest, layout, axes, panel, len(panels))
        lines = [line for line in panel.lines if line.rows]
        if not lines:
            say_empty(axes)
            continue
        for line in lines:
            _draw_line(axes, layout, quantity, line)
        sizes = sorted({row[layout.x[0]] for line in lines for row in line.rows})
        _scale_values(axes, [max(row[quantity.name] for row in line.rows) for line in lines])
        _scale_sizes(manifest, layout, axes, sizes[:: -(-len(sizes) // (3 if len(panels) == 3 else 6))])
    figure.supxlabel(row_header(layout.x[0]), fontsize=8)
    parts[0].set_ylabel(f"{quantity.header} ({quantity.unit})")
    draw_legend(figure, parts)
    return figure


def _draw_line(axes: Axes, layout: FigureLayout, quantity: Quantity, line: Line) -> None:
    colour, marker = look(line.index)
    sizes = [row[layout.x[0]] for row in line.rows]
    values = [row[quantity.name] * quantity.scale for row in line.rows]
    if quantity.interval:
        low, high = ([row[f"{quantity.name}_{end}"] * quantity.scale for row in line.rows] for end in ("low", "high"))
        reach = [
            [value - end for value, end in zip(values, low, strict=True)],
            [end - value for value, end in zip(values, high, strict=True)],
        ]
        axes.errorbar(sizes, values, yerr=reach, color=colour, fmt="none", elinewidth=1, zorder=2)
    axes.plot(sizes, values, color=colour, marker=marker, label=line.label, zorder=3)


def _scale_values(axes: Axes, heights: list[float]) -> None:
    """From zero, unless the lines are of such different height that the lower ones could not be told apart."""
    if max(heights) > _TOO_HIGH * min(heights):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)


def _scale_sizes(manifest: Manifest, layout: FigureLayout, axes: Axes, labelled: list[int]) -> None:
    """Sizes by powers of two; as many are labelled as there is room for."""
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(labelled))
    axes.xaxis.set_minor_locator(NullLocator())
    labels = FuncFormatter(lambda size, _: axis_label(manifest, layout.x[0], round(size), bare=True))
    axes.xaxis.set_major_formatter(labels)
    axes.tick_params(axis="x", labelsize=6.5)
