"""Columns of tidy CSVs, and those columns that all of them share.

Units are in the names; an empty field means that the cell has no such number (its status and reason say why) or that
the machine cannot measure it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from dissect.base.model import Model
from dissect.cells.manifest import ManifestCell, PlatformFacts
from dissect.cells.spec import Spec
from dissect.config.layout import QuantityName, Slo
from dissect.results.cell_runs import CellRuns
from dissect.results.result import Gpu, Result
from dissect.statistics.numbers import significant_decimals

NO_ENERGY = "no energy counter, or a window below 10 s"
"""Why a cell that ended ``ok`` may lack its energy; the window of a server is a burst."""
Scalar = str | int | float | bool | None
M = TypeVar("M", bound=Model)


class Unread(NamedTuple):
    """Why a cell that has a path has no runs to show."""

    status: str
    """``broken``, or how far the run is that measures it: ``running``, ``failed`` or ``waiting``."""
    reason: str
    """In words, with file and remedy where it is broken."""


@dataclass(frozen=True, slots=True)
class Record:
    """One cell of a table: its entry in the manifest, and its runs unless it is ``unsupported`` or not measured."""

    cell: ManifestCell
    platform: PlatformFacts
    runs: CellRuns | None
    slo: Slo | None = None
    """Latency objective of the table; None if it has none."""
    unread: Unread | None = None
    """Why its runs cannot be read; None if they can."""
    rows_by_view: dict[int, list[dict[str, Any]]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Rows that were made of it, by the view's identity: several parts of the page read the same ones."""

    @property
    def phase(self) -> str | None:
        """Phase in which it ended, unless it is ok."""
        return self.runs.phase if self.runs else None

    @property
    def reason(self) -> str | None:
        """Why it has no numbers, unless it is ok."""
        if self.unread:
            return self.unread.reason
        return self.runs.reason if self.runs else self.cell.unsupported

    @property
    def results(self) -> tuple[Result, ...]:
        """The cell's runs, oldest first; empty if there is none."""
        return self.runs.runs if self.runs else ()

    @property
    def spec(self) -> Spec | None:
        """Spec of the cell; None if it has no run."""
        return self.runs.spec if self.runs else None


@dataclass(frozen=True)
class Column:
    """A column that identifies the cell of a row, its outcome, or the origin of its numbers."""

    name: str
    meaning: str
    value: Callable[[Record], Scalar]


class Combination(StrEnum):
    """How the numbers of a cell's runs become one number."""

    TYPICAL = "typical"
    """Geometric mean with its 95 % interval over runs; for measured times, rates and energies."""
    MEAN = "mean"
    """Arithmetic mean without an interval; for numbers that may be zero or negative."""
    LARGEST = "largest"
    """Largest of all runs, without an interval; for peak memory, which must fit in every run."""
    SHARE = "share"
    """Share of all ``trials`` of all runs, with an interval over runs."""
    COMMON = "common"
    """The value that all runs have, for counts and settings; none if they differ."""


@dataclass(frozen=True)
class Quantity:
    """A number: a column of the CSV, with ``_low`` and ``_high`` beside it if runs give it an interval."""

    name: QuantityName
    header: str
    """Header for people, without the unit."""
    unit: str
    """Unit as shown, after ``scale``; empty for a pure number."""
    meaning: str
    value: Callable[[Any], Scalar]
    """The number of one run."""
    combination: Combination = Combination.TYPICAL
    scale: float = 1.0
    """Factor from a value in the CSV to the value shown."""
    decimals: int | None = None
    """Digits after the decimal point as shown; None for four significant digits."""
    absent: str = "the machine cannot measure it"
    """Reason why a cell that ended ``ok`` may lack the number."""
    trials: Callable[[Any], int] | None = None
    """Number of trials of one run, of which the number is a share."""
    instead: str | None = None
    """Column whose text stands in place of the number where a run has none; the cell has none then."""
    told: str | None = None
    """Column whose text is a footnote on the number, or on what stands in its place."""
    optional: bool = False
    """Whether a table has no such column where no cell has the number."""

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Columns of the CSV: the number's own and, where it has an interval, those of its ends."""
        return (self.name, f"{self.name}_low", f"{self.name}_high") if self.has_interval else (self.name,)

    @cached_property
    def has_interval(self) -> bool:
        """Whether the CSV has the ends of its interval."""
        return self.combination in (Combination.TYPICAL, Combination.SHARE)

    @property
    def is_share(self) -> bool:
        """Whether it is a part of a whole, so at most all of it."""
        return self.name.endswith("_share")

    @property
    def title(self) -> str:
        """Header with unit."""
        return f"{self.header} ({self.unit})" if self.unit else self.header

    def show_row(self, row: Mapping[str, Any]) -> str:
        """The number of a row that has it, as printed with its interval."""
        numbers: list[Any] = [row.get(column) for column in self.columns]
        return self.show(*numbers)

    def show(self, value: float, low: float | None = None, high: float | None = None) -> str:
        """The number as printed, with its interval in brackets in as many decimals."""
        decimals = significant_decimals(value * self.scale) if self.decimals is None else self.decimals
        numbers = [f"{number * self.scale:,.{decimals}f}" for number in (value, low, high) if number is not None]
        return numbers[0] if len(numbers) == 1 else f"{numbers[0]} [{numbers[1]}–{numbers[2]}]"


def metrics_of(run: Result, kind: type[M]) -> M | None:
    """The numbers of a run that ended ``ok``, if they are of this kind."""
    return run.metrics if isinstance(run.metrics, kind) else None


def status_of(record: Record) -> str:
    """The cell's status, why its runs cannot be read, or ``unsupported``."""
    if record.unread:
        return record.unread.status
    return record.runs.status.value if record.runs else "unsupported"


def over_runs(record: Record, read: Callable[[Result], Scalar]) -> Scalar:
    """What all runs of a cell have alike; what differs is listed with ``;`` between, in the order of the runs."""
    return listed_once(map(read, record.results))


def listed_once(values: Iterable[Scalar]) -> Scalar:
    """The only value, each of several with ``;`` between, or None."""
    found = [value for value in dict.fromkeys(values) if value is not None]
    return found[0] if len(found) == 1 else ";".join(map(str, found)) or None


def _dtype(record: Record) -> Scalar:
    workload = getattr(record.spec, "workload", None)
    return workload.dtype if workload else None


def _provenance(record: Record, name: str) -> Scalar:
    return over_runs(record, lambda run: getattr(run.provenance, name, None))


def _machine(run: Result) -> str | None:
    return run.provenance.machine if run.provenance else None


def gpus_of(run: Result) -> list[Gpu]:
    """The GPUs that ran it, as their driver described them; empty where none did."""
    return run.provenance.gpus if run.provenance and isinstance(run.provenance.gpus, list) else []


def _uuids(record: Record) -> Scalar:
    return listed_once(gpu.uuid for run in record.results for gpu in gpus_of(run))


def count_starts(runs: Iterable[Result]) -> int | None:
    """Number of starts; None if it is unknown, as of several runs of an early version."""
    starts = [start_of(run) for run in runs]
    return None if not starts or (None in starts and len(starts) > 1) else len(set(starts))


def start_of(run: Result) -> str | None:
    """Id of the start that a run was measured on; None where unknown.

    Forked runs share more than new processes do, and their steps may take another time: they count as another start.
    """
    start = run.provenance.start if run.provenance else None
    forked = " forked" if run.provenance and run.provenance.forked else ""
    return f"{start.id}{forked}" if start else None


def flags_of(record: Record) -> str | None:
    """Flags of all runs, separated by ``;``."""
    return ";".join(record.runs.flags) if record.runs else None


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
    Column("device", "cpu or cuda", lambda r: r.spec.hardware.device if r.spec else None),
    Column("dtype", "data type of parameters and activations, or of an operator", lambda r: _dtype(r)),
)

OUTCOME = (
    Column(
        "status",
        "outcome of the cell (dissect.base.outcome.Status), or unsupported, broken, running, failed or waiting",
        lambda r: status_of(r),
    ),
    Column("phase", "phase in which it ended, unless ok", lambda r: r.phase),
    Column("reason", "reason why it has no numbers", lambda r: r.reason),
)

PROVENANCE = (
    Column("reference", "set of reference results; empty for this clone's own", lambda r: r.cell.reference),
    Column("flags", "reasons to doubt (dissect.base.outcome.Flag), separated by ;", lambda r: flags_of(r)),
    Column(
        "runs",
        "runs that the numbers combine; an interval needs two on one start, or three starts",
        lambda r: len(r.results) or None,
    ),
    Column(
        "starts",
        "boots of a machine in an allocation that these ran on; empty if unknown",
        lambda r: count_starts(r.results),
    ),
    Column("key", "key of the cell in the store; empty if unsupported", lambda r: r.cell.key),
    Column(
        "measured_at", "UTC times of the runs; empty if nothing was launched", lambda r: _provenance(r, "measured_at")
    ),
    Column("machine", "processor and GPUs that were found", lambda r: over_runs(r, _machine)),
    Column("gpus", "UUIDs of the GPUs, separated by ;", lambda r: _uuids(r)),
    Column("git_commit", "commit of this project at the measurement", lambda r: _provenance(r, "git_commit")),
    Column("git_dirty", "whether configuration or code differed from it", lambda r: _provenance(r, "git_dirty")),
)
"""Fields that differ between runs list each value once, separated by ``;``."""
