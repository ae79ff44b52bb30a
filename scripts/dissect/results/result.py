"""result.json: the versioned record of one measured cell. Units are in the field names."""

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)

from dissect.base.model import Model
from dissect.base.outcome import Flag, Phase, Status
from dissect.cells.any_spec import AnySpec
from dissect.cells.spec import canonical_spec, spec_key
from dissect.metrics.inspection import InspectMetrics
from dissect.metrics.operators import OperatorMetrics
from dissect.metrics.profile import ProfileMetrics
from dissect.metrics.serving import ServingMetrics
from dissect.metrics.training import TrainingMetrics

SCHEMA_VERSION: Final = 1


Metrics = Annotated[
    TrainingMetrics | ProfileMetrics | ServingMetrics | InspectMetrics | OperatorMetrics, Field(discriminator="kind")
]


class Durations(Model):
    """Where the wall time of a cell went, in seconds; the timed window over the total is its duty cycle."""

    imports_s: NonNegativeFloat = 0.0
    prepare_s: NonNegativeFloat = 0.0
    """Compiling extensions, once per machine."""
    launch_s: NonNegativeFloat = 0.0
    """From the start of the processes to a working process group."""
    build_s: NonNegativeFloat = 0.0
    """Model, optimizer and engine."""
    warmup_s: NonNegativeFloat = 0.0
    window_s: NonNegativeFloat = 0.0
    """The timed steps themselves."""
    search_s: NonNegativeFloat = 0.0
    """Trials of a ``max`` search before the measured one."""
    total_s: NonNegativeFloat = 0.0


class Provenance(Model):
    """Where, when and with what the cell was measured: detected, never part of the key."""

    measured_at: str
    """UTC, ISO 8601."""
    git_commit: str | None
    git_dirty: bool | None
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
    gpus: "list[Gpu] | str"
    """One record per GPU, or a sentence why there is none."""
    other_processes: str
    """Other load on the devices during the window, in words."""
    notes: dict[str, Any] = {}


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
    """Mean over the window."""
    memory_clock_mhz: float | None
    temperature_c: float | None
    """Highest in the window."""
    throttle_reasons: list[str]
    links: dict[str, str]
    """GPU index -> how the driver says it is linked (NVLink, PCIe switch, ...)."""


class Result(Model):
    """One cell's outcome. ``metrics`` is there exactly when the status is ``ok``."""

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

    @model_validator(mode="after")
    def _numbers_or_a_reason(self) -> Self:
        if (self.metrics is not None) != (self.status is Status.OK):
            raise ValueError(
                f"the status is {self.status}, so metrics must {'' if self.metrics is None else 'not '}be there"
            )
        if self.status is not Status.OK and not self.reason:
            raise ValueError(f"the status is {self.status}, so a reason must be there")
        return self


class ResultError(ValueError):
    """A result file that is missing, broken, of another schema or under a wrong key; one sentence for the user."""


def parse_result(data: bytes) -> Result:
    """Read a result and check it against its own spec; raises ``ValueError`` saying what is wrong with it."""
    try:
        version = json.loads(data).get("schema_version")
    except (ValueError, AttributeError):
        raise ValueError("is not a JSON object (cut short?)") from None
    if version != SCHEMA_VERSION:
        raise ValueError(f"has schema_version {version!r}, this version of the project reads {SCHEMA_VERSION}")
    try:
        result = Result.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ValueError(f"does not fit the schema: {where}: {first['msg']}") from None
    key = spec_key(canonical_spec(result.spec))
    if key != result.key:
        raise ValueError(f"has key {result.key!r}, but its spec hashes to {key!r}")
    return result


def read_result(path: Path) -> Result:
    """Read a published or stored result; raises :class:`ResultError`, one sentence with file, fault and remedy."""
    try:
        return parse_result(path.read_bytes())
    except FileNotFoundError:
        fault = "does not exist"
    except OSError as error:
        fault = f"cannot be read ({error.strerror})"
    except ValueError as error:
        fault = str(error)
    raise ResultError(f"{path}: {fault}; measure it again: snakemake remeasure --config select='{_select(path)}'")


def _select(path: Path) -> str:
    """The id that ``select`` matches, from a published path ``.../cells/<id>/<key>.json``; else a place to fill."""
    parts = path.parts[:-1]
    if "cells" not in parts:
        return "<id of the cell>"
    return "/".join(parts[len(parts) - parts[::-1].index("cells") :])
