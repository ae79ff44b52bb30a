"""Numbers of a training cell."""

from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from dissect.base.model import Model, added
from dissect.base.outcome import Phase, Status, StoppedBy
from dissect.statistics.estimate import Estimate

SearchOrigin = Literal["prediction", "similar cell", "smallest"]
"""Where a search for the largest batch starts: at the predicted batch, at that of a similar cell, or at 1."""


class Trial(Model):
    """One attempt of a search for the largest batch, in its own processes."""

    batch: PositiveInt
    status: Status
    phase: Phase | None = None
    peak_memory_bytes: NonNegativeInt | None = None


class TrainingMetrics(Model):
    """Numbers of one training cell; docs/metrics.md has the formulas."""

    kind: Literal["training"] = "training"
    batch: PositiveInt
    """Sequences per GPU; for ``max`` the largest batch that passed."""
    tokens_per_step: PositiveInt
    """Tokens of one step over all GPUs: batch x GPUs x sequence length."""
    step_time_s: Estimate
    """Time of synchronised steps in seconds; a step lasts as long as its slowest rank."""
    tokens_per_s: Estimate
    """Throughput in tokens per second over all GPUs, from the step time and its interval."""
    paper_tokens_per_s: PositiveFloat
    """Throughput by the authors' definition: tokens per step / mean step time of the measured window."""
    step_time_cv: NonNegativeFloat
    """Coefficient of variation of the step times."""
    warmup_steps: NonNegativeInt
    stopped_by: StoppedBy
    peak_memory_bytes: PositiveInt
    """Peak memory, largest over the ranks: of the allocator on GPUs, of the resident set on ``cpu``."""
    peak_memory_source: Literal["allocator", "rss"]
    nvml_peak_memory_bytes: PositiveInt | None
    """Peak used memory, largest over the GPUs, as the driver reports it: NVML, or that of another vendor."""
    paper_memory_gib: PositiveFloat
    """Memory by the authors' definition: total - free on rank 0's device at the end; the resident set on ``cpu``."""
    model_flops_per_step: PositiveInt
    """FLOPs of one step over all GPUs without recomputation, as the code that measured counts them."""
    hardware_flops_per_step: PositiveInt
    """FLOPs of one step over all GPUs with recomputation, as the code that measured counts them."""
    energy_per_step_j: PositiveFloat | None
    """Energy of one step in joules over all GPUs, from the driver's energy counter over the measured window."""
    compute_time_s: PositiveFloat | None = None
    """Time of a step in seconds in which the GPU computes or copies, mean over the GPUs; None where none was traced."""
    communication_time_s: NonNegativeFloat | None = None
    """Time of a step in seconds in which the GPU only communicates, without waiting; None where that is not told."""
    collective_wait_s: NonNegativeFloat | None = None
    """Time of a step in seconds in which the GPU only waits for others in collectives; None where that is not told."""
    parameters: PositiveInt
    trainable_parameters: PositiveInt
    first_loss: float
    last_loss: float
    attention_kernel: str
    """Attention kernel that ran, as the profiler saw it."""
    trials: list[Trial] = []
    """Attempts of a search for the largest batch, in the order in which they ran."""
    search_start: SearchOrigin | None = added(None)
    """Where that search started; None without one, or if it was not recorded."""

    @property
    def device_time_s(self) -> float | None:
        """Device time of a step in seconds: computing and communicating, without waiting for the host or others."""
        if self.compute_time_s is None or self.communication_time_s is None:
            return None
        return self.compute_time_s + self.communication_time_s
