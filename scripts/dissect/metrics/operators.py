"""Numbers of an operator cell: one point per size, each with an outcome of its own."""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import NonNegativeFloat, PositiveInt, model_validator

from dissect.base.model import Model
from dissect.base.outcome import Flag, Phase, Status
from dissect.statistics.estimate import Estimate


class Timing(Model):
    """How long one call takes, and how that was found out."""

    call_time_s: Estimate
    """Of one call, over the samples; a sample is the mean of ``calls_per_sample`` calls, on its slowest rank."""
    call_time_cv: NonNegativeFloat
    """Coefficient of variation of the samples."""
    calls_per_sample: PositiveInt
    buffer_sets: PositiveInt
    """Copies of the operands that the calls took turns with, so that no call finds its own in the cache."""
    warmup_settled: bool
    stopped_by: Literal["interval", "max_steps", "budget"]
    flags: list[Flag]
    """Reasons to doubt this number; those of the machine are the cell's."""


class OperatorPoint(Model):
    """One size. ``timing`` is there exactly when the status is ``ok``."""

    status: Status
    phase: Phase | None = None
    reason: str | None = None
    timing: Timing | None = None

    @model_validator(mode="after")
    def _numbers_or_a_reason(self) -> Self:
        if (self.timing is not None) != (self.status is Status.OK) or (self.timing is None and not self.reason):
            raise ValueError(f"a point with status {self.status} needs {'a timing' if self.reason is None else 'none'}")
        return self


class GemmPoint(OperatorPoint):
    """(m x k) by (k x n)."""

    product: str
    """Layers that have this shape, or ``square``."""
    m: PositiveInt
    """Tokens, or the size of the square."""
    n: PositiveInt
    k: PositiveInt


class MemcpyPoint(OperatorPoint):
    """A copy of so many bytes."""

    size_bytes: PositiveInt


class CollectivePoint(OperatorPoint):
    """One message size."""

    size_bytes: PositiveInt
    """As asked."""
    message_bytes: PositiveInt
    """As measured, a whole number of elements per rank: of the whole array, nccl-tests' S."""


class AttentionPoint(OperatorPoint):
    """One pass over sequences of one length."""

    sequence: PositiveInt
    direction: Literal["forward", "backward"]


class GemmMetrics(Model):
    """Matrix products."""

    kind: Literal["gemm"] = "gemm"
    points: list[GemmPoint]


class MemcpyMetrics(Model):
    """Copies."""

    kind: Literal["memcpy"] = "memcpy"
    points: list[MemcpyPoint]


class CollectiveMetrics(Model):
    """A collective."""

    kind: Literal["collectives"] = "collectives"
    points: list[CollectivePoint]


class AttentionMetrics(Model):
    """An attention kernel."""

    kind: Literal["attention"] = "attention"
    points: list[AttentionPoint]


OperatorMetrics = GemmMetrics | MemcpyMetrics | CollectiveMetrics | AttentionMetrics


def timings(metrics: OperatorMetrics) -> Sequence[Timing]:
    """Of the points that have one."""
    return [point.timing for point in metrics.points if point.timing is not None]
