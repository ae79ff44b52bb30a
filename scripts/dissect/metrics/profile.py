"""Numbers of a profiled training cell."""

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat

from dissect.base.model import Model
from dissect.base.outcome import Phase
from dissect.metrics.training import TrainingMetrics
from dissect.statistics.estimate import Estimate

Direction = Literal["forward", "recomputation", "backward", "optimizer"]
"""Direction of work; recomputation is forward work that the backward phase repeats."""
Part = Literal[
    "embedding",
    "rms_norm",
    "qkv",
    "rope",
    "scores",
    "softmax",
    "weighted_values",
    "attention_kernel",
    "attention_rest",
    "output_projection",
    "gate",
    "up",
    "silu",
    "down",
    "residual",
    "head",
    "loss",
    "mask",
    "gradients",
    "optimizer",
    "unattributed",
]
"""Parts of a step, in the order of tables; docs/metrics.md defines each."""
Group = Literal["decoder_layer", "attention", "attention_core"]
"""Modules that consist of several parts; their times are sums over the parts."""
KernelSource = Literal["kernels", "operators"]
"""Source of times: ``kernels`` of a GPU, or ``operators`` with their self time on ``cpu``."""


class PhaseTimes(Model):
    """Times of one phase of a step in seconds; mean over the profiled steps, on rank 0's device."""

    phase: Phase
    overall_s: NonNegativeFloat
    compute_s: NonNegativeFloat
    """Time in which at least one compute kernel ran."""
    communication_overlapped_s: NonNegativeFloat
    """Time in which communication and a compute kernel ran together."""
    communication_exposed_s: NonNegativeFloat
    """Time in which only communication ran."""
    recomputation_s: NonNegativeFloat
    """Part of ``compute_s`` that repeats forward work."""

    @property
    def busy_s(self) -> float:
        """Time in which any kernel ran, in seconds."""
        return self.compute_s + self.communication_exposed_s


class PartTime(Model):
    """Kernel time of one part of the model in one direction; mean over the profiled steps."""

    part: Part | Group
    direction: Direction
    phase: Phase
    time_s: NonNegativeFloat
    """Kernel time in seconds; overlapping kernels share their time equally."""
    calls: PositiveFloat
    """Number of kernels (on ``cpu`` operators) per step."""


class Dissection(Model):
    """The time of a step, by phase and by part of the model."""

    source: KernelSource
    phases: list[PhaseTimes]
    parts: list[PartTime]
    """Times of the parts, which add up to the compute time of their phase."""
    groups: list[PartTime]
    """Times of modules, as sums over their parts."""
    attributed_share: NonNegativeFloat
    """Share of the compute time of all phases that is attributed to a part."""
    parts_deviation: NonNegativeFloat
    """Largest relative difference, over the phases, between the sum of the parts and the compute time."""


class ProfileMetrics(Model):
    """Numbers of one profiled training cell."""

    kind: Literal["profile"] = "profile"
    training: TrainingMetrics
    """Numbers of the steps without the profiler, measured first in the same processes."""
    profiled_step_time_s: Estimate
    """Time of the steps under the profiler in seconds; a step lasts as long as its slowest rank."""
    dissection: Dissection
    """Times of the profiled steps by phase and part, on rank 0."""
