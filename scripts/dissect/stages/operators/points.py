"""Reports of the ranks of an operator cell for each size, and the cell's points from them. All functions are pure."""

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import PositiveInt

from dissect.base.model import Model
from dissect.base.outcome import Flag, Phase, Status, StoppedBy
from dissect.metrics.operators import OperatorMetrics, OperatorPoint, Timing, timings
from dissect.ranks.messages import RankReport
from dissect.ranks.reports import slowest
from dissect.statistics.step_times import UNSTABLE_CV, coefficient_of_variation, estimate

P = TypeVar("P", bound=OperatorPoint)


class PointReport(Model):
    """The outcome of one size on one rank."""

    facts: dict[str, Any]
    """Fields of the family's ``OperatorPoint`` that identify the point."""
    status: Status
    phase: Phase | None = None
    reason: str | None = None
    samples_s: list[float] = []
    """Seconds of one call, for each sample."""
    calls_per_sample: PositiveInt = 1
    buffer_sets: PositiveInt = 1
    warmup_settled: bool = False
    stopped_by: StoppedBy = "interval"


def reported(report: RankReport) -> list[PointReport]:
    """All points of one rank."""
    return [PointReport.model_validate(point, strict=False) for point in report.findings["points"]]


def points_of(kind: type[P], reports: Sequence[RankReport]) -> list[P]:
    """The points of a cell, from one report per rank: a call takes as long as on its slowest rank."""
    return [_point(kind, ranks) for ranks in zip(*map(reported, reports), strict=True)]


def raw_samples(reports: Sequence[RankReport]) -> list[dict[str, Any]]:
    """One record per sample: the facts of its point, and seconds of one call on each rank."""
    return [
        {"step": step, **ranks[0].facts, "seconds": list(times)}
        for ranks in zip(*map(reported, reports), strict=True)
        for step, times in enumerate(zip(*(point.samples_s for point in ranks), strict=True))
    ]


def doubts(metrics: OperatorMetrics) -> dict[Flag, bool]:
    """Flag -> whether any number of the cell has it."""
    raised = {flag for timing in timings(metrics) for flag in timing.flags}
    return {flag: flag in raised for flag in Flag}


def _point(kind: type[P], ranks: Sequence[PointReport]) -> P:
    first = next((rank for rank in ranks if rank.status is not Status.OK), ranks[0])
    timing = _timing(first, slowest([rank.samples_s for rank in ranks])) if first.status is Status.OK else None
    return kind.model_validate(
        first.facts | {"status": first.status, "phase": first.phase, "reason": first.reason, "timing": timing}
    )


def _timing(first: PointReport, samples: Sequence[float]) -> Timing:
    variation = coefficient_of_variation(samples)
    raised = {
        Flag.UNSTABLE: variation > UNSTABLE_CV,
        Flag.WARMUP_NOT_SETTLED: not first.warmup_settled,
        Flag.INTERVAL_NOT_REACHED: first.stopped_by != "interval",
    }
    return Timing(
        call_time_s=estimate(samples),
        call_time_cv=variation,
        calls_per_sample=first.calls_per_sample,
        buffer_sets=first.buffer_sets,
        warmup_settled=first.warmup_settled,
        stopped_by=first.stopped_by,
        flags=[flag for flag in Flag if raised.get(flag, False)],
    )
