"""config/platforms/*.yaml: a machine, as declared facts with their sources."""

from datetime import date
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, model_validator

from dissect.base.model import Model
from dissect.config.environment import Environment, default_environments
from dissect.config.kinds import DeviceOptimizer, DType, FlashKernel, LayerSpec, OperatorFamily
from dissect.config.names import Name, Names
from dissect.config.overrides import SamplingOverride
from dissect.config.registered import Device, Engine, EnvironmentName

GresType = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$")]


class GpuFacts(Model):
    """One GPU of the platform; on ``cpu`` one process."""

    model: str
    """Name as the driver reports it; a different one found at run time is flagged."""
    label: str
    """Short name for tables."""
    memory_gib: PositiveFloat
    """Memory of one GPU in GiB; on ``cpu`` the budget that each process is held to."""
    memory_bandwidth_gb_per_s: PositiveFloat | None = None
    """Peak memory bandwidth in GB/s."""
    peak_tflops: dict[DType, PositiveFloat] = {}
    """Dense peak in TFLOP/s by dtype, without sparsity; empty where nobody states one."""
    source: str | None = None
    """Where the peaks come from; required when there are any."""

    @model_validator(mode="after")
    def _peaks_have_a_source(self) -> Self:
        if (self.peak_tflops or self.memory_bandwidth_gb_per_s) and not self.source:
            raise ValueError("peaks need a 'source'")
        return self


class Interconnect(Model):
    """How the GPUs of one node are linked."""

    kind: str
    """NVLink, PCIe 4.0 x16, host memory."""
    gb_per_s: PositiveFloat | None = None
    """Bandwidth of one GPU to the others in GB/s, both directions together."""
    source: str | None = None
    """Where that comes from."""


class Host(Model):
    """The machine around the GPUs."""

    cpu: str
    """Processors of one node."""
    memory_gib: PositiveFloat
    """Host memory of one node in GiB; a cell that needs more ends as ``oom`` in phase ``host``."""
    source: str | None = None
    """Where that comes from."""


class Kernels(Model):
    """Which implementation a letter means on this platform."""

    flash_attention: FlashKernel | None = None
    """What the letter F runs; without one, F is unsupported here."""
    layer_spec: LayerSpec = "local"
    """Layers of Megatron-LM: its own, or Transformer Engine's where that is installed."""


class ServingStandIn(Model):
    """A load for machines too small for the paper's."""

    requests: PositiveInt | None = None
    """Number of requests."""
    input_tokens: PositiveInt | None = None
    """Tokens of every prompt."""
    warmup_requests: PositiveInt | None = None
    """Requests before the measured ones."""


class StandIn(Model):
    """What runs here in place of the paper's workload, for machines too small for it."""

    models: Names | None = None
    """Models in place of those of every experiment."""
    seq_len: PositiveInt | None = None
    """Sequence length in place of the experiment's, in tokens."""
    sizes: dict[OperatorFamily, list[PositiveInt]] = {}
    """Sizes of operators in place of the experiment's."""
    serving: ServingStandIn = ServingStandIn()
    """Load on servers in place of the experiment's."""
    sampling: SamplingOverride = SamplingOverride()
    """Sampling in place of the experiment's."""


class AlignedSettings(Model):
    """What all serving engines are given alike."""

    max_sequences: PositiveInt = 256
    """Requests that an engine works on at the same time."""
    memory_share: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Share of each GPU's memory that an engine may take."""
    chunked_prefill: bool = True
    """Whether long prompts are split."""


class Serving(Model):
    """How models are served here."""

    checkpoints: str = ".cache/checkpoints"
    """Folder for checkpoints of random weights, on every node; in memory, such as ``/dev/shm``, where they fit."""
    keep_checkpoints: bool = True
    """Whether they stay after a cell, for the next one."""
    gpus: dict[Name, PositiveInt] = {}
    """GPUs of one server by model, its tensor-parallel degree; default: all of a node."""
    environment: dict[str, str] = {}
    """Environment variables of servers, on top of those of every launch."""
    aligned: AlignedSettings = AlignedSettings()
    """What the policy ``aligned`` sets in every engine."""
    arguments: dict[Engine, list[str]] = {}
    """Arguments that an engine needs on this machine, whatever the policy."""


class Scheduler(Model):
    """What a batch system is asked for; never part of a cell's identity."""

    partition: str | None = None
    """Slurm partition; default: that of the cluster."""
    account: str | None = None
    """Slurm account."""
    qos: str | None = None
    """Slurm quality of service."""
    constraint: str | None = None
    """Slurm node feature."""
    exclusive: bool = False
    """Whether a cell gets its nodes for itself."""
    cpus: PositiveInt | None = None
    """CPU cores per node; default: what the cluster gives unasked."""
    memory_gib: PositiveFloat | None = None
    """Host memory per node in GiB, above ``host.memory_gib``; default: 2 % and 1 GiB above it."""
    gpus: bool | None = None
    """Whether to ask for GPUs; default: on every device but ``cpu``."""
    gpu_model: GresType | None = None
    """Type of the GPUs as the cluster's gres.conf names it, such as ``a800``; default: any."""
    margin_s: PositiveFloat = 600
    """Seconds asked for beyond a cell's budget: the environment's first start, and publishing."""
    pack_h: PositiveFloat | None = None
    """Hours of one allocation that measures this platform's cells one after the other (the target ``packs``)."""


def _day(value: object) -> object:
    """YAML reads a day without quotes as a date."""
    return value.isoformat() if isinstance(value, date) else value


class Price(Model):
    """What one GPU costs; never part of a cell's identity, and nothing that is measured or drawn in a table."""

    per_gpu_hour: PositiveFloat
    """Price of one GPU, with its share of the node, for one hour."""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    """ISO 4217 code, such as ``EUR``."""
    source: Annotated[str, Field(min_length=1)]
    """Whose price it is."""
    date: Annotated[str, BeforeValidator(_day), Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$")]
    """When it was asked: ``2026-03`` or ``2026-03-31``."""


class Platform(Model):
    """One platform. Facts stay declared: what is detected goes to provenance and is flagged when it differs."""

    label: str
    """Name in tables and figures."""
    extends: Name | None = None
    """Platform whose keys are inherited."""
    device: Device
    """``cpu`` is the machine at hand, without GPUs."""
    gpu: GpuFacts
    """One GPU."""
    gpus_per_node: PositiveInt
    """GPUs that a cell uses on each node unless the experiment sweeps them; on ``cpu`` processes."""
    nodes: PositiveInt = 1
    """Nodes that a cell uses."""
    gpu_counts: list[PositiveInt]
    """Counts that a sweep over GPUs visits."""
    interconnect: Interconnect
    """Links between the GPUs of a node."""
    host: Host
    """The machine around the GPUs."""
    environment: dict[str, str] = {}
    """Environment variables of every launch."""
    kernels: Kernels = Kernels()
    """Implementations behind letters."""
    optimizer: DeviceOptimizer = "deepspeed_fused_adam"
    """AdamW where nothing is offloaded."""
    output_tokens: PositiveInt = 128
    """Tokens that each serving request generates."""
    workload: StandIn = StandIn()
    """What runs here in place of the paper's workload."""
    serving: Serving = Serving()
    """How models are served here."""
    environments: dict[EnvironmentName, Environment] = {}
    """Software environments; default: locked ones for ``train``, ``client``, ``transformers`` and ``vllm``."""
    scheduler: Scheduler = Scheduler()
    """What a batch system is asked for."""
    price: Price | None = None
    """What one GPU costs, for ``recommend`` alone."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        for name in ("train", "client"):
            if name in self.environments and not self.environments[name].starts_python:
                raise ValueError(f"the environment '{name}' needs a 'lock' or an 'interpreter'")
        total = self.gpus_per_node * self.nodes
        if len(set(self.gpu_counts)) != len(self.gpu_counts):
            raise ValueError("'gpu_counts' has a duplicate")
        if too_many := [count for count in self.gpu_counts if count > total]:
            raise ValueError(f"'gpu_counts' has {too_many[0]}, but the platform has {total} GPUs")
        return self

    @model_validator(mode="after")
    def _scheduler_kills_last(self) -> Self:
        asked, declared = self.scheduler.memory_gib, self.host.memory_gib
        if asked is not None and asked <= declared:
            raise ValueError(
                f"'scheduler.memory_gib' is {asked:g}, not above the {declared:g} of 'host.memory_gib': a cell that "
                "needs too much would be killed before its runner can say so"
            )
        return self

    def environment_of(self, name: EnvironmentName) -> Environment | None:
        """The environment of this name, the project's own where the platform names none; None without either."""
        return self.environments.get(name) or default_environments().get(name)
