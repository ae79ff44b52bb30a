"""Figures by kind, drawn from a tidy CSV and the layout in the manifest."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from dissect.cells.manifest import Manifest
from dissect.config.layout import FigureLayout
from dissect.present.figures.curve import draw_curve
from dissect.present.figures.distribution import draw_distribution
from dissect.present.figures.phases import draw_phases
from dissect.present.figures.roofline import draw_roofline
from dissect.present.figures.scaling import draw_scaling
from dissect.present.figures.style import save_figure, style
from dissect.present.figures.throughput import draw_throughput

KINDS: dict[str, Callable[[Manifest, FigureLayout, pd.DataFrame], Figure]] = {
    "scaling": draw_scaling,
    "throughput": draw_throughput,
    "distribution": draw_distribution,
    "curve": draw_curve,
    "roofline": draw_roofline,
    "phases": draw_phases,
}
"""``layout.kind`` -> what draws it."""

_TEXT = (
    "platform", "model", "framework", "method", "workload", "batch", "status", "phase", "reason", "device", "dtype",
    "product", "direction",
)  # fmt: skip
_WHOLE = ("rows", "size_bytes", "sequence")


def read_tidy(path: Path) -> pd.DataFrame:
    """A CSV that ``write_table`` wrote; an empty field is NaN, ids and marks stay text."""
    return pd.read_csv(path, dtype=dict.fromkeys(_TEXT, "string") | dict.fromkeys(_WHOLE, "Int64"))


def draw(manifest: Manifest, frame: pd.DataFrame) -> Figure:
    """The figure that the manifest's layout asks for."""
    layout = FigureLayout.model_validate(manifest.layout)
    return KINDS[layout.kind](manifest, layout, frame)


def save(manifest: Manifest, frame: pd.DataFrame, paths: list[Path | None]) -> None:
    """Draw once and write every path that is given; the same data give the same bytes."""
    with style():
        figure = draw(manifest, frame)
        for path in paths:
            if path:
                save_figure(figure, path, manifest.title)
