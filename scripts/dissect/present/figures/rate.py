"""Throughput against latency: percentiles over the nominal rate, as a search for the rate that holds has tried it."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from dissect.present.figures.layers import (
    TELLS,
    Described,
    Part,
    colour,
    data_of,
    log_axis,
    panel_of,
    shape,
    side_by_side,
    value_axis,
    width,
)
from dissect.present.figures.look import FAINT
from dissect.present.figures.subject import Panel, Row, Subject
from dissect.present.tables.columns import Quantity
from dissect.present.tables.views import VIEWS

_DRAWN = {"ttft_p99_s": "objective_ttft_s", "tpot_p99_s": "objective_tpot_s"}
"""Quantity of a panel -> column of its limit."""


def rate(subject: Subject) -> Described:
    """Two panels per value of ``layout.panels``; one line per series and run; filled where the objective held."""
    labels = subject.labels(subject.layout.series)
    panels = [
        (Panel(", ".join(filter(None, (panel.title, quantity.header))), _timed(panel.rows), panel.missing), quantity)
        for panel in subject.panels(subject.panel_axes)
        for quantity in (VIEWS["probes"].by_name[name] for name in _DRAWN)
    ]  # fmt: skip
    values = {
        quantity: [each for panel, other in panels if other is quantity for each in _values(panel.rows, quantity)]
        for _, quantity in panels
    }
    parts = [_part(subject, panel.rows, quantity, values[quantity], labels, len(panels)) for panel, quantity in panels]
    notes = [subject.notes(panel.missing, [], width(len(panels)) // 5) for panel, _ in panels]
    return side_by_side(subject, [panel for panel, _ in panels], parts, notes)


def _timed(rows: Sequence[Row]) -> list[Row]:
    """The rates at which requests were answered; a server that fails at a rate leaves no times."""
    return [row for row in rows if all(row[name] is not None for name in _DRAWN)]


def _values(rows: Sequence[Row], quantity: Quantity) -> list[float]:
    """The numbers of a panel and their limits."""
    return [row[name] * quantity.scale for name in (quantity.name, _DRAWN[quantity.name]) for row in rows]


def _part(
    subject: Subject, rows: Sequence[Row], quantity: Quantity, values: Sequence[float],
    labels: Sequence[str], n_panels: int,
) -> Part:  # fmt: skip
    marks = [_mark(subject, row, quantity) for row in rows]
    limits = sorted({row[_DRAWN[quantity.name]] * quantity.scale for row in rows})
    x = log_axis("x", "Nominal request rate (requests/s)", [mark["x"] for mark in marks] or [1.0], alt.X)
    y = value_axis("y", quantity.title, values, is_shared=True)
    base = alt.Chart().encode(x=x, y=y, color=colour(labels, n_panels))
    held, failed = (
        base.transform_filter(f"datum.held == {holds}")
        .mark_point(filled=holds == "true", opacity=1, strokeWidth=1.8, size=55, tooltip=TELLS)
        .encode(shape=shape(labels))
        for holds in ("true", "false")
    )
    limit = alt.Chart(data_of([{"y": limit} for limit in limits])).mark_rule(style=FAINT).encode(y="y:Q")
    layers: list[Any] = [limit, base.mark_line(strokeWidth=1.5).encode(detail="line:N"), held, failed]
    return panel_of(layers, marks)


def _mark(subject: Subject, row: Row, quantity: Quantity) -> dict[str, Any]:
    told = VIEWS["probes"].quantities
    series = subject.label(row, subject.layout.series)
    return subject.mark(
        row, told, x=row["offered_rate_per_s"], y=row[quantity.name] * quantity.scale, series=series,
        line=f"{row['key']} {row['run']}", held=row["kept_share"] >= row["objective_share"] - 1e-9,
    )  # fmt: skip
