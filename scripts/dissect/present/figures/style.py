"""One look for all figures, and bytes that depend on nothing but the data."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

COLUMN_WIDTH_IN = 3.5
"""Of a two-column paper."""

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Told apart with every common colour blindness (Okabe and Ito, 2008); yellow is left out, too pale for lines."""

MARKERS = ("o", "s", "^", "D", "v", "<", ">")
GREY = "#6E6E6E"

_STYLE: dict[RcKeyType, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "ytick.major.size": 0,
    "lines.linewidth": 1.5,
    "lines.markersize": 5,
    "lines.markeredgecolor": "white",
    "lines.markeredgewidth": 0.7,
    "errorbar.capsize": 2,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 300,
    # Text as text for editors and search, but set in the same glyphs everywhere.
    "pdf.fonttype": 42,
    "svg.hashsalt": "llm-dissect",
}


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's defaults and this look, whatever the user's own settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def look(index: int) -> tuple[str, str]:
    """Colour and marker of the n-th series; they repeat out of step, so no pair does soon."""
    return OKABE_ITO[index % len(OKABE_ITO)], MARKERS[(index + index // len(OKABE_ITO)) % len(MARKERS)]


def save_figure(figure: Figure, path: Path, title: str) -> None:
    """Write pdf, svg or png, by the path's suffix, without dates or versions."""
    metadata: dict[str, dict[str, str | None]] = {
        ".pdf": {"Title": title, "Creator": None, "Producer": None, "CreationDate": None},
        ".svg": {"Title": title, "Creator": None, "Date": None},
        ".png": {"Title": title, "Software": None},
    }
    figure.savefig(path, metadata=metadata[path.suffix])
