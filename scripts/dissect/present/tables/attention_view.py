"""The attention module with and without FlashAttention, by comparison of two profiled cells."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dissect.cells.spec import TrainingSpec, canonical_json
from dissect.metrics.profile import ProfileMetrics
from dissect.present.tables.columns import Quantity, Record, Scalar, metrics_of
from dissect.present.tables.over_runs import ratio_of, values_of
from dissect.present.tables.profile_views import MODULE_TIME, ORIGIN, ModuleRow, modules_of
from dissect.present.tables.view import View
from dissect.results.result import Result

_TIME = "module_time_s"
_SHOWN = ("attention", "attention_core")


def _points(_: Record, run: Result) -> Iterator[tuple[Mapping[str, Scalar], ModuleRow]]:
    metrics = metrics_of(run, ProfileMetrics)
    if metrics:
        yield from ((axes, module) for axes, module in modules_of(metrics) if axes["module"] in _SHOWN)


def _but_attention(record: Record) -> str | None:
    """What a cell has in common with its counterpart without FlashAttention, which needs other software."""
    if not isinstance(record.spec, TrainingSpec):
        return None
    spec = record.spec.model_dump(mode="json", exclude={"software": True, "method": {"attention"}})
    return canonical_json({"platform": record.cell.platform, **spec})


def _improve(rows: Sequence[tuple[Record, dict[str, Any]]]) -> None:
    """Fill in the share of time that each cell saves against its counterpart without FlashAttention.

    That counterpart saves nothing over itself, by definition and without an interval.
    """
    distinct = {(record.cell.platform, record.cell.key): record for record, _ in rows}
    alike = {cell: _but_attention(record) for cell, record in distinct.items()}
    places = [(alike[r.cell.platform, r.cell.key], row["module"], row["direction"]) for r, row in rows]
    eager = {
        place: row
        for place, (record, row) in zip(places, rows, strict=True)
        if isinstance(record.spec, TrainingSpec) and record.spec.method.attention == "eager"
    }
    for place, (_, row) in zip(places, rows, strict=True):
        other = eager.get(place)
        saved = ratio_of(values_of(other, _TIME), values_of(row, _TIME)) if other else None
        if saved and other is row:
            row["improvement"] = 0.0
        elif saved:
            row["improvement"] = 1 - saved.ratio
            # A ratio without an interval leaves these empty.
            row["improvement_low"] = None if saved.high is None else 1 - saved.high
            row["improvement_high"] = None if saved.low is None else 1 - saved.low


ATTENTION = View(
    points=_points,
    axes={
        "module": "attention for the whole module, attention_core for the attention function alone",
        "direction": "forward, recomputation (forward work within the backward phase) or backward",
    },
    quantities=(
        MODULE_TIME,
        Quantity(
            "improvement", "Improvement", "%", "time saved over the same cell without FlashAttention",
            lambda _: None, scale=1e2, decimals=1, absent="the table has no such cell without FlashAttention",
        ),
    ),
    origin=ORIGIN,
    across=_improve,
)  # fmt: skip
"""One row per direction for the attention module and its core."""
