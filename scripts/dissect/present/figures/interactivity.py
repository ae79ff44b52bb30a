"""Throughput of servers against what a single user sees of it, for every load."""

from typing import Any

import altair as alt

from dissect.config.layout import QuantityName
from dissect.present.figures.layers import (
    TELLS,
    Described,
    across,
    colour,
    panel_of,
    shape,
    side_by_side,
    value_axis,
)
from dissect.present.figures.look import OUTLINE
from dissect.present.figures.subject import Panel, Subject
from dissect.present.tables.views import VIEWS

_TOLD: tuple[QuantityName, ...] = ("output_tokens_per_s", "tpot_p50_s", "ttft_p50_s", "ttft_p99_s", "server_memory_gib")


def interactivity(subject: Subject) -> Described:
    """One panel per platform and model, one point per load; a line joins the loads of one server."""
    panels = [panel for panel in subject.panels(["platform", "model"]) if panel.rows]
    engines, policies = subject.labels(["framework"]), subject.labels(["method"])
    drawn = [_marks(subject, panel) for panel in panels]
    users, rates = ([mark[name] for marks in drawn for mark in marks] for name in ("user", "rate"))
    x = value_axis("user", "Tokens/s of one user", users, alt.X, is_shared=True)
    parts = []
    for number, marks in enumerate(drawn):
        title = "Generated tokens/s per GPU" if number % across(len(panels)) == 0 else None
        base = alt.Chart().encode(
            x=x, y=value_axis("rate", title, rates, is_shared=True), color=colour(engines, len(panels))
        )
        line = base.mark_line(strokeWidth=1.4).encode(detail="server:N", order="user:Q")
        point = base.mark_point(filled=True, opacity=1, size=60, style=OUTLINE, tooltip=TELLS)
        parts.append(panel_of([line, point.encode(shape=shape(policies, "policy", columns=5))], marks))
    return side_by_side(subject, panels, parts, [[] for _ in panels])


def _marks(subject: Subject, panel: Panel) -> list[dict[str, Any]]:
    quantities = [VIEWS["serving"].by_name[name] for name in _TOLD]
    return [
        subject.mark(
            row, quantities, user=1 / row["tpot_p50_s"], rate=row["output_tokens_per_s"] / row["n_gpus"],
            series=subject.label(row, ["framework"]), policy=subject.label(row, ["method"]),
            server="/".join(str(row[name]) for name in ("framework", "method", "n_gpus")),
        )
        for row in panel.rows
        if row["tpot_p50_s"] > 0
    ]  # fmt: skip
