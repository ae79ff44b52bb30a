"""result.json: the versioned record of one run of a cell. Units are in the field names."""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic_core import to_json

from dissect.base.model import Model, added
from dissect.base.outcome import Flag, Phase, Status
from dissect.cells.any_spec import AnySpec
from dissect.cells.spec import canonical_json, spec_key
from dissect.metrics.inspection import InspectMetrics
from dissect.metrics.operators import OperatorMetrics
from dissect.metrics.profile import ProfileMetrics
from dissect.metrics.serving import ServingMetrics
from dissect.metrics.training import TrainingMetrics
from dissect.results.upgrades import SCHEMA_VERSION, upgraded

Metrics = Annotated[
    TrainingMetrics | ProfileMetrics | ServingMetrics | InspectMetrics | OperatorMetrics, Field(discriminator="kind")
]

LEAST_ENERGY_S = 10.0
"""Shortest window in seconds whose energy counts: drivers renew their counters ten times a second, or less often."""


class Durations(Model):
    """Where the wall time of a cell went, in seconds; the timed window over the total is its duty cycle."""

    imports_s: NonNegativeFloat = 0.0
    prepare_s: NonNegativeFloat = 0.0
    """Compiling extensions, once per machine."""
    launch_s: NonNegativeFloat = 0.0
    """From the start of the processes to a working process group."""
    build_s: NonNegativeFloat = 0.0
    """Building model, optimizer and engine."""
    compile_s: NonNegativeFloat = added(0.0)
    """The part of it in which ``torch.compile`` compiled the model; no warm-up step does."""
    warmup_s: NonNegativeFloat = 0.0
    window_s: NonNegativeFloat = 0.0
    """The timed steps."""
    trace_s: NonNegativeFloat = added(0.0)
    """What follows the timed steps: traced steps, and anchors."""
    search_s: NonNegativeFloat = 0.0
    """Trials of a ``max`` search before the measured one."""
    total_s: NonNegativeFloat = 0.0


class Gpu(Model):
    """One GPU, read through its driver before and during the measured window."""

    index: NonNegativeInt
    name: str
    uuid: str
    driver: str
    memory_bytes: PositiveInt
    power_limit_w: float | None
    mean_power_w: float | None
    sm_clock_mhz: float | None
    """Mean SM clock in the measured window."""
    memory_clock_mhz: float | None
    temperature_c: float | None
    """Highest temperature in the measured window."""
    max_sm_clock_mhz: float | None = None
    """Highest SM clock of this model; None where its driver does not say."""
    throttle_reasons: list[str]
    links: dict[str, str]
    """GPU index -> how the driver says it is linked (NVLink, PCIe switch, ...)."""


class Start(Model):
    """One boot of one machine in one allocation: what runs that were measured side by side have in common."""

    boot_id: str
    """Random id that Linux gives each boot; in a container that of its host."""
    gpus: list[str]
    """UUIDs of the GPUs that the cell could have been given; empty without GPUs."""
    allocation: str | None
    """Id of the Slurm job; None outside one."""

    @property
    def id(self) -> str:
        """The start in eight hex digits; without the GPUs, since runs on different GPUs of one host share its boot."""
        return hashlib.sha256(self.model_dump_json(exclude={"gpus"}).encode()).hexdigest()[:8]


class Round(Model):
    """Where in a pass over several cells a run was measured: cells of one round are measured in random order."""

    id: str
    """Id of the pass, the same for all its rounds."""
    number: PositiveInt
    """Number of the round, from 1."""
    position: PositiveInt
    """Position of the cell within the round, from 1."""


class Anchor(Model):
    """Rates of one rank's host and device right after its steps: whatever the cell, they tell machines apart."""

    launches_per_s: PositiveFloat
    """Additions to a single number, launched one after the other: what Python, torch and the driver allow."""
    matmul_tflops: PositiveFloat
    """Product of square matrices: bfloat16 with 4,096 rows on GPUs, float32 with 512 rows on CPUs."""


class Provenance(Model):
    """Where, when and with what the cell was measured: detected, never part of the key."""

    measured_at: str
    """UTC, ISO 8601."""
    git_commit: str | None
    git_dirty: bool | None
    """Whether code or configuration differed from the commit; platforms and config.yaml, which the key has, apart."""
    host: str
    kernel: str
    cpu_model: str
    cpu_cores: PositiveInt
    host_memory_bytes: PositiveInt
    python: str
    versions: dict[str, str]
    environment: dict[str, str]
    """Variables that steer the libraries: NCCL_*, OMP_*, CUDA_*, TORCH_*, SLURM_*."""
    scheduler_job: str | None
    gpus: list[Gpu] | str
    """One record per GPU, or a sentence why there is none."""
    other_processes: str
    """Load by other processes on the devices during the window, in words."""
    notes: dict[str, Any] = {}
    start: Start | None = added(None)
    """None where it is unknown, as in results of earlier versions."""
    forked: bool = added(False)
    """Whether the run was forked from a process that had imported the libraries."""
    anchors: list[Anchor] = added([])
    """Of the ranks on the node of the parent, in their order; empty where no rank trains."""

    @property
    def machine(self) -> str:
        """The GPUs and the processor, such as ``4 x NVIDIA H200, Intel Xeon Platinum 8480+``."""
        names = [gpu.name for gpu in self.gpus] if isinstance(self.gpus, list) else []
        return ", ".join([*(f"{names.count(name)} x {name}" for name in dict.fromkeys(names)), self.cpu_model])


class Result(Model):
    """Outcome of one run of a cell. ``metrics`` is there exactly when the status is ``ok``."""

    schema_version: Literal[1] = SCHEMA_VERSION
    key: str
    spec: AnySpec
    status: Status
    phase: Phase | None = None
    reason: str | None = None
    """One sentence for every status but ``ok``."""
    metrics: Metrics | None = None
    flags: list[Flag] = []
    attempts: PositiveInt = 1
    durations: Durations = Durations()
    provenance: Provenance | None = None
    """None where nothing was launched (``skipped_oom``)."""
    round: Round | None = added(None)
    """None for a run that was measured by itself."""

    @model_validator(mode="after")
    def _numbers_or_a_reason(self) -> Self:
        if (self.metrics is not None) != (self.status is Status.OK):
            raise ValueError(
                f"the status is {self.status}, so metrics must {'' if self.metrics is None else 'not '}be there"
            )
        if self.status is not Status.OK and not self.reason:
            raise ValueError(f"the status is {self.status}, so a reason must be there")
        return self

    @property
    def energy_j(self) -> float | None:
        """Joules over all GPUs of a training step, or of a server's bursts; None where a window was too short.

        Results of earlier protocols have the energy of any window, so it is read here and not from the metrics.
        """
        match self.metrics:
            case ServingMetrics() as served:
                shortest, energy_j = min(served.burst_durations_s or [served.duration_s]), served.energy_j
            case TrainingMetrics() as trained:
                shortest, energy_j = self.durations.window_s, trained.energy_per_step_j
            case ProfileMetrics(training=trained):
                shortest, energy_j = self.durations.window_s, trained.energy_per_step_j
            case _:
                return None
        return energy_j if shortest >= LEAST_ENERGY_S else None


class ResultError(ValueError):
    """A result file that is missing, broken, of another schema or under a wrong key; one sentence for the user."""


def parse_result(data: bytes) -> Result:
    """Read a result of any schema version; its key is judged by the spec as it was stored.

    Raises:
        NewerVersionError: a later version of the project wrote it.
        ValueError: says what is wrong with it.
    """
    try:
        record = json.loads(data)
    except ValueError:
        record = None
    return validated_result(record, data)


def validated_result(record: Any, data: bytes | None = None) -> Result:
    """The result in a parsed ``result.json``, of which ``data`` is the text; made again where it is not given.

    Raises:
        NewerVersionError: a later version of the project wrote it.
        ValueError: says what is wrong with it.
    """
    if not isinstance(record, dict):
        raise ValueError("is not a JSON object (truncated?)")
    stored, version = record.get("spec"), record.get("schema_version")
    try:
        newest = data if data and version == SCHEMA_VERSION else to_json(upgraded(record))
        result = Result.model_validate_json(newest)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ValueError(f"does not fit the schema: {where}: {first['msg']}") from None
    key = spec_key(canonical_json(stored))
    if key != result.key:
        raise ValueError(f"has key {result.key!r}, but its spec hashes to {key!r}")
    return result
