"""result.json: the versioned record of one measured cell. Units are in the field names."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

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
from dissect.cells.cell_id import CellId
from dissect.cells.spec import canonical_json, spec_key
from dissect.metrics.inspection import InspectMetrics
from dissect.metrics.operators import OperatorMetrics
from dissect.metrics.profile import ProfileMetrics
from dissect.metrics.serving import ServingMetrics
from dissect.metrics.training import TrainingMetrics
from dissect.results.upgrades import SCHEMA_VERSION, NewerVersionError, upgraded

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
    """Building model, optimizer and engine."""
    warmup_s: NonNegativeFloat = 0.0
    window_s: NonNegativeFloat = 0.0
    """The timed steps."""
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
    throttle_reasons: list[str]
    links: dict[str, str]
    """GPU index -> how the driver says it is linked (NVLink, PCIe switch, ...)."""


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
    gpus: list[Gpu] | str
    """One record per GPU, or a sentence why there is none."""
    other_processes: str
    """Load by other processes on the devices during the window, in words."""
    notes: dict[str, Any] = {}


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
    """Read a result of any schema version; its key is judged by the spec as it was stored.

    Raises:
        NewerVersionError: a later version of the project wrote it.
        ValueError: says what is wrong with it.
    """
    try:
        record = json.loads(data)
        stored, version = record.get("spec"), record.get("schema_version")
    except (ValueError, AttributeError):
        raise ValueError("is not a JSON object (truncated?)") from None
    try:
        newest = data if version == SCHEMA_VERSION else json.dumps(upgraded(record))
        result = Result.model_validate_json(newest)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ValueError(f"does not fit the schema: {where}: {first['msg']}") from None
    key = spec_key(canonical_json(stored))
    if key != result.key:
        raise ValueError(f"has key {result.key!r}, but its spec hashes to {key!r}")
    return result


def read_result(path: Path) -> Result:
    """Read a published or stored result, or one of a set of reference results.

    Raises:
        ResultError: one sentence with file, fault and remedy.
    """
    try:
        return parse_result(path.read_bytes())
    except FileNotFoundError:
        fault = "does not exist"
    except OSError as error:
        fault = f"cannot be read ({error.strerror})"
    except NewerVersionError as error:
        raise ResultError(f"{path}: {error}") from None
    except ValueError as error:
        fault = str(error)
    raise ResultError(f"{path}: {fault}; {_remedy(path)}")


def _remedy(path: Path) -> str:
    """What to do about a result at ``references/<set>/cells/<key>/...``, ``cells/<id>/<key>.json`` or elsewhere."""
    match path.parts:
        case [*_, "references", name, "cells", _, _]:
            return f"restore config/references/{name} from its export"
        case [*_, "cells", stage, platform, model, framework, method, workload, _]:
            cell = CellId(stage, platform, model, framework, method, workload)
            return f"measure it again: snakemake remeasure --config select='{cell}'"
        case _:
            return "restore the file, or remove it and measure the cell again"
