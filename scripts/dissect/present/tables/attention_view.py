"""The attention module with and without FlashAttention, by comparison of two profiled cells."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dissect.cells.spec import canonical_spec, spec_key
from dissect.metrics.profile import ProfileMetrics
from dissect.present.tables.columns import Quantity, Record, Scalar, metrics_of
from dissect.present.tables.over_runs import ratio_of, values_of
from dissect.present.tables.profile_views import MODULE_TIME, ORIGIN, ModuleRow, modules_of
from dissect.present.tables.view import View
from dissect.results.result import Result
from dissect.stages.training.deepspeed.spec import DeepSpeedSpec

_TIME = "module_time_s"
_SHOWN = ("attention", "attention_core")


def _points(_: Record, run: Result) -> Iterator[tuple[Mapping[str, Scalar], ModuleRow]]:
    metrics = metrics_of(run, ProfileMetrics)
    if metrics:
        yield from ((axes, module) for axes, module in modules_of(metrics) if axes["module"] in _SHOWN)


def _eager_key(record: Record) -> str | None:
    """Key of the cell that differs only in its attention, which is ``eager``; possibly the cell's own key."""
    spec = record.spec
    if not isinstance(spec, DeepSpeedSpec):
        return None
    method = spec.method.model_copy(update={"attention": "eager"})
    return spec_key(canonical_spec(spec.model_copy(update={"method": method})))


def _improve(rows: Sequence[tuple[Record, dict[str, Any]]]) -> None:
    """Fill in the share of time that each cell saves against its counterpart without FlashAttention."""
    by_place = {(row["key"], row["module"], row["direction"]): row for _, row in rows}
    for record, row in rows:
        eager = by_place.get((_eager_key(record), row["module"], row["direction"]))
        saved = ratio_of(values_of(eager, _TIME), values_of(row, _TIME)) if eager else None
        if saved:
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
