"""CellSpec: exactly what can change a cell's number, all of it declared and nothing detected.

Labels, ids that only name paths, plot styles, partitions and accounts are not in it, so changing them never measures
anything again.
"""

import hashlib
import json
from typing import Any, Literal, Self

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from dissect.base.model import Model
from dissect.config.adapters.adapter import Adapter
from dissect.config.architecture import ModelArchitecture as ModelArchitecture
from dissect.config.arrival import Arrival
from dissect.config.kinds import AttentionKernel, DType, OperatorFamily
from dissect.config.registered import Device, Engine

KEY_LENGTH = 12


class Hardware(Model):
    """What the cell runs on, as the platform file declares it."""

    device: Device
    gpu_model: str
    """As the driver names it; on ``cpu`` a name for the machine at hand."""
    n_gpus: PositiveInt
    """Over all nodes; on ``cpu`` the number of processes."""
    n_nodes: PositiveInt
    interconnect: str
    environment: dict[str, str]
    """Environment variables of the launch, such as ``NCCL_P2P_DISABLE``."""
    device_memory_bytes: PositiveInt
    """Of one GPU; on ``cpu`` the budget that each process is held to."""
    host_memory_bytes: PositiveInt
    """Of one node; a cell that needs more ends as ``oom`` in phase ``host``."""


class Software(Model):
    """Identity of the software environment: a lock file, or versions or an image that the site declares."""

    python: str | None = None
    """Python's minor version, such as ``3.12``."""
    lock_sha256: str | None = None
    image: str | None = None
    versions: dict[str, str] = {}
    """Declared by the site and checked by the runner: distribution name -> version."""


class TrainingMethod(Model):
    """What every training framework is told: each choice between implementations is in a spec."""

    attention: AttentionKernel
    recompute: bool

    @property
    def trained_adapter(self) -> Adapter | None:
        """The adapter that trains on a frozen base, in fine-tuning."""
        return None

    @property
    def is_quantized(self) -> bool:
        """Whether the linear layers of the decoder are quantised, and therefore frozen."""
        return False

    @property
    def recomputes_whole_layers(self) -> bool:
        """Whether recomputation runs a layer to its end.

        ``torch.utils.checkpoint`` does not: it stops once everything that the backward pass needs is there.
        """
        return False


class TrainingWorkload(Model):
    """What one optimizer step computes."""

    seq_len: PositiveInt = 350
    """Tokens per sequence; every sequence has exactly this many."""
    batch: PositiveInt | Literal["max"] = 1
    """Sequences per GPU and step; ``max`` searches the largest that does not run out of memory."""
    dtype: DType = "bf16"
    gradient_clipping: NonNegativeFloat = 0.3
    """Maximum norm, as in the authors' code; 0 does not clip."""
    seed: int = 42


class ProfileWorkload(TrainingWorkload):
    """The same, and how much of it the profiler sees."""

    profiled_steps: PositiveInt = 3


class Sampling(Model):
    """How long to measure: until the interval is narrow enough, or steps or budget run out."""

    warmup_min_steps: PositiveInt = 3
    """Includes the step in which the attention kernel is looked at."""
    warmup_max_steps: PositiveInt = 10
    """Warm-up ends before, once the step time has settled."""
    min_steps: PositiveInt = 10
    max_steps: PositiveInt = 50
    interval_target: PositiveFloat = 0.02
    """Half width of the 95 % interval of the median step time, as a share of the median."""
    window_s: PositiveFloat = 60
    """Seconds after which measuring stops once ``min_steps`` are done, however wide the interval."""
    budget_s: PositiveFloat = 900
    """Wall time of the whole cell; past it the outcome is ``timeout``."""

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> Self:
        if self.warmup_min_steps > self.warmup_max_steps:
            raise ValueError("'warmup_min_steps' is above 'warmup_max_steps'")
        if self.min_steps > self.max_steps:
            raise ValueError("'min_steps' is above 'max_steps'")
        return self


class TrainingSpec(Model):
    """What all training cells have; the stages below say what trains and which framework."""

    stage: str
    framework: str
    hardware: Hardware
    software: Software
    model: ModelArchitecture
    method: TrainingMethod
    workload: TrainingWorkload
    sampling: Sampling
    protocol: PositiveInt


class OperatorWorkload(Model):
    """What an operator is measured on."""

    sizes: list[PositiveInt]
    """Matrix sizes or tokens (gemm), bytes (memcpy, collectives), sequence lengths (attention)."""
    batch: PositiveInt = 1
    """Sequences (attention)."""
    dtype: DType = "bf16"
    seed: int = 42


class OperatorSpec(Model):
    """One operator over a range of sizes."""

    stage: Literal["operators"] = "operators"
    framework: OperatorFamily
    operator: str
    """Which of the family: a collective, a direction of copying, an attention kernel."""
    hardware: Hardware
    software: Software
    model: ModelArchitecture | None
    """Whose shapes they are; None where no model is involved."""
    workload: OperatorWorkload
    sampling: Sampling
    protocol: PositiveInt


class InspectSpec(Model):
    """What the platform's node really has, to hold against what the platform file declares (Table I)."""

    stage: Literal["inspect"] = "inspect"
    framework: Literal["system"]
    hardware: Hardware
    software: Software
    protocol: PositiveInt


class EngineSettings(Model):
    """How a serving engine is set; None leaves a choice to the engine, whose version decides."""

    max_sequences: PositiveInt | None
    """Requests that the engine works on at the same time; more of them wait."""
    memory_share: PositiveFloat | None
    """Share of each GPU's memory that the engine may take."""
    prefix_cache: Literal[False] = False
    """Never: random prompts share nothing, and a repeated burst must not profit."""
    chunked_prefill: bool | None
    """Whether long prompts are split to be worked on beside outputs."""
    arguments: list[str] = []
    """Further arguments of its command line, as they stand."""


class ServeWorkload(Model):
    """What the load generator asks of the server."""

    requests: PositiveInt = 1000
    input_tokens: PositiveInt = 512
    """Of every prompt."""
    output_tokens: PositiveInt = 128
    """Of every answer, exactly."""
    arrival: Arrival = Arrival(kind="burst")
    stream: bool = True
    """Answers token by token; without it there is no time to the first token."""
    warmup_requests: PositiveInt = 16
    """Sent before, with other prompts."""
    load_generator: Literal["guidellm"] = "guidellm"
    calibrate: bool = False
    """Send the same load once more with ``vllm bench serve``, to hold the two load generators against each other."""
    dtype: DType = "bf16"
    seed: int = 42


class ServeSampling(Model):
    """How long a serving cell may take."""

    budget_s: PositiveFloat = 3600
    """Wall time of the whole cell; past it the outcome is ``timeout``."""
    ready_s: PositiveFloat = 900
    """Of that, the time from the server's start to its first answer."""


class ServeSpec(Model):
    """A burst of requests, or a stream of them, against one serving engine."""

    stage: Literal["serve"] = "serve"
    framework: Engine
    hardware: Hardware
    """``n_gpus`` is the tensor-parallel degree."""
    software: Software
    """Of the engine."""
    client: Software
    """Of the load generator."""
    model: ModelArchitecture
    settings: EngineSettings
    workload: ServeWorkload
    sampling: ServeSampling
    protocol: PositiveInt


Spec = TrainingSpec | OperatorSpec | ServeSpec | InspectSpec
"""Any spec; ``dissect.cells.any_spec`` reads one."""


def canonical_json(value: Any) -> str:
    """One spelling per value: sorted keys, no white space, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical_spec(spec: Spec) -> str:
    """The spec's canonical JSON, the string that Snakemake tracks and that the key hashes."""
    return canonical_json(spec.model_dump(mode="json"))


def spec_key(canonical: str) -> str:
    """First 12 hex digits of the SHA-256 of a canonical spec."""
    return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_LENGTH]
