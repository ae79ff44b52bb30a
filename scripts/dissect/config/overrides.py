"""Parameters of cells that experiments, stand-ins and overrides may set; an omitted parameter keeps its default.

``dissect.cells.spec`` has the defaults.
"""

from typing import Any, Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from dissect.base.model import Model
from dissect.config.arrival import Requests
from dissect.config.kinds import AttentionKernel, DType, Optimizer, TorchOptimizer


class StepSampling(Model):
    """Parameters that decide how many steps are measured."""

    warmup_min_steps: PositiveInt | None = None
    """Fewest warm-up steps before the step time may count as settled."""
    warmup_max_steps: PositiveInt | None = None
    """Most warm-up steps; a cell whose step time has not settled by then is measured and flagged."""
    min_steps: PositiveInt | None = None
    """Fewest measured steps."""
    max_steps: PositiveInt | None = None
    """Most measured steps."""
    interval_target: PositiveFloat | None = None
    """Target half width of the 95 % interval of the median step time, as a share of the median."""
    window_s: PositiveFloat | None = None
    """Longest measuring time in seconds once ``min_steps`` are done, however wide the interval."""
    budget_s: PositiveFloat | None = None
    """Longest wall time of a cell in seconds once it is prepared; past it the outcome is ``timeout``."""


class SamplingOverride(StepSampling):
    """Parameters that decide how long a cell is measured."""

    ready_s: PositiveFloat | None = None
    """Longest time from a server's start to its first answer, in seconds (stage ``serve``)."""


class WorkloadOverride(Model):
    """Parameters of the workload; each stage has some of them."""

    seq_len: PositiveInt | None = None
    """Tokens per sequence."""
    batch: PositiveInt | Literal["max"] | None = None
    """Sequences per GPU and step; ``max`` searches the largest batch that fits."""
    dtype: DType | None = None
    """Data type of parameters and activations."""
    gradient_clipping: NonNegativeFloat | None = None
    """Maximum norm of the gradients; 0 turns clipping off."""
    seed: int | None = None
    """Seed of random weights and tokens."""
    profiled_steps: PositiveInt | None = None
    """Number of steps under the profiler (stage ``profile``)."""
    requests: Requests | None = None
    """Number of requests (stage ``serve``, as all below up to ``sizes``)."""
    input_tokens: PositiveInt | None = None
    """Tokens per prompt."""
    output_tokens: PositiveInt | None = None
    """Tokens per answer, in place of the platform's."""
    warmup_requests: PositiveInt | None = None
    """Number of warm-up requests before the measured ones."""
    bursts: PositiveInt | None = None
    """How often the load is sent to the same server, one sending after the other; all count alike."""
    stream: bool | None = None
    """Whether answers are streamed token by token."""
    calibrate: bool | None = None
    """Whether the load is sent once more with ``vllm bench serve``, for calibration."""
    sizes: list[PositiveInt] | None = None
    """Sizes of an operator (stage ``operators``): matrix sizes, bytes or sequence lengths."""


class MethodOverride(Model):
    """Choices between implementations of a method."""

    attention: AttentionKernel | None = None
    """Attention kernel, in place of the one that the letters choose."""
    optimizer: Optimizer | TorchOptimizer | None = None
    """Implementation of AdamW; each framework has some of them."""


class SettingsOverride(Model):
    """Settings of a serving engine, in place of those of the policy."""

    max_sequences: PositiveInt | None = None
    """Most requests that the engine processes at the same time."""
    memory_share: PositiveFloat | None = None
    """Share of each GPU's memory that the engine may take."""
    chunked_prefill: bool | None = None
    """Whether the engine splits the prefill of long prompts."""
    cache_reserve_gib: PositiveFloat | None = None
    """GiB per GPU of the memory share that are neither weights nor KV cache; the cache takes all the rest."""
    prefill_tokens: PositiveInt | None = None
    """Most tokens of prompts that the engine processes in one step."""
    graph_sequences: PositiveInt | None = None
    """Largest number of requests for which the engine captures a CUDA graph of its decoding step."""
    arguments: list[str] | None = None
    """Further arguments of the engine's command line, in place of the platform's."""


class HardwareOverride(Model):
    """Part of the platform that a cell uses."""

    n_gpus: PositiveInt | None = None
    """Number of GPUs over all nodes."""
    environment: dict[str, str] | None = None
    """Environment variables of the launch, in place of the platform's."""


class CellOverride(Model):
    """Parameters that an override may set for the cells that its glob matches."""

    hardware: HardwareOverride = HardwareOverride()
    """Part of the platform that the cells use."""
    method: MethodOverride = MethodOverride()
    """Choices between implementations of a method."""
    settings: SettingsOverride = SettingsOverride()
    """Settings of a serving engine."""
    workload: WorkloadOverride = WorkloadOverride()
    """Parameters of the workload."""
    sampling: SamplingOverride = SamplingOverride()
    """Parameters that decide how long the cells are measured."""


def given(override: Model) -> dict[str, Any]:
    """Parameters that the override sets, by name."""
    return override.model_dump(exclude_none=True)
