"""Figures 7 to 10: which share of the requests was answered within which time."""

from collections.abc import Sequence

import altair as alt

from dissect.present.figures.layers import (
    TELLS,
    Described,
    across,
    colour,
    dash,
    panel_of,
    side_by_side,
    width,
)
from dissect.present.figures.subject import Row, Subject
from dissect.statistics.quantiles import quantile

_MOST_STEPS = 250
"""Of a line; more than that nobody sees."""


def stairs(samples: Sequence[float]) -> list[tuple[float, float]]:
    """Corners (value, percent) of the empirical distribution, from 0 % at the smallest sample.

    More than 250 samples are drawn as that many evenly spaced quantiles, the largest sample included.
    """
    ordered = sorted(samples)
    if not ordered:
        return []
    steps = min(len(ordered), _MOST_STEPS)
    shares = [(step + 1) / steps for step in range(steps)]
    return [(ordered[0], 0.0), *((quantile(ordered, share), 100 * share) for share in shares)]


def distribution(subject: Subject) -> Described:
    """One panel per value of ``layout.panels``; the first axis of the series is the colour, the others the dashes."""
    layout, quantity = subject.layout, subject.quantity
    panels = subject.panels(subject.panel_axes)
    colours, styles = subject.labels(layout.series[:1]), subject.labels(layout.series[1:])
    parts, notes = [], []
    for number, panel in enumerate(panels):
        cells: dict[str, list[Row]] = {}
        for row in panel.rows:
            cells.setdefault(str(row["key"]), []).append(row)
        found = {key: _line(subject, rows) for key, rows in cells.items()}
        lines = [line for line in found.values() if line]
        whole = [subject.label(cells[key][0], layout.series) for key, line in found.items() if not line]
        y = alt.Y("share:Q").title("Share of requests (%)" if number % across(len(panels)) == 0 else None)
        chart = (
            alt.Chart()
            .transform_flatten(["x", "share"])
            .mark_line(interpolate="step-after", strokeWidth=1.8, tooltip=TELLS)
            .encode(
                alt.X("x:Q").title(f"{quantity.header} ({quantity.unit})").scale(zero=True).axis(tickCount=5),
                y.scale(domain=[0, 100]).axis(tickCount=5),
                colour(colours, len(panels), symbolType="stroke", symbolSize=300), dash(styles), alt.Detail("key:N"),
            )
        )  # fmt: skip
        parts.append(panel_of([chart], lines))
        missing = subject.notes(panel.missing, [], width(len(panels)) // 5)
        notes.append([*missing, *([f"answers came whole: {'; '.join(whole)}"] if whole else [])])
    return side_by_side(subject, panels, parts, notes)


def _line(subject: Subject, rows: Sequence[Row]) -> dict[str, object] | None:
    """All requests of one cell as one mark; None where the server tells no such time."""
    quantity, series = subject.quantity, subject.layout.series
    times = [quantity.scale * row[quantity.name] for row in rows if row[quantity.name] is not None]
    if not times:
        return None
    corners = stairs(times)
    mark = subject.mark(
        rows[0], x=[float(f"{x:.5g}") for x, _ in corners], share=[float(f"{y:.4g}") for _, y in corners],
        series=subject.label(rows[0], series[:1]), style=subject.label(rows[0], series[1:]),
    )  # fmt: skip
    mark["says"]["Answered requests"] = f"{len(rows):,}"
    for share in (50, 90, 99):
        mark["says"][f"{share} % within"] = f"{quantile(sorted(times), share / 100):,.4g} {quantity.unit}"
    return mark
