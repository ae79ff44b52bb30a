"""What stands in place of a figure that has no number to draw."""

import textwrap
from collections.abc import Iterable

from matplotlib.axes import Axes

from dissect.present.figures.style import GREY

_WIDTH = 52
"""Letters of a line."""


def write_outcomes(axes: Axes, headline: str, outcomes: Iterable[str]) -> None:
    """Every outcome, each once, below a headline; or that there is no cell at all."""
    lines = [line for said in dict.fromkeys(outcomes) for line in textwrap.wrap(said, _WIDTH, subsequent_indent="   ")]
    axes.set_axis_off()
    if lines:
        axes.text(0, 1, headline, va="top", transform=axes.transAxes)
    text = "\n".join(lines or ["The experiment has no cell on the configured platforms."])
    top = 0.88 if lines else 1
    axes.text(0, top, text, va="top", color=GREY, fontsize=7, linespacing=1.4, transform=axes.transAxes)
