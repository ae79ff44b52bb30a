"""config/platforms/*.yaml: the declared facts of a machine, with their sources."""

from typing import Annotated, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from dissect.base.model import Model
from dissect.base.registry import ENGINES, FRAMEWORKS
from dissect.config.arrival import Requests
from dissect.config.environment import Environment, default_environments
from dissect.config.kinds import DeviceOptimizer, DType, FlashKernel, LayerSpec, OperatorFamily, Pinning
from dissect.config.names import Label, Name, Names
from dissect.config.overrides import SamplingOverride, SettingsOverride, StepSampling
from dissect.config.price import Price
from dissect.config.registered import Device, Engine, EnvironmentName
from dissect.config.scheduler import Scheduler

LARGEST_BUDGET = 0.9
"""Largest budget as a share of the card's memory: what is declared and what a driver finds may differ by the rest."""
MOST_GPUS = 10_000
"""Most GPUs of a platform; plans look at the partition of each rank."""


class GpuFacts(Model):
    """Facts of one GPU of the platform; on ``cpu`` of one process."""

    model: str
    """Name of the GPU as its driver reports it; a different name found at run time is flagged."""
    label: Label
    """Short name of the GPU in tables."""
    memory_gib: PositiveFloat
    """Memory of one GPU in GiB; on ``cpu`` the memory limit of each process."""
    memory_bandwidth_gb_per_s: PositiveFloat | None = None
    """Peak memory bandwidth of one GPU in GB/s."""
    peak_tflops: dict[DType, PositiveFloat] = {}
    """Dense peak of one GPU in TFLOP/s by dtype, without sparsity; empty where no peak is published."""
    source: str | None = None
    """Source of the peaks; required if there are any."""

    @model_validator(mode="after")
    def _peaks_have_a_source(self) -> Self:
        if (self.peak_tflops or self.memory_bandwidth_gb_per_s) and not self.source:
            raise ValueError("'source' is required for peaks")
        return self


class Interconnect(Model):
    """Links between the GPUs of one node."""

    kind: str
    """Kind of link, such as ``NVLink``, ``PCIe 4.0 x16`` or ``host memory``."""
    gb_per_s: PositiveFloat | None = None
    """Bandwidth of one GPU to the others in GB/s, both directions together."""
    source: str | None = None
    """Source of the bandwidth."""


class Host(Model):
    """Processors and memory of one node."""

    cpu: str
    """Processors of one node."""
    memory_gib: PositiveFloat
    """Host memory of one node in GiB; a cell that needs more ends as ``oom`` in phase ``host``."""
    source: str | None = None
    """Source of the facts about the host."""


class Kernels(Model):
    """Implementations that letters choose on this platform."""

    flash_attention: FlashKernel | None = None
    """Attention kernel of the letter F; without one F is unsupported on this platform."""
    layer_spec: LayerSpec = "local"
    """Implementation of Megatron-LM's layers: its own, or Transformer Engine's where that is installed."""


class SearchStandIn(Model):
    """Search for the rate that holds, for machines that are faster or slower than those it is made for."""

    lowest: PositiveFloat | None = None
    """Lower end of the search, in requests per second."""
    highest: PositiveFloat | None = None
    """Upper end of the search, in requests per second."""
    probes: PositiveInt | None = None
    """Most rates that are tried."""
    probe_s: PositiveFloat | None = None
    """Shortest time over which the requests of one rate arrive, in seconds."""


class ServingStandIn(Model):
    """Serving load for machines that are too small for the paper's."""

    requests: Requests | None = None
    """Number of requests."""
    input_tokens: PositiveInt | None = None
    """Tokens per prompt."""
    warmup_requests: PositiveInt | None = None
    """Number of warm-up requests before the measured ones."""
    bursts: PositiveInt | None = None
    """How often the load is sent to the same server."""
    search: SearchStandIn = SearchStandIn()
    """Search for the rate that holds, in place of the experiment's."""


class StandIn(Model):
    """Workload in place of the paper's, for machines that are too small or too old for it."""

    models: Names | None = None
    """Models in place of those of every experiment."""
    seq_len: PositiveInt | None = None
    """Sequence length in place of the experiment's, in tokens."""
    dtype: DType | None = None
    """Data type of parameters and activations in place of bf16, for processors that do not multiply it fast."""
    sizes: dict[OperatorFamily, list[PositiveInt]] = {}
    """Sizes of operators in place of the experiment's."""
    serving: ServingStandIn = ServingStandIn()
    """Serving load in place of the experiment's."""
    sampling: SamplingOverride = SamplingOverride()
    """Sampling parameters in place of the experiment's."""
    training: StepSampling = StepSampling()
    """Sampling parameters of training and profiling, in place of those of ``sampling``."""


class AlignedSettings(Model):
    """Settings that the policy ``aligned`` gives to every serving engine."""

    max_sequences: PositiveInt = 256
    """Most requests that an engine processes at the same time."""
    memory_share: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Share of each GPU's memory that an engine may take."""
    chunked_prefill: bool = True
    """Whether engines split the prefill of long prompts."""
    cache_reserve_gib: PositiveFloat = 3.0
    """GiB per GPU of that share for all but weights and KV cache; the cache takes the rest in every engine."""
    prefill_tokens: PositiveInt = 8192
    """Most tokens of prompts that an engine processes in one step."""


class Serving(Model):
    """Serving on this platform: checkpoints, GPUs and arguments of the engines."""

    checkpoints: str = ".cache/checkpoints"
    """Folder for checkpoints of random weights on every node; ``/dev/shm`` keeps them in memory if they fit."""
    keep_checkpoints: bool = True
    """Whether checkpoints are kept after a cell, for the next one."""
    gpus: dict[Name, PositiveInt] = {}
    """GPUs of one server by model, which is its tensor-parallel degree; default: all GPUs of a node."""
    environment: dict[str, str] = {}
    """Environment variables of servers, in addition to those of every launch."""
    aligned: AlignedSettings = AlignedSettings()
    """Settings that the policy ``aligned`` gives to every engine."""
    tuned: dict[Engine, SettingsOverride] = {}
    """Settings of the policy ``tuned`` by engine, as its documentation recommends for throughput on this GPU."""
    arguments: dict[Engine, list[str]] = {}
    """Arguments that an engine needs on this platform, under every policy."""


class Platform(Model):
    """A platform as it is declared; detected facts go to provenance and are flagged where they differ."""

    label: Label
    """Name of the platform in tables and figures."""
    extends: Name | None = None
    """Platform whose keys this one inherits, but ``gpu`` and ``price`` only where ``gpu.model`` is the same."""
    device: Device
    """Device that cells run on; ``cpu`` is this machine, without GPUs."""
    gpu: GpuFacts
    """Facts of one GPU."""
    memory_budget_gib: PositiveFloat | None = None
    """Memory of each GPU in GiB to which every process is held, less than the card has; default: all of it.

    Outcomes and memory of such cells are those of a smaller card, their speeds are those of no card.
    """
    gpus_per_node: PositiveInt
    """GPUs per node that a cell uses unless the experiment sweeps them; on ``cpu`` processes."""
    nodes: PositiveInt = 1
    """Number of nodes that a cell uses."""
    gpu_counts: list[PositiveInt]
    """Numbers of GPUs in a sweep."""
    interconnect: Interconnect
    """Links between the GPUs of a node."""
    host: Host
    """Processors and memory of one node."""
    environment: dict[str, str] = {}
    """Environment variables of every launch."""
    kernels: Kernels = Kernels()
    """Implementations that letters choose."""
    pinning: Pinning = "none"
    """Cores that a rank of training and operators runs on: any, or those next to its GPU (``gpu``)."""
    optimizer: DeviceOptimizer = "deepspeed_fused_adam"
    """DeepSpeed's implementation of AdamW where nothing is offloaded; PyTorch DDP and FSDP2 use PyTorch's own."""
    output_tokens: PositiveInt = 128
    """Tokens per answer of a server."""
    workload: StandIn = StandIn()
    """Workload in place of the paper's, for a small machine."""
    serving: Serving = Serving()
    """Serving on this platform."""
    environments: dict[EnvironmentName, Environment] = {}
    """Software environments by name; default: locked ones for ``train``, ``client``, ``transformers``, ``vllm`` and
    ``sglang``.

    Cells that use flash-attn run in ``train-flash``, or ``train`` where there is none. Its default is the lock of that
    name where ``train`` has the lock ``train``.
    """
    scheduler: Scheduler = Scheduler()
    """Resources requested from a batch system."""
    price: Price | None = None
    """Price of one GPU, used by ``recommend`` and ``plan`` only."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        for name in ("train", "train-flash", "client", *FRAMEWORKS):
            if name in self.environments and not self.environments[name].measures:
                raise ValueError(
                    f"the environment '{name}' needs a 'lock', an 'interpreter' or a 'container' (not by docker)"
                )
        for name, environment in self.environments.items():
            container = environment.container
            if (
                name in ENGINES
                and container
                and (container.runtime not in ("apptainer", "docker") or environment.modules)
            ):
                raise ValueError(f"the engine '{name}' runs in 'apptainer' or 'docker', without 'modules'")
        total = self.gpus_per_node * self.nodes
        if total > MOST_GPUS:
            raise ValueError(f"'gpus_per_node' times 'nodes' is {total:,}, expected at most {MOST_GPUS:,}")
        if len(set(self.gpu_counts)) != len(self.gpu_counts):
            raise ValueError("duplicate in 'gpu_counts'")
        if too_many := [count for count in self.gpu_counts if count > total]:
            raise ValueError(f"'gpu_counts' has {too_many[0]}, but the platform has {total} GPUs")
        return self

    @model_validator(mode="after")
    def _budget_is_below_the_card(self) -> Self:
        budget, card = self.memory_budget_gib, self.gpu.memory_gib
        if budget is not None and self.device == "cpu":
            raise ValueError("'memory_budget_gib' is for GPUs; on 'cpu' the memory of a process is 'gpu.memory_gib'")
        if budget is not None and budget > LARGEST_BUDGET * card:
            most = f"{LARGEST_BUDGET:.0%} of 'gpu.memory_gib' ({card:g})"
            raise ValueError(f"'memory_budget_gib' is {budget:g}, expected at most {most}")
        return self

    @property
    def shown_label(self) -> str:
        """Name of the platform in tables and figures, with the memory to which it is held."""
        return self.label + self._held

    @property
    def shown_gpu_label(self) -> str:
        """Short name of the GPU in tables, with the memory to which it is held."""
        return self.gpu.label + self._held

    @property
    def _held(self) -> str:
        return f" held to {self.memory_budget_gib:g} GiB" if self.memory_budget_gib else ""

    @model_validator(mode="after")
    def _scheduler_kills_last(self) -> Self:
        asked, declared = self.scheduler.memory_gib, self.host.memory_gib
        if asked is not None and asked <= declared:
            raise ValueError(
                f"'scheduler.memory_gib' is {asked:g}, expected more than 'host.memory_gib' ({declared:g}): otherwise "
                "a cell that runs out of memory is killed before its runner can report it"
            )
        return self

    def environment_of(self, name: EnvironmentName) -> Environment | None:
        """The environment of this name: the platform's, else the project's default, else None."""
        return self.environments.get(name) or default_environments().get(name) or self._with_flash_attn(name)

    def _with_flash_attn(self, name: EnvironmentName) -> Environment | None:
        """The locked environment with flash-attn, where training has the one without."""
        train = self.environment_of("train") if name == "train-flash" else None
        return train.model_copy(update={"lock": name}) if train and train.lock == "train" else None
