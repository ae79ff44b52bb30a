"""Figures by kind: one description for the files and for the page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dissect.base.outcome import Status
from dissect.cells.manifest import Manifest
from dissect.config.layout import FigureLayout, QuantityName
from dissect.present.figures.bars import bars
from dissect.present.figures.breakdown import modules, phases
from dissect.present.figures.distribution import distribution
from dissect.present.figures.interactivity import interactivity
from dissect.present.figures.layers import Described, words_only
from dissect.present.figures.lines import curve, scaling
from dissect.present.figures.memory import memory
from dissect.present.figures.rate import rate
from dissect.present.figures.roofline import roofline
from dissect.present.figures.subject import Row, Subject
from dissect.present.tables.columns import Combination, Quantity
from dissect.present.tables.marks import NOT_AVAILABLE
from dissect.present.tables.views import VIEWS

Kind = Callable[[Subject], Described]

KINDS: dict[str, Kind] = {
    "scaling": scaling,
    "throughput": bars,
    "distribution": distribution,
    "curve": curve,
    "roofline": roofline,
    "phases": phases,
    "rate": rate,
}
"""``layout.kind`` -> what describes it."""
_NEEDS: Mapping[Kind, Sequence[QuantityName]] = {
    scaling: ["scaling_efficiency"],
    roofline: ["tflops", "arithmetic_intensity"],
    phases: ["phase_time_s", "compute_share", "communication_share", "idle_share"],
    interactivity: ["output_tokens_per_s", "tpot_p50_s"],
    memory: ["peak_memory_gib", "tokens_per_s"],
    modules: ["module_time_s"],
    distribution: [],
    rate: ["offered_rate_per_s", "ttft_p99_s", "tpot_p99_s"],
}
"""What describes a figure -> quantities without which it has no place for a row; default: the one that it draws."""


def describe(manifest: Manifest, layout: FigureLayout, rows: Sequence[Row]) -> dict[str, Any]:
    """The figure of these tidy rows in Vega-Lite, without colours: those are in the theme."""
    subject = Subject(manifest, layout, rows)
    kind = KINDS[layout.kind]
    return specification(placed(subject, kind), kind)


def placed(subject: Subject, kind: Kind) -> Subject:
    """The subject with ``n/a`` as the outcome of rows that ended ``ok`` without a number that their place needs."""
    view = VIEWS[subject.layout.view].by_name
    needed = [view[name] for name in _NEEDS.get(kind, [subject.layout.drawn])]
    return replace(subject, rows=[_placed(row, needed) for row in subject.rows])


def _placed(row: Row, needed: Sequence[Quantity]) -> Row:
    lacking = next((quantity for quantity in needed if row[quantity.name] is None), None)
    if row["status"] != Status.OK or lacking is None:
        return row
    differ = ", or its runs differ" if lacking.combination is Combination.COMMON else ""
    return {**row, "status": NOT_AVAILABLE, "reason": f"no {lacking.header}: {lacking.absent}{differ}"}


def specification(subject: Subject, kind: Kind) -> dict[str, Any]:
    """The drawing of ``placed`` rows, or in words why there is none."""
    if any(row["status"] == Status.OK for row in subject.rows):
        drawn = kind(subject)
    elif subject.rows:
        drawn = words_only(subject.manifest.title, "No cell of this figure has a number:", subject.reasons())
    else:
        drawn = words_only(subject.manifest.title, "The experiment has no cell on the configured platforms.", [])
    # Every part was checked when it was made; what is left are the values.
    described: dict[str, Any] = drawn.to_dict(validate=False)
    # Altair's own defaults give way to the theme.
    described.pop("config", None)
    return described
