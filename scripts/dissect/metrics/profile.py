"""Numbers of a profiled training cell."""

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat

from dissect.base.model import Model
from dissect.base.outcome import Phase
from dissect.metrics.training import TrainingMetrics
from dissect.statistics.estimate import Estimate

Direction = Literal["forward", "recomputation", "backward", "optimizer"]
"""Recomputation is the forward work that the backward phase does once more."""
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
"""What a step is made of, in the order of tables; docs/metrics.md says what each holds."""
Group = Literal["decoder_layer", "attention", "attention_core"]
"""Modules that hold several parts; their times are sums over those."""
KernelSource = Literal["kernels", "operators"]
"""``kernels`` of a GPU; on ``cpu`` the ``operators`` stand in for them, each with its self time."""


class PhaseTimes(Model):
    """One phase of a step; mean over the profiled steps, rank 0's device."""

    phase: Phase
    overall_s: NonNegativeFloat
    compute_s: NonNegativeFloat
    """In which at least one kernel ran that does not communicate."""
    communication_overlapped_s: NonNegativeFloat
    """In which communication ran beside such a kernel."""
    communication_exposed_s: NonNegativeFloat
    """In which nothing but communication ran."""
    recomputation_s: NonNegativeFloat
    """Of ``compute_s``: forward work done once more."""

    @property
    def busy_s(self) -> float:
        """In which any kernel ran."""
        return self.compute_s + self.communication_exposed_s

    @property
    def idle_s(self) -> float:
        """In which none did."""
        return max(0.0, self.overall_s - self.busy_s)


class PartTime(Model):
    """Kernel time of one part of the model in one direction; mean over the profiled steps."""

    part: Part | Group
    direction: Direction
    phase: Phase
    time_s: NonNegativeFloat
    """Where kernels overlapped, each has an equal share of that time."""
    calls: PositiveFloat
    """Kernels (on ``cpu`` operators) per step."""


class Dissection(Model):
    """A step taken apart."""

    source: KernelSource
    phases: list[PhaseTimes]
    parts: list[PartTime]
    """They sum to the compute time of their phase."""
    groups: list[PartTime]
    """Sums over some of the parts."""
    attributed_share: NonNegativeFloat
    """Of the compute time over all phases: what has a part."""
    parts_deviation: NonNegativeFloat
    """Largest relative difference, over the phases, between the sum of the parts and the compute time."""


class ProfileMetrics(Model):
    """What one profiled cell measured."""

    kind: Literal["profile"] = "profile"
    training: TrainingMetrics
    """Of the steps without the profiler, measured first in the same processes."""
    profiled_step_time_s: Estimate
    """Of the steps under it; a step lasts as long as its slowest rank."""
    dissection: Dissection
    """Those steps, on rank 0."""
