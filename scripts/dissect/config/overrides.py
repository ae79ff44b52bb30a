"""Parameters of cells that experiments, stand-ins and overrides may set; whatever is left out keeps its default.

Defaults stand in ``dissect.cells.spec``.
"""

from typing import Any, Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from dissect.base.model import Model
from dissect.config.kinds import AttentionKernel, DType, Optimizer


class SamplingOverride(Model):
    """How long to measure."""

    warmup_min_steps: PositiveInt | None = None
    """Steps before the step time may count as settled."""
    warmup_max_steps: PositiveInt | None = None
    """Steps after which measuring starts, settled or not (then flagged)."""
    min_steps: PositiveInt | None = None
    """Measured steps at least."""
    max_steps: PositiveInt | None = None
    """Measured steps at most."""
    interval_target: PositiveFloat | None = None
    """Half width of the 95 % interval of the median step time, as a share of the median."""
    window_s: PositiveFloat | None = None
    """Seconds after which measuring stops once ``min_steps`` are done, however wide the interval."""
    ready_s: PositiveFloat | None = None
    """Seconds that a server has from its start to its first answer (stage ``serve``)."""
    budget_s: PositiveFloat | None = None
    """Wall time of a cell in seconds; past it the outcome is ``timeout``."""


class WorkloadOverride(Model):
    """What is computed; each stage has some of these."""

    seq_len: PositiveInt | None = None
    """Tokens per sequence."""
    batch: PositiveInt | Literal["max"] | None = None
    """Sequences per GPU and step, or ``max``."""
    dtype: DType | None = None
    """Of parameters and activations."""
    gradient_clipping: NonNegativeFloat | None = None
    """Maximum norm; 0 does not clip."""
    seed: int | None = None
    """Of weights and tokens."""
    profiled_steps: PositiveInt | None = None
    """Steps under the profiler (stage ``profile``)."""
    requests: PositiveInt | None = None
    """Number of requests (stage ``serve``, as all below up to ``sizes``)."""
    input_tokens: PositiveInt | None = None
    """Tokens of every prompt."""
    output_tokens: PositiveInt | None = None
    """Tokens of every answer, in place of the platform's."""
    warmup_requests: PositiveInt | None = None
    """Requests before the measured ones."""
    stream: bool | None = None
    """Answers token by token, or whole."""
    calibrate: bool | None = None
    """Send the load once more with ``vllm bench serve``."""
    sizes: list[PositiveInt] | None = None
    """Sizes of an operator (stage ``operators``): matrix sizes, bytes or sequence lengths."""


class MethodOverride(Model):
    """Choices between implementations."""

    attention: AttentionKernel | None = None
    """Attention kernel, whatever the letters say."""
    optimizer: Optimizer | None = None
    """AdamW implementation."""


class SettingsOverride(Model):
    """How a serving engine is set, whatever the policy."""

    max_sequences: PositiveInt | None = None
    """Requests that the engine works on at the same time."""
    memory_share: PositiveFloat | None = None
    """Share of each GPU's memory that the engine may take."""
    chunked_prefill: bool | None = None
    """Whether long prompts are split."""
    arguments: list[str] | None = None
    """Further arguments of its command line, in place of the platform's."""


class HardwareOverride(Model):
    """How much of the platform a cell uses."""

    n_gpus: PositiveInt | None = None
    """GPUs over all nodes."""
    environment: dict[str, str] | None = None
    """Environment variables of the launch, in place of the platform's."""


class CellOverride(Model):
    """What an override may set for the cells that its glob matches."""

    hardware: HardwareOverride = HardwareOverride()
    """How much of the platform is used."""
    method: MethodOverride = MethodOverride()
    """Choices between implementations."""
    settings: SettingsOverride = SettingsOverride()
    """How a serving engine is set."""
    workload: WorkloadOverride = WorkloadOverride()
    """What one step computes."""
    sampling: SamplingOverride = SamplingOverride()
    """How long to measure."""


def given(override: Model) -> dict[str, Any]:
    """The parameters that an override really sets."""
    return override.model_dump(exclude_none=True)
