"""Matrix products below the roof that a GPU's peak and memory bandwidth make (Williams et al., 2009)."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from dissect.cells.manifest import Manifest
from dissect.config.layout import FigureLayout
from dissect.present.figures.panels import (
    Line,
    draw_legend,
    new_figure,
    no_cells,
    panels_of,
    say_empty,
    set_titles,
)
from dissect.present.figures.style import GREY, look

_NO_ROOF = "no peak and no memory bandwidth are declared, so there is no roof"


def roof(intensity: float, peak_flops: float | None, bytes_per_s: float | None) -> float | None:
    """Most FLOP/s at an intensity in FLOP per byte: what the memory feeds, at most the peak; None without either."""
    limits = [limit for limit in (peak_flops, bytes_per_s and bytes_per_s * intensity) if limit]
    return min(limits, default=None)


def draw_roofline(manifest: Manifest, layout: FigureLayout, frame: pd.DataFrame) -> Figure:
    """One panel per value of ``layout.panels``: throughput over arithmetic intensity, both on logarithmic scales."""
    panels = panels_of(manifest, layout, frame)
    if not panels:
        return no_cells()
    figure, parts = new_figure(len(panels))
    for axes, panel in zip(parts, panels, strict=True):
        lines = [line for line in panel.lines if line.rows]
        for line in lines:
            _draw_points(axes, line)
        set_titles(manifest, layout, axes, panel, len(panels), _draw_roofs(axes, manifest, lines) if lines else "")
        if lines:
            _scale(axes)
        else:
            say_empty(axes)
    figure.supxlabel("Arithmetic intensity (FLOP/byte)", fontsize=8)
    figure.supylabel("Throughput (TFLOP/s)", fontsize=8)
    draw_legend(figure, parts)
    return figure


def _draw_points(axes: Axes, line: Line) -> None:
    colour, marker = look(line.index)
    x, y = [row["arithmetic_intensity"] for row in line.rows], [row["tflops"] for row in line.rows]
    axes.loglog(x, y, color=colour, marker=marker, linestyle="none", markersize=4, label=line.label, zorder=3)


def _draw_roofs(axes: Axes, manifest: Manifest, lines: Sequence[Line]) -> str:
    """The roofs of the platforms in the panel, at the dtypes of their points; in words what they are."""
    rows = [row for line in lines for row in line.rows]
    low, high = (end(row["arithmetic_intensity"] for row in rows) for end in (min, max))
    ends = (low / 1.6, high * 1.6)
    axes.set_xlim(*ends)
    words = []
    for platform, dtype in dict.fromkeys((row["platform"], row["dtype"]) for row in rows):
        facts = manifest.platforms[platform]
        peak, bandwidth = facts.peak_flops.get(dtype), facts.memory_bytes_per_s
        ridge = [peak / bandwidth] if peak and bandwidth else []
        intensities = sorted({*ends, *(at for at in ridge if ends[0] < at < ends[1])})
        heights = [height / 1e12 for at in intensities if (height := roof(at, peak, bandwidth))]
        if heights:
            axes.plot(intensities, heights, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
            words.append(_words(dtype, peak, bandwidth))
    return f"roof: {'; '.join(words)}" if words else _NO_ROOF


def _words(dtype: str, peak: float | None, bandwidth: float | None) -> str:
    parts = [f"{dtype} peak {peak / 1e12:g} TFLOP/s"] if peak else []
    return ", ".join([*parts, *([f"memory {bandwidth / 1e9:,.0f} GB/s"] if bandwidth else [])])


def _scale(axes: Axes) -> None:
    """Powers of ten, with 2 and 5 between them where the points span less than two."""
    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
