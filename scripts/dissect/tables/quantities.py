"""Every column of a tidy CSV, in order, with its meaning; and which of them a table can show, and how.

This is the one place that defines what a column holds. Units are in the names; an empty field means that the cell has
no such number (its status and reason say why) or that the machine cannot measure it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

from dissect.cells.manifest import ManifestCell, PlatformFacts
from dissect.cells.spec import PretrainSpec
from dissect.config.layout import QuantityName
from dissect.result import Result, TrainingMetrics

GIB = 2**30

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Record:
    """One cell of a table: what the manifest says of it, and its result unless it is ``unsupported``."""

    cell: ManifestCell
    platform: PlatformFacts
    result: Result | None


@dataclass(frozen=True)
class Measured:
    """A training cell that ended ``ok``: what formulas read."""

    spec: PretrainSpec
    metrics: TrainingMetrics
    platform: PlatformFacts

    @property
    def peak_flops(self) -> float | None:
        """Dense peak in FLOP/s of all GPUs of the cell at its dtype; None where the platform declares none."""
        peak = self.platform.peak_flops.get(self.spec.workload.dtype)
        return peak * self.spec.hardware.n_gpus if peak else None


@dataclass(frozen=True)
class Column:
    """A column that says which cell a row is, how it ended, or where its numbers come from."""

    name: str
    meaning: str
    value: Callable[[Record], Scalar]


@dataclass(frozen=True)
class Quantity:
    """A measured number: a column of the CSV, with ``_low`` and ``_high`` beside it if it has an interval."""

    name: QuantityName
    header: str
    """For people, without the unit."""
    unit: str
    """As shown, after ``scale``; empty for a pure number."""
    meaning: str
    value: Callable[[Measured], Scalar]
    interval: Callable[[Measured], tuple[float, float]] | None = None
    scale: float = 1.0
    """What a value of the CSV is multiplied by before it is shown."""
    decimals: int | None = None
    """Digits after the point as shown; None shows four significant digits."""
    absent: str = "the machine cannot measure it"
    """Why a cell that ended ``ok`` may lack it."""

    @property
    def title(self) -> str:
        """Header with unit, and the interval if there is one."""
        unit = f" ({self.unit})" if self.unit else ""
        return self.header + unit + (" [95 % CI]" if self.interval else "")

    def show(self, value: float, low: float | None = None, high: float | None = None) -> str:
        """The number as printed, its interval in brackets with as many decimals."""
        decimals = significant_decimals(value * self.scale) if self.decimals is None else self.decimals
        numbers = [f"{number * self.scale:,.{decimals}f}" for number in (value, low, high) if number is not None]
        return numbers[0] if len(numbers) == 1 else f"{numbers[0]} [{numbers[1]}–{numbers[2]}]"


def significant_decimals(value: float, digits: int = 4) -> int:
    """Decimals that print ``value`` with so many significant digits, never fewer than its integer part has."""
    return max(0, digits - 1 - int(f"{value:e}".partition("e")[2]))


def _share_of_peak(flops_per_step: int, measured: Measured) -> float | None:
    peak = measured.peak_flops
    return flops_per_step / (measured.metrics.step_time_s.median * peak) if peak else None


def _gib(size: int | None) -> float | None:
    return None if size is None else size / GIB


IDENTITY = (
    Column("stage", "pretrain, inspect, ...", lambda r: r.cell.stage),
    Column("platform", "id of the platform file", lambda r: r.cell.platform),
    Column("model", "id of the model file", lambda r: r.cell.model),
    Column("framework", "what ran the cell", lambda r: r.cell.framework),
    Column("method", "the paper's letters", lambda r: r.cell.method),
    Column("workload", "readable id of the workload", lambda r: r.cell.workload),
    Column("n_gpus", "GPUs over all nodes; on cpu processes", lambda r: r.cell.n_gpus),
    Column("seq_len", "tokens per sequence", lambda r: r.cell.seq_len),
    Column("batch", "sequences per GPU as asked: a number, or max", lambda r: r.cell.batch),
    Column("device", "cpu or cuda", lambda r: r.result.spec.hardware.device if r.result else None),
    Column("dtype", "of parameters and activations", lambda r: _training_spec(r).workload.dtype if r.result else None),
)

OUTCOME = (
    Column("status", "how the cell ended (dissect.outcome.Status), or unsupported", lambda r: status_of(r)),
    Column("phase", "where it ended, unless ok", lambda r: r.result.phase if r.result else None),
    Column("reason", "why it has no numbers", lambda r: r.result.reason if r.result else r.cell.unsupported),
)

QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "batch_measured", "Batch", "sequences per GPU", "what was measured; of max the largest that fits",
        lambda m: m.metrics.batch, decimals=0,
    ),
    Quantity(
        "tokens_per_s", "Throughput", "tokens/s", "over all GPUs, from the median of synchronised steps",
        lambda m: m.metrics.tokens_per_s.median,
        lambda m: (m.metrics.tokens_per_s.low, m.metrics.tokens_per_s.high),
    ),
    Quantity(
        "paper_tokens_per_s", "Paper's throughput", "tokens/s",
        "as the paper defines it, from the mean step of the measured window",
        lambda m: m.metrics.paper_tokens_per_s,
    ),
    Quantity(
        "step_time_s", "Step time", "ms", "median of the synchronised steps, each as long as its slowest rank",
        lambda m: m.metrics.step_time_s.median,
        lambda m: (m.metrics.step_time_s.low, m.metrics.step_time_s.high), scale=1e3,
    ),
    Quantity(
        "step_time_mean_s", "Mean step time", "ms", "mean of the measured window",
        lambda m: m.metrics.step_time_s.mean, scale=1e3,
    ),
    Quantity(
        "step_time_cv", "Variation of step times", "%", "coefficient of variation of the step times",
        lambda m: m.metrics.step_time_cv, scale=1e2, decimals=1,
    ),
    Quantity(
        "peak_memory_bytes", "Peak memory", "bytes",
        "largest over the ranks: allocator peak on GPUs, peak resident set on cpu",
        lambda m: m.metrics.peak_memory_bytes, decimals=0,
    ),
    Quantity(
        "peak_memory_gib", "Peak memory", "GiB",
        "largest over the ranks: allocator peak on GPUs, peak resident set on cpu",
        lambda m: _gib(m.metrics.peak_memory_bytes), decimals=2,
    ),
    Quantity(
        "nvml_peak_memory_bytes", "Peak memory by NVML", "bytes", "largest used memory over the GPUs as NVML saw it",
        lambda m: m.metrics.nvml_peak_memory_bytes, decimals=0, absent="no NVML on this machine",
    ),
    Quantity(
        "nvml_peak_memory_gib", "Peak memory by NVML", "GiB", "largest used memory over the GPUs as NVML saw it",
        lambda m: _gib(m.metrics.nvml_peak_memory_bytes), decimals=2, absent="no NVML on this machine",
    ),
    Quantity(
        "paper_memory_gib", "Paper's memory", "GiB",
        "driver total minus free at the end, of rank 0's GPU, as the paper defines it; on cpu the resident set",
        lambda m: m.metrics.paper_memory_gib, decimals=2,
    ),
    Quantity(
        "mfu", "MFU", "%",
        "model FLOPs (without recomputation) per second over the dense peak of all GPUs at the dtype",
        lambda m: _share_of_peak(m.metrics.model_flops_per_step, m), scale=1e2, decimals=1,
        absent="no dense peak is declared for this platform and dtype",
    ),
    Quantity(
        "hfu", "HFU", "%",
        "executed FLOPs (with recomputation) per second over the dense peak of all GPUs at the dtype",
        lambda m: _share_of_peak(m.metrics.hardware_flops_per_step, m), scale=1e2, decimals=1,
        absent="no dense peak is declared for this platform and dtype",
    ),
    Quantity(
        "energy_per_step_j", "Energy per step", "J", "over all GPUs, from NVML's accumulating counter",
        lambda m: m.metrics.energy_per_step_j, absent="no energy counter on this machine",
    ),
    Quantity(
        "tokens_per_joule", "Tokens per joule", "tokens/J", "tokens per step over the energy per step",
        lambda m: m.metrics.tokens_per_step / m.metrics.energy_per_step_j if m.metrics.energy_per_step_j else None,
        absent="no energy counter on this machine",
    ),
    Quantity(
        "tokens_per_step", "Tokens per step", "", "over all GPUs: batch x GPUs x sequence length",
        lambda m: m.metrics.tokens_per_step, decimals=0,
    ),
    Quantity(
        "model_flops_per_step", "Model FLOPs per step", "TFLOP", "over all GPUs, without recomputation",
        lambda m: m.metrics.model_flops_per_step, scale=1e-12,
    ),
    Quantity(
        "hardware_flops_per_step", "Executed FLOPs per step", "TFLOP", "over all GPUs, with recomputation",
        lambda m: m.metrics.hardware_flops_per_step, scale=1e-12,
    ),
    Quantity(
        "parameters", "Parameters", "millions", "of the whole model", lambda m: m.metrics.parameters, scale=1e-6,
    ),
    Quantity(
        "trainable_parameters", "Trainable parameters", "millions", "those that the optimizer updates",
        lambda m: m.metrics.trainable_parameters, scale=1e-6,
    ),
    Quantity("first_loss", "First loss", "", "of the first warm-up step", lambda m: m.metrics.first_loss),
    Quantity("last_loss", "Last loss", "", "of the last measured step", lambda m: m.metrics.last_loss),
)  # fmt: skip

ORIGIN = (
    Column("peak_memory_source", "allocator or rss", lambda r: _metric(r, "peak_memory_source")),
    Column("attention_kernel", "the attention kernel that was seen to run", lambda r: _metric(r, "attention_kernel")),
    Column("n_steps", "steps of the measured window", lambda r: _steps(r)),
    Column("warmup_steps", "steps before it", lambda r: _metric(r, "warmup_steps")),
    Column("stopped_by", "what ended it: interval, max_steps or budget", lambda r: _metric(r, "stopped_by")),
    Column("flags", "reasons to doubt (dissect.outcome.Flag), separated by ;", lambda r: _flags(r)),
    Column("key", "of the cell in the store; empty if unsupported", lambda r: r.cell.key),
    Column("measured_at", "UTC; empty if nothing was launched", lambda r: _provenance(r, "measured_at")),
    Column("git_commit", "of this project when it measured", lambda r: _provenance(r, "git_commit")),
    Column("git_dirty", "whether files differed from that commit", lambda r: _provenance(r, "git_dirty")),
)

BY_NAME: dict[str, Quantity] = {quantity.name: quantity for quantity in QUANTITIES}
if set(BY_NAME) != set(get_args(QuantityName)):
    raise RuntimeError("dissect.config.layout.QuantityName and QUANTITIES do not name the same quantities")


def status_of(record: Record) -> str:
    """The result's status, or ``unsupported``."""
    return record.result.status.value if record.result else "unsupported"


def training_metrics(record: Record) -> TrainingMetrics | None:
    """The numbers of a training cell that ended ``ok``."""
    metrics = record.result.metrics if record.result else None
    return metrics if isinstance(metrics, TrainingMetrics) else None


def row_of(record: Record) -> dict[str, Scalar]:
    """One row of the tidy CSV: column name -> value, in the documented order."""
    row = {column.name: column.value(record) for column in (*IDENTITY, *OUTCOME)}
    metrics = training_metrics(record)
    measured = Measured(_training_spec(record), metrics, record.platform) if metrics else None
    for quantity in QUANTITIES:
        row[quantity.name] = quantity.value(measured) if measured else None
        if quantity.interval:
            low, high = quantity.interval(measured) if measured else (None, None)
            row |= {f"{quantity.name}_low": low, f"{quantity.name}_high": high}
    return row | {column.name: column.value(record) for column in ORIGIN}


def column_names() -> list[str]:
    """The header of the tidy CSV."""
    interval = ("", "_low", "_high")
    numbers = [q.name + suffix for q in QUANTITIES for suffix in (interval if q.interval else ("",))]
    return [c.name for c in (*IDENTITY, *OUTCOME)] + numbers + [c.name for c in ORIGIN]


def _training_spec(record: Record) -> PretrainSpec:
    if record.result is None or not isinstance(record.result.spec, PretrainSpec):
        raise TypeError(f"{record.cell.id} is no training cell")
    return record.result.spec


def _metric(record: Record, name: str) -> Scalar:
    value: Scalar = getattr(training_metrics(record), name, None)
    return value


def _steps(record: Record) -> int | None:
    metrics = training_metrics(record)
    return metrics.step_time_s.n if metrics else None


def _provenance(record: Record, name: str) -> Scalar:
    value: Scalar = getattr(record.result.provenance, name, None) if record.result else None
    return value


def _flags(record: Record) -> str | None:
    return ";".join(record.result.flags) if record.result else None
