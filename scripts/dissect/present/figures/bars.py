"""Figure 6: throughput of the serving engines as bars."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from dissect.base.outcome import Status
from dissect.config.layout import Axis
from dissect.present.figures.layers import (
    HEIGHT,
    TELLS,
    Described,
    across,
    legend_columns,
    panel_of,
    side_by_side,
)
from dissect.present.figures.look import NOTE
from dissect.present.figures.subject import Panel, Row, Subject, interval_of
from dissect.present.tables.marks import short_mark

_LINES = r"split(replace(datum.label, ' (reference ', '\n(reference\n'), '\n')"
"""Of a group's label: the set of a reference stands below its machine, since groups are narrow."""


def bars(subject: Subject) -> Described:
    """Bars from zero with intervals, grouped by the last axis; an outcome stands upright in place of a number."""
    layout, quantity = subject.layout, subject.quantity
    panels = subject.panels(subject.panel_axes)
    places = subject.labels(layout.series, marked="platform")
    parts = []
    for number, panel in enumerate(panels):
        title = f"{quantity.header} ({quantity.unit})" if number % across(len(panels)) == 0 else None
        base = alt.Chart().encode(
            x=alt.X("group:N").title(None).sort(None).axis(labelAngle=0, ticks=False, labelExpr=_LINES),
            xOffset=alt.XOffset("place:N").scale(domain=places),
        )
        bar = base.transform_filter("isValid(datum.value)").mark_bar(tooltip=TELLS)
        bar = bar.encode(alt.Y("value:Q").title(title).axis(tickCount=5), _tones(subject, len(panels)))
        lost = base.transform_filter("!isValid(datum.value)").mark_text(
            angle=270, align="left", baseline="middle", dx=5, y=HEIGHT, style=NOTE, tooltip=TELLS
        )
        ends = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=1.2)
        layers = [bar, ends.encode(y="low:Q", y2="high:Q"), lost.encode(text="outcome:N")]
        parts.append(panel_of(layers, _marks(subject, panel)))
    # A shared scale would have the width of the first panel's groups, and panels have other numbers of these.
    together: Described = side_by_side(subject, panels, parts, [[] for _ in panels]).resolve_scale(
        xOffset="independent"
    )
    return together


def _tones(subject: Subject, n_panels: int) -> alt.Color:
    """The first axis of the series is a colour; of up to three styles of it the first has its full tone.

    Nothing is transparent: vl-convert would put that into a PDF in any order.
    """
    first, others = subject.layout.series[:1], subject.layout.series[1:]
    drawn = subject.labels(subject.layout.series)
    styles = subject.labels(others) or [""]
    three = len(styles) > 2
    toned = styles[:3] if three else (styles[0], styles[-1])
    pairs = [(one, style) for one in subject.labels(first) for style in toned]
    domain = [", ".join(filter(None, pair)) for pair in pairs]
    tones = alt.Color("place:N").scale(domain=domain, range="ramp" if three else "diverging")
    return tones.legend(values=drawn, columns=legend_columns(drawn, n_panels))


def _marks(subject: Subject, panel: Panel) -> list[dict[str, Any]]:
    quantity, group, series = subject.quantity, subject.layout.x[-1], subject.layout.series
    named = _outcomes(subject, panel.missing)
    return [
        subject.mark(
            row, [quantity], group=_group(subject, row), place=subject.label(row, series),
            value=row[quantity.name], **interval_of(row, quantity),
            outcome="" if row["status"] == Status.OK else named.pop(_ended(row, [group, series[0]]), ""),
        )
        for row in (*panel.rows, *panel.missing)
    ]  # fmt: skip


def _group(subject: Subject, row: Row) -> str:
    """Label of a group, with its GPUs below: a platform is named after its node, of which a server may use a part."""
    axes: list[Axis] = [subject.layout.x[-1], "n_gpus"]
    return "\n".join(subject.label(row, [axis]) for axis in dict.fromkeys(axes))


def _outcomes(subject: Subject, missing: Sequence[Row]) -> dict[tuple[Any, ...], str]:
    """An outcome that several styles of a colour share is written once."""
    group, first, *styles = subject.layout.x[-1], *subject.layout.series
    alike: dict[tuple[Any, ...], list[Row]] = {}
    for row in missing:
        alike.setdefault(_ended(row, [group, first]), []).append(row)
    named = {}
    for ended, rows in alike.items():
        planned = [row for row in subject.rows if all(row[a] == rows[0][a] for a in (*subject.layout.x, first))]
        axes = [first] if len(rows) == len(planned) else [first, *styles]
        labels = dict.fromkeys(subject.label(row, axes) for row in rows)
        named[ended] = f"{'; '.join(labels)}: {ended[-1]}"
    return named


def _ended(row: Row, axes: Sequence[Any]) -> tuple[Any, ...]:
    return (*(row[axis] for axis in axes), short_mark(row["status"]))
