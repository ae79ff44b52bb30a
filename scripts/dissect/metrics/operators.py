"""Numbers of an operator cell: one point per size, each with its own outcome."""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import NonNegativeFloat, PositiveInt, model_validator

from dissect.base.model import Model
from dissect.base.outcome import Flag, Phase, Status, StoppedBy
from dissect.statistics.estimate import Estimate


class Timing(Model):
    """Time of one call, and how it was measured."""

    call_time_s: Estimate
    """Time of one call in seconds; a sample is the mean of ``calls_per_sample`` calls on the slowest rank."""
    call_time_cv: NonNegativeFloat
    """Coefficient of variation of the samples."""
    calls_per_sample: PositiveInt
    buffer_sets: PositiveInt
    """Copies of the operands that calls use in turn, so that no call finds its operands in the cache."""
    warmup_settled: bool
    stopped_by: StoppedBy
    flags: list[Flag]
    """Flags of this number; those of the machine are flags of the cell."""


class OperatorPoint(Model):
    """The measurement of one size; ``timing`` is set exactly when the status is ``ok``."""

    status: Status
    phase: Phase | None = None
    reason: str | None = None
    timing: Timing | None = None

    @model_validator(mode="after")
    def _numbers_or_a_reason(self) -> Self:
        if (self.timing is not None) != (self.status is Status.OK) or (self.timing is None and not self.reason):
            raise ValueError("expected a timing for status ok, and a reason without a timing for any other status")
        return self


class GemmPoint(OperatorPoint):
    """A matrix product (m x k) by (k x n)."""

    product: str
    """Names of the layers with this shape, or ``square``."""
    m: PositiveInt
    """Number of tokens, or the size of the square."""
    n: PositiveInt
    k: PositiveInt


class MemcpyPoint(OperatorPoint):
    """A copy of ``size_bytes``."""

    size_bytes: PositiveInt


class CollectivePoint(OperatorPoint):
    """A collective with one message size."""

    size_bytes: PositiveInt
    """Requested message size in bytes."""
    message_bytes: PositiveInt
    """Measured message size in bytes, nccl-tests' S: the whole array, with equal elements per rank."""


class AttentionPoint(OperatorPoint):
    """One pass of attention over sequences of one length."""

    sequence: PositiveInt
    direction: Literal["forward", "backward"]


class GemmMetrics(Model):
    """Numbers of matrix products."""

    kind: Literal["gemm"] = "gemm"
    points: list[GemmPoint]


class MemcpyMetrics(Model):
    """Numbers of memory copies."""

    kind: Literal["memcpy"] = "memcpy"
    points: list[MemcpyPoint]


class CollectiveMetrics(Model):
    """Numbers of a collective."""

    kind: Literal["collectives"] = "collectives"
    points: list[CollectivePoint]


class AttentionMetrics(Model):
    """Numbers of an attention kernel."""

    kind: Literal["attention"] = "attention"
    points: list[AttentionPoint]


OperatorMetrics = GemmMetrics | MemcpyMetrics | CollectiveMetrics | AttentionMetrics


def timings(metrics: OperatorMetrics) -> Sequence[Timing]:
    """Timings of the points that have one."""
    return [point.timing for point in metrics.points if point.timing is not None]
