"""Figures by kind: one description for the files and for the page."""

from collections.abc import Callable, Sequence
from typing import Any

from dissect.base.outcome import Status
from dissect.cells.manifest import Manifest
from dissect.config.layout import FigureLayout
from dissect.present.figures.bars import bars
from dissect.present.figures.breakdown import phases
from dissect.present.figures.distribution import distribution
from dissect.present.figures.layers import Described, words_only
from dissect.present.figures.lines import curve, scaling
from dissect.present.figures.roofline import roofline
from dissect.present.figures.subject import Row, Subject

KINDS: dict[str, Callable[[Subject], Described]] = {
    "scaling": scaling,
    "throughput": bars,
    "distribution": distribution,
    "curve": curve,
    "roofline": roofline,
    "phases": phases,
}
"""``layout.kind`` -> what describes it."""


def describe(manifest: Manifest, layout: FigureLayout, rows: Sequence[Row]) -> dict[str, Any]:
    """The figure of these tidy rows in Vega-Lite, without colours: those are in the theme."""
    subject = Subject(manifest, layout, rows)
    return specification(subject, KINDS[layout.kind])


def specification(subject: Subject, kind: Callable[[Subject], Described]) -> dict[str, Any]:
    """The drawing, or in words why there is none."""
    if any(row["status"] == Status.OK for row in subject.rows):
        drawn = kind(subject)
    elif subject.rows:
        drawn = words_only(subject, "No cell of this figure has a number:", subject.reasons())
    else:
        drawn = words_only(subject, "The experiment has no cell on the configured platforms.", [])
    described: dict[str, Any] = drawn.to_dict()
    # Altair's own defaults give way to the theme.
    described.pop("config", None)
    return described
