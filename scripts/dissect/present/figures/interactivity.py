"""Throughput of servers against what a single user sees of it, for every load."""

import altair as alt

from dissect.base.outcome import Status
from dissect.config.layout import QuantityName
from dissect.present.figures.layers import PAGE, TELLS, Described, colour, data_of, shape, value_axis
from dissect.present.figures.look import OUTLINE
from dissect.present.figures.subject import Subject
from dissect.present.tables.views import VIEWS

_TOLD: tuple[QuantityName, ...] = ("output_tokens_per_s", "tpot_p50_s", "ttft_p50_s", "ttft_p99_s", "server_memory_gib")


def interactivity(subject: Subject) -> Described:
    """One point per load; a line joins the loads of one server on one platform."""
    quantities = [VIEWS["serving"].by_name[name] for name in _TOLD]
    marks = [
        subject.mark(
            row, quantities, user=1 / row["tpot_p50_s"], rate=row["output_tokens_per_s"] / row["n_gpus"],
            series=subject.label(row, ["platform", "framework", "method"]), kind=subject.label(row, ["model"]),
            server="/".join(str(row[name]) for name in ("platform", "model", "framework", "method", "n_gpus")),
        )
        for row in subject.rows
        if row["status"] == Status.OK and row["tpot_p50_s"] > 0
    ]  # fmt: skip
    x = value_axis("user", "Tokens/s of one user", [mark["user"] for mark in marks], alt.X)
    y = value_axis("rate", "Throughput (generated tokens/s per GPU)", [mark["rate"] for mark in marks])
    tone = colour(list(dict.fromkeys(mark["series"] for mark in marks)), n_panels=2)
    kinds = list(dict.fromkeys(mark["kind"] for mark in marks))
    base = alt.Chart().encode(x=x, y=y, color=tone)
    layers = [
        base.mark_line(strokeWidth=1.4).encode(detail="server:N", order="user:Q"),
        base.mark_point(filled=True, opacity=1, size=60, style=OUTLINE, tooltip=TELLS).encode(
            shape=shape(kinds, "kind", columns=5)
        ),
    ]
    return alt.layer(*layers, data=data_of(marks)).properties(
        width=PAGE - 70, height=330, description=subject.manifest.title
    )
