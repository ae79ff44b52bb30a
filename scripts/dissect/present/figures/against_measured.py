"""Predicted against measured: each cell as a point with the interval of its prediction, beside the line of equals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from dissect.base.units import GIB
from dissect.cells.cell_id import CellId
from dissect.cells.manifest import Manifest
from dissect.present.figures.layers import (
    HEIGHT,
    PAGE,
    TELLS,
    Part,
    colour,
    data_of,
    log_axis,
    panel_of,
    shape,
    words_only,
)
from dissect.present.figures.look import FAINT, OUTLINE
from dissect.present.figures.subject import IDS, Row
from dissect.statistics.numbers import significant_decimals

_ROOM = 1.15
"""How far the line of equal numbers goes beyond them, as a factor."""
_GAP = 70


@dataclass(frozen=True)
class _Panel:
    """Columns of the table that a panel draws, and how."""

    title: str
    unit: str
    measured: str
    predicted: str
    low: str
    high: str
    scale: float = 1.0


_PANELS = (
    _Panel("Peak memory", "GiB", "measured_bytes", "predicted_bytes", "predicted_low", "predicted_high", GIB),
    _Panel("Time of a step", "s", "measured_step_s", "predicted_step_s", "step_low_s", "step_high_s"),
    _Panel("Duration of a burst", "s", "measured_burst_s", "predicted_burst_s", "burst_low_s", "burst_high_s"),
)


def describe_prediction(manifest: Manifest, rows: Sequence[Row]) -> dict[str, Any]:
    """The figure of the table's rows in Vega-Lite; a panel for each number that any cell has measured and predicted."""
    labels = {name: facts.label for name, facts in manifest.platforms.items()}
    found = {panel: marks for panel in _PANELS if (marks := _marks(panel, rows, labels))}
    if not found:
        words = words_only(manifest.title, "No predicted cell has a number.", [])
        return dict(words.to_dict(validate=False))
    series = list(dict.fromkeys(mark["series"] for marks in found.values() for mark in marks))
    drawn = alt.hconcat(*(_panel(panel, marks, series, len(found)) for panel, marks in found.items()), spacing=_GAP)
    described: dict[str, Any] = drawn.properties(description=manifest.title).to_dict(validate=False)
    described.pop("config", None)  # Altair's own defaults give way to the theme.
    # With a number of columns, of which the page makes one on a phone.
    described |= {"concat": described.pop("hconcat"), "columns": len(found)}
    return described


def _marks(panel: _Panel, rows: Sequence[Row], labels: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {
            **{name: row[name] for name in IDS},
            "measured": row[panel.measured] / panel.scale,
            "predicted": row[panel.predicted] / panel.scale,
            "low": max(row[panel.low], row[panel.predicted] / 10) / panel.scale,
            "high": row[panel.high] / panel.scale,
            "series": labels[row["platform"]],
            "says": _said(panel, row),
        }
        for row in rows
        if row[panel.measured] is not None and row[panel.predicted] is not None
    ]


def _said(panel: _Panel, row: Row) -> dict[str, str]:
    measured, middle, low, high = (
        row[name] / panel.scale for name in (panel.measured, panel.predicted, panel.low, panel.high)
    )
    decimals = significant_decimals(middle)
    return {
        "title": str(CellId.of(row)),
        "Measured": f"{measured:,.{decimals}f} {panel.unit}",
        "Predicted": f"{middle:,.{decimals}f} [{low:,.{decimals}f}–{high:,.{decimals}f}] {panel.unit}",
        "Error": f"{100 * abs(middle / measured - 1):.1f} % too {'much' if middle > measured else 'little'}",
    }


def _panel(panel: _Panel, marks: Sequence[dict[str, Any]], series: Sequence[str], n_panels: int) -> Part:
    numbers = [mark[name] for mark in marks for name in ("measured", "predicted")]
    ends = min(numbers) / _ROOM, max(numbers) * _ROOM
    x = log_axis("measured", f"Measured ({panel.unit})", numbers, alt.X)
    y = log_axis("predicted", f"Predicted ({panel.unit})", numbers)
    equal = alt.Chart(data_of([{"measured": end, "predicted": end} for end in ends]))
    base = alt.Chart().encode(x=x, color=colour(series, 2))
    layers = [
        equal.mark_line(style=FAINT).encode(x=x, y=y),
        base.mark_rule(strokeWidth=1.2, opacity=0.6).encode(y=alt.Y("low:Q"), y2="high:Q"),
        base.mark_point(filled=True, opacity=1, size=45, style=OUTLINE, tooltip=TELLS).encode(y=y, shape=shape(series)),
    ]
    return panel_of(layers, marks).properties(
        title=panel.title, width=(PAGE - _GAP * n_panels) // n_panels, height=HEIGHT
    )
