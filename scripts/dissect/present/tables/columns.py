"""Columns of tidy CSVs, and those columns that all of them share.

Units are in the names; an empty field means that the cell has no such number (its status and reason say why) or that
the machine cannot measure it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from dissect.base.model import Model
from dissect.cells.manifest import ManifestCell, PlatformFacts
from dissect.config.layout import QuantityName, Slo
from dissect.results.result import Gpu, Result
from dissect.statistics.numbers import significant_decimals

Scalar = str | int | float | bool | None
M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Record:
    """One cell of a table: its entry in the manifest, and its result unless it is ``unsupported``."""

    cell: ManifestCell
    platform: PlatformFacts
    result: Result | None
    slo: Slo | None = None
    """Latency objective of the table; None if it has none."""


@dataclass(frozen=True)
class Column:
    """A column that identifies the cell of a row, its outcome, or the origin of its numbers."""

    name: str
    meaning: str
    value: Callable[[Record], Scalar]


@dataclass(frozen=True)
class Quantity:
    """A measured number: a column of the CSV, with ``_low`` and ``_high`` beside it if it has an interval."""

    name: QuantityName
    header: str
    """Header for people, without the unit."""
    unit: str
    """Unit as shown, after ``scale``; empty for a pure number."""
    meaning: str
    value: Callable[[Any], Scalar]
    interval: Callable[[Any], tuple[float | None, float | None]] | None = None
    scale: float = 1.0
    """Factor from a value in the CSV to the value shown."""
    decimals: int | None = None
    """Digits after the decimal point as shown; None for four significant digits."""
    absent: str = "the machine cannot measure it"
    """Reason why a cell that ended ``ok`` may lack the number."""

    @property
    def title(self) -> str:
        """Header with unit, and the interval if there is one."""
        unit = f" ({self.unit})" if self.unit else ""
        return self.header + unit + (" [95 % CI]" if self.interval else "")

    def show(self, value: float, low: float | None = None, high: float | None = None) -> str:
        """The number as printed, with its interval in brackets in as many decimals."""
        decimals = significant_decimals(value * self.scale) if self.decimals is None else self.decimals
        numbers = [f"{number * self.scale:,.{decimals}f}" for number in (value, low, high) if number is not None]
        return numbers[0] if len(numbers) == 1 else f"{numbers[0]} [{numbers[1]}–{numbers[2]}]"


def metrics_of(record: Record, kind: type[M]) -> M | None:
    """The numbers of a cell that ended ``ok``, if they are of this kind."""
    metrics = record.result.metrics if record.result else None
    return metrics if isinstance(metrics, kind) else None


def status_of(record: Record) -> str:
    """The result's status, or ``unsupported``."""
    return record.result.status.value if record.result else "unsupported"


def _dtype(record: Record) -> Scalar:
    workload = getattr(record.result.spec, "workload", None) if record.result else None
    return workload.dtype if workload else None


def _provenance(record: Record, name: str) -> Scalar:
    value: Scalar = getattr(record.result.provenance, name, None) if record.result else None
    return value


def _machine(record: Record) -> Scalar:
    """Machine of a cell, such as ``4 x NVIDIA H200, Intel Xeon Platinum 8480+``."""
    names = [gpu.name for gpu in _gpus(record)]
    counted = [f"{names.count(name)} x {name}" for name in dict.fromkeys(names)]
    return ", ".join([*counted, str(cpu)]) if (cpu := _provenance(record, "cpu_model")) else None


def _gpus(record: Record) -> list[Gpu]:
    provenance = record.result.provenance if record.result else None
    return provenance.gpus if provenance and isinstance(provenance.gpus, list) else []


def _flags(record: Record) -> str | None:
    return ";".join(record.result.flags) if record.result else None


IDENTITY = (
    Column("stage", "pretrain, inspect, ...", lambda r: r.cell.stage),
    Column("platform", "id of the platform file", lambda r: r.cell.platform),
    Column("model", "id of the model file", lambda r: r.cell.model),
    Column("framework", "framework, engine or family of operators that ran the cell", lambda r: r.cell.framework),
    Column("method", "the paper's letters", lambda r: r.cell.method),
    Column("workload", "readable id of the workload", lambda r: r.cell.workload),
    Column("n_gpus", "GPUs over all nodes; on cpu processes", lambda r: r.cell.n_gpus),
    Column("seq_len", "tokens per sequence", lambda r: r.cell.seq_len),
    Column("batch", "sequences per GPU as configured: a number, or max", lambda r: r.cell.batch),
    Column("device", "cpu or cuda", lambda r: r.result.spec.hardware.device if r.result else None),
    Column("dtype", "data type of parameters and activations, or of an operator", lambda r: _dtype(r)),
)

OUTCOME = (
    Column("status", "outcome of the cell (dissect.base.outcome.Status), or unsupported", lambda r: status_of(r)),
    Column("phase", "phase in which it ended, unless ok", lambda r: r.result.phase if r.result else None),
    Column("reason", "reason why it has no numbers", lambda r: r.result.reason if r.result else r.cell.unsupported),
)

PROVENANCE = (
    Column("reference", "set of reference results; empty for this clone's own", lambda r: r.cell.reference),
    Column("flags", "reasons to doubt (dissect.base.outcome.Flag), separated by ;", lambda r: _flags(r)),
    Column("key", "key of the cell in the store; empty if unsupported", lambda r: r.cell.key),
    Column("measured_at", "UTC time; empty if nothing was launched", lambda r: _provenance(r, "measured_at")),
    Column("machine", "processor and GPUs that were found", lambda r: _machine(r)),
    Column("gpus", "UUIDs of the GPUs, separated by ;", lambda r: ";".join(gpu.uuid for gpu in _gpus(r)) or None),
    Column("git_commit", "commit of this project at the measurement", lambda r: _provenance(r, "git_commit")),
    Column("git_dirty", "whether files differed from that commit", lambda r: _provenance(r, "git_dirty")),
)
