"""Throughput against memory: every training cell, and those that no other beats in both."""

import altair as alt

from dissect.base.outcome import Status
from dissect.present.figures.layers import PAGE, TELLS, Described, colour, data_of, shape, value_axis
from dissect.present.figures.look import OUTLINE
from dissect.present.figures.subject import Subject
from dissect.present.tables.views import VIEWS

_TOLD = ("tokens_per_s", "peak_memory_gib", "nvml_peak_memory_gib", "mfu")


def memory(subject: Subject) -> Described:
    """One point per cell; the stepped line joins those that no other of their platform and model beats in both."""
    quantities = [VIEWS["training"].by_name[name] for name in _TOLD]
    marks = []
    for row in (row for row in subject.rows if row["status"] == Status.OK):
        mark = subject.mark(
            row, quantities, gib=row["peak_memory_gib"], rate=row["tokens_per_s"] / row["n_gpus"],
            series=subject.label(row, ["platform"]), kind=subject.label(row, ["model"]),
        )  # fmt: skip
        mark["says"]["Batch per GPU"] = str(row["batch_measured"])
        marks.append(mark)
    x = value_axis("gib", "Peak memory per GPU (GiB)", [mark["gib"] for mark in marks], alt.X)
    y = value_axis("rate", "Throughput (tokens/s per GPU)", [mark["rate"] for mark in marks])
    tone = colour(list(dict.fromkeys(mark["series"] for mark in marks)), n_panels=2)
    kinds = list(dict.fromkeys(mark["kind"] for mark in marks))
    base = alt.Chart().encode(x=x, y=y)
    # By ascending memory, what is faster than all before it. The reader's browser finds it again among what is left.
    order: list[alt.SortField | dict[str, str]] = [alt.SortField("gib"), alt.SortField("rate", order="descending")]
    front = (
        base.transform_window(best="max(rate)", groupby=["platform", "model"], sort=order)
        .transform_window(before="lag(best)", groupby=["platform", "model"], sort=order)
        .transform_filter("datum.before === null || datum.rate > datum.before")
    )
    layers = [
        front.mark_line(interpolate="step-after", strokeWidth=1.4).encode(color=tone, detail="model:N", order="gib:Q"),
        base.mark_point(filled=True, opacity=1, size=60, style=OUTLINE, tooltip=TELLS).encode(
            color=tone, shape=shape(kinds, "kind", columns=5)
        ),
    ]
    return alt.layer(*layers, data=data_of(marks)).properties(
        width=PAGE - 70, height=330, description=subject.manifest.title
    )
