"""Numbers of a training cell."""

from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from dissect.base.model import Model
from dissect.base.outcome import Phase, Status
from dissect.statistics.estimate import Estimate


class Trial(Model):
    """One attempt of a ``max`` search, in its own processes."""

    batch: PositiveInt
    status: Status
    phase: Phase | None = None
    peak_memory_bytes: NonNegativeInt | None = None


class TrainingMetrics(Model):
    """What one training cell measured; docs/metrics.md has the formulas."""

    kind: Literal["training"] = "training"
    batch: PositiveInt
    """Sequences per GPU; for ``max`` the largest that passed."""
    tokens_per_step: PositiveInt
    """Over all GPUs: batch x GPUs x sequence length."""
    step_time_s: Estimate
    """Synchronised steps; a step lasts as long as its slowest rank."""
    tokens_per_s: Estimate
    """Over all GPUs, from the median step; the interval is the step time's."""
    paper_tokens_per_s: PositiveFloat
    """The authors' definition: tokens per step / mean step time of the measured window."""
    step_time_cv: NonNegativeFloat
    """Coefficient of variation of the step times."""
    warmup_steps: NonNegativeInt
    stopped_by: Literal["interval", "max_steps", "window", "budget"]
    peak_memory_bytes: PositiveInt
    """Largest over the ranks: allocator peak on GPUs, peak resident set on ``cpu``."""
    peak_memory_source: Literal["allocator", "rss"]
    nvml_peak_memory_bytes: PositiveInt | None
    """Largest used memory over the GPUs as the driver saw it: NVML, or that of another vendor."""
    paper_memory_gib: PositiveFloat
    """The authors' definition: driver total minus free at the end, rank 0's device; on ``cpu`` the resident set."""
    model_flops_per_step: PositiveInt
    """Without recomputation; over all GPUs. The numerator of MFU."""
    hardware_flops_per_step: PositiveInt
    """With recomputation; over all GPUs. The numerator of HFU."""
    energy_per_step_j: PositiveFloat | None
    """Over all GPUs, from the driver's accumulating counter over the measured window."""
    parameters: PositiveInt
    trainable_parameters: PositiveInt
    first_loss: float
    last_loss: float
    attention_kernel: str
    """The attention kernel that was seen to run."""
    trials: list[Trial] = []
    """Of a ``max`` search, in the order in which they ran."""
