"""Specs: exactly the declared facts that can change a cell's numbers; nothing in them is detected.

Labels, ids that only name paths, plot styles, partitions and accounts are not in a spec: changing them never measures
anything again.
"""

import hashlib
import json
from typing import Any, Literal, Self

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from dissect.base.model import Model, added
from dissect.config.adapters.adapter import Adapter
from dissect.config.architecture import ModelArchitecture as ModelArchitecture
from dissect.config.arrival import Arrival
from dissect.config.kinds import AttentionKernel, DType, OperatorFamily, Pinning, States
from dissect.config.registered import Device, Engine

KEY_LENGTH = 12


class Hardware(Model):
    """Hardware that the cell runs on, as its platform declares it."""

    device: Device
    gpu_model: str
    """Name of the GPU as its driver reports it; on ``cpu`` a name for this machine."""
    n_gpus: PositiveInt
    """Number of GPUs over all nodes; on ``cpu`` of processes."""
    n_nodes: PositiveInt
    interconnect: str
    environment: dict[str, str]
    """Environment variables of the launch, such as ``NCCL_P2P_DISABLE``."""
    device_memory_bytes: PositiveInt
    """Memory of one GPU; on ``cpu`` the memory limit of each process."""
    card_memory_bytes: PositiveInt | None = added(None)
    """Memory of the card where every process is held to less, to ``device_memory_bytes``; None where it is not."""
    host_memory_bytes: PositiveInt
    """Host memory of one node; a cell that needs more ends as ``oom`` in phase ``host``."""
    pinning: Pinning = added("none")
    """Cores that a rank runs on: any, or those next to its GPU; servers are never pinned."""


class Software(Model):
    """Identity of a software environment: a lock file, or versions or an image that the site declares."""

    python: str | None = None
    """Minor version of Python, such as ``3.12``."""
    lock_sha256: str | None = None
    image: str | None = None
    versions: dict[str, str] = {}
    """Versions that the site declares and the runner checks: distribution name -> version."""
    modules: list[str] = added([])
    """Environment modules that are loaded first, in order: libraries and compilers that no distribution names."""


class TrainingMethod(Model):
    """Method of a training cell: the choices between implementations that every framework has."""

    attention: AttentionKernel
    recompute: bool
    states: States = added("fp32_master")
    """Optimizer states with bf16 weights; with fp32 weights everything is fp32."""

    @property
    def trained_adapter(self) -> Adapter | None:
        """Adapter that trains on a frozen base; None unless fine-tuning."""
        return None

    @property
    def is_quantized(self) -> bool:
        """Whether the linear layers of the decoder are quantised, and therefore frozen."""
        return False

    @property
    def is_compiled(self) -> bool:
        """Whether ``torch.compile`` compiles the decoder layers, before the warm-up."""
        return False

    @property
    def computes_on_host(self) -> bool:
        """Whether the host does a part of the step, so that the time of the devices is not all of it."""
        return False

    @property
    def shards_states(self) -> bool:
        """Whether data-parallel ranks split optimizer states, and perhaps more, among them."""
        return False

    @property
    def recomputes_attention_alone(self) -> bool:
        """Whether the backward pass computes attention's products again, and nothing else."""
        return False

    def repeats_last_product(self, arch: ModelArchitecture) -> bool:  # noqa: ARG002
        """Whether recomputation of a layer runs its last product too, whose result is not needed.

        ``torch.utils.checkpoint`` does not: it stops once it has everything that the backward pass needs.
        """
        return False


class TrainingWorkload(Model):
    """Workload of one optimizer step."""

    seq_len: PositiveInt = 350
    """Tokens per sequence, exactly."""
    batch: PositiveInt | Literal["max"] = 1
    """Sequences per GPU and step; ``max`` searches the largest batch that does not run out of memory."""
    dtype: DType = "bf16"
    gradient_clipping: NonNegativeFloat = 0.3
    """Maximum norm of the gradients, as in the authors' code; 0 turns clipping off."""
    seed: int = 42


class ProfileWorkload(TrainingWorkload):
    """Workload of a profiled training cell."""

    profiled_steps: PositiveInt = 3


class Sampling(Model):
    """Sampling of steps: a run lasts until its interval is narrow enough, or steps or time run out.

    The window is short: runs of a cell differ by more than the steps of one run, so time is better spent on more runs.
    """

    warmup_min_steps: PositiveInt = 2
    """Fewest warm-up steps, including the step in which the attention kernel is detected."""
    warmup_max_steps: PositiveInt = 10
    """Most warm-up steps; the warm-up ends earlier if the step time has settled."""
    min_steps: PositiveInt = 10
    max_steps: PositiveInt = 50
    interval_target: PositiveFloat = 0.02
    """Target half width of the 95 % interval of the median step time, as a share of the median."""
    window_s: PositiveFloat = 4
    """Longest measuring time in seconds once ``min_steps`` are done, however wide the interval."""
    budget_s: PositiveFloat = 900
    """Longest wall time of the cell in seconds once it is prepared; past it the outcome is ``timeout``."""

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> Self:
        if self.warmup_min_steps > self.warmup_max_steps:
            raise ValueError("'warmup_min_steps' is above 'warmup_max_steps'")
        if self.min_steps > self.max_steps:
            raise ValueError("'min_steps' is above 'max_steps'")
        return self


class OperatorSampling(Sampling):
    """Sampling of an operator, whose samples take milliseconds."""

    warmup_min_steps: PositiveInt = 3
    window_s: PositiveFloat = 60


class TrainingSpec(Model):
    """Spec of a training cell; each stage of a framework derives its own."""

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
    """Workload of an operator."""

    sizes: list[PositiveInt]
    """Matrix sizes or tokens (gemm), bytes (memcpy, collectives), sequence lengths (attention)."""
    batch: PositiveInt = 1
    """Number of sequences (attention)."""
    dtype: DType = "bf16"
    seed: int = 42


class OperatorSpec(Model):
    """Spec of an operator over a range of sizes."""

    stage: Literal["operators"] = "operators"
    framework: OperatorFamily
    operator: str
    """Operator of the family, such as a collective, a direction of copies or an attention kernel."""
    hardware: Hardware
    software: Software
    model: ModelArchitecture | None
    """Model that determines the shapes; None where no model is involved."""
    workload: OperatorWorkload
    sampling: OperatorSampling
    protocol: PositiveInt


class InspectSpec(Model):
    """Spec of the inspection of a node, which Table I compares with the declared platform."""

    stage: Literal["inspect"] = "inspect"
    framework: Literal["system"]
    hardware: Hardware
    software: Software
    protocol: PositiveInt


class EngineSettings(Model):
    """Settings of a serving engine; None keeps the default of the engine's version."""

    max_sequences: PositiveInt | None
    """Most requests that the engine processes at the same time; further requests wait."""
    memory_share: PositiveFloat | None
    """Share of each GPU's memory that the engine may take."""
    prefix_cache: Literal[False] = False
    """Prefix cache, always off: random prompts share no prefix, and a repeated burst must not profit from it."""
    chunked_prefill: bool | None
    """Whether the engine splits the prefill of long prompts."""
    cache_reserve_gib: PositiveFloat | None = added(None)
    """GiB per GPU of the memory share that are neither weights nor KV cache; the cache takes all the rest."""
    prefill_tokens: PositiveInt | None = added(None)
    """Most tokens of prompts that the engine processes in one step."""
    graph_sequences: PositiveInt | None = added(None)
    """Largest number of requests for which the engine captures a CUDA graph of its decoding step."""
    arguments: list[str] = []
    """Further arguments of the engine's command line."""


class ServeWorkload(Model):
    """Load that the load generator sends to the server."""

    requests: PositiveInt = 1000
    """Number of requests; of a search for a rate the least number of each probe."""
    input_tokens: PositiveInt = 512
    """Tokens per prompt."""
    output_tokens: PositiveInt = 128
    """Tokens per answer, exactly."""
    arrival: Arrival = Arrival(kind="burst")
    stream: bool = True
    """Whether answers are streamed token by token; without streaming there is no time to the first token."""
    warmup_requests: PositiveInt = 16
    """Number of warm-up requests, with other prompts."""
    bursts: PositiveInt = added(1)
    """How often the load is sent to the same server, one sending after the other; all count alike."""
    load_generator: Literal["guidellm"] = "guidellm"
    calibrate: bool = False
    """Whether the load is sent once more with ``vllm bench serve``, to compare the two load generators."""
    dtype: DType = "bf16"
    seed: int = 42

    @model_validator(mode="after")
    def _a_search_sees_tokens(self) -> Self:
        if self.arrival.search and (not self.stream or self.calibrate or self.bursts > 1):
            raise ValueError("a search for a rate needs 'stream', without 'calibrate' and with one of 'bursts'")
        return self


class ServeSampling(Model):
    """Time limits of a serving cell."""

    budget_s: PositiveFloat = 3600
    """Longest wall time of the cell in seconds once it is prepared; past it the outcome is ``timeout``."""
    ready_s: PositiveFloat = 900
    """Longest time from the server's start to its first answer in seconds, as part of the budget."""


class ServeSpec(Model):
    """Spec of a serving cell: a load of requests on one serving engine."""

    stage: Literal["serve"] = "serve"
    framework: Engine
    hardware: Hardware
    """Hardware of the server; ``n_gpus`` is the tensor-parallel degree."""
    software: Software
    """Software environment of the engine."""
    client: Software
    """Software environment of the load generator."""
    model: ModelArchitecture
    settings: EngineSettings
    workload: ServeWorkload
    sampling: ServeSampling
    protocol: PositiveInt


Spec = TrainingSpec | OperatorSpec | ServeSpec | InspectSpec
"""A spec of any stage; ``dissect.cells.any_spec`` reads one."""


def canonical_json(value: Any) -> str:
    """Canonical JSON of a value: sorted keys, no white space, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical_spec(spec: Spec) -> str:
    """Canonical JSON of a spec, which Snakemake tracks and the key hashes."""
    return canonical_json(spec.model_dump(mode="json"))


def spec_key(canonical: str) -> str:
    """Key of a spec: the first 12 hex digits of the SHA-256 of its canonical JSON."""
    return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_LENGTH]
