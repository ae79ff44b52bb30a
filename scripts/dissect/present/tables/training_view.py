"""The view of training cells, one row per cell."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dissect.base.units import GIB
from dissect.cells.manifest import PlatformFacts
from dissect.cells.spec import TrainingSpec
from dissect.metrics.training import TrainingMetrics
from dissect.present.tables.columns import (
    NO_ENERGY,
    Column,
    Combination,
    Quantity,
    Record,
    Scalar,
    metrics_of,
    over_runs,
)
from dissect.present.tables.efficiency import fill_efficiency
from dissect.present.tables.view import View
from dissect.results.result import Result
from dissect.workloads.arithmetic import hardware_flops, model_flops


@dataclass(frozen=True)
class MeasuredTraining:
    """A training cell that ended ``ok``, the input of the formulas."""

    spec: TrainingSpec
    metrics: TrainingMetrics
    platform: PlatformFacts
    energy_j: float | None
    """Energy of a step over all GPUs."""

    @property
    def model_flops(self) -> int:
        """FLOPs of a step over all GPUs without recomputation, by the formula of today."""
        return model_flops(self.spec, self.metrics.batch)

    @property
    def hardware_flops(self) -> int:
        """FLOPs of a step over all GPUs with recomputation, by the formula of today."""
        return hardware_flops(self.spec, self.metrics.batch)

    @property
    def peak_flops(self) -> float | None:
        """Dense peak in FLOP/s of all GPUs of the cell at its dtype; None if the platform declares none."""
        peak = self.platform.peak_flops.get(self.spec.workload.dtype)
        return peak * self.spec.hardware.n_gpus if peak else None


def _share_of_peak(flops_per_step: int, measured: MeasuredTraining) -> float | None:
    peak = measured.peak_flops
    return flops_per_step / (measured.metrics.step_time_s.median * peak) if peak else None


def _of_the_device(measured: MeasuredTraining) -> float | None:
    seconds = None if measured.spec.method.computes_on_host else measured.metrics.device_time_s
    return measured.metrics.tokens_per_step / seconds if seconds else None


def _gib(size: int | None) -> float | None:
    return None if size is None else size / GIB


def _points(record: Record, run: Result) -> Iterator[tuple[Mapping[str, Scalar], MeasuredTraining]]:
    metrics = metrics_of(run, TrainingMetrics)
    if metrics and isinstance(run.spec, TrainingSpec):
        yield {}, MeasuredTraining(run.spec, metrics, record.platform, run.energy_j)


def _metric(record: Record, name: str) -> Scalar:
    return over_runs(record, lambda run: getattr(metrics_of(run, TrainingMetrics), name, None))


def _steps(run: Result) -> int | None:
    metrics = metrics_of(run, TrainingMetrics)
    return metrics.step_time_s.n if metrics else None


_NOT_TRACED = "no step was traced, or waiting cannot be told from transfer"

_QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "batch_measured", "Batch", "sequences per GPU", "what was measured; of max the largest that fits",
        lambda m: m.metrics.batch, Combination.COMMON, decimals=0,
    ),
    Quantity(
        "tokens_per_s", "Throughput", "tokens/s", "over all GPUs, from the median of synchronised steps",
        lambda m: m.metrics.tokens_per_s.median,
    ),
    Quantity(
        "paper_tokens_per_s", "Paper's throughput", "tokens/s",
        "as the paper defines it, from the mean step of the measured window",
        lambda m: m.metrics.paper_tokens_per_s,
    ),
    Quantity(
        "step_time_s", "Step time", "ms", "median of the synchronised steps, each as long as its slowest rank",
        lambda m: m.metrics.step_time_s.median, scale=1e3,
    ),
    Quantity(
        "step_time_mean_s", "Mean step time", "ms", "mean of the measured window",
        lambda m: m.metrics.step_time_s.mean, scale=1e3,
    ),
    Quantity(
        "step_time_cv", "Variation of step times", "%", "coefficient of variation of the step times",
        lambda m: m.metrics.step_time_cv, Combination.MEAN, scale=1e2, decimals=1,
    ),
    Quantity(
        "device_tokens_per_s", "Throughput of the device", "tokens/s",
        "what the GPUs alone would allow: tokens per step over the device time of a step",
        lambda m: _of_the_device(m), absent=f"{_NOT_TRACED}, or the host does a part of the step", optional=True,
    ),
    Quantity(
        "device_time_s", "Device time", "ms",
        "time of a step in which a GPU computes, copies or transfers, without waiting; mean over the GPUs",
        lambda m: m.metrics.device_time_s, scale=1e3, absent=_NOT_TRACED,
    ),
    Quantity(
        "device_compute_time_s", "Device time of computing", "ms",
        "time of a step in which a GPU computes or copies; mean over the GPUs",
        lambda m: m.metrics.compute_time_s, scale=1e3, absent="no step was traced",
    ),
    Quantity(
        "device_communication_time_s", "Device time of communication", "ms",
        "time of a step in which a GPU only transfers, from the start of the collective's latest rank",
        lambda m: m.metrics.communication_time_s, Combination.MEAN, scale=1e3, absent=_NOT_TRACED,
    ),
    Quantity(
        "scaling_efficiency", "Scaling efficiency", "%",
        "throughput per GPU over that of the same setting on the fewest GPUs that were measured",
        lambda _: None, scale=1e2, decimals=1, absent="it has no throughput to compare with",
    ),
    Quantity(
        "peak_memory_bytes", "Peak memory", "bytes",
        "largest over the ranks: allocator peak on GPUs, peak resident set on cpu",
        lambda m: m.metrics.peak_memory_bytes, Combination.LARGEST, decimals=0,
    ),
    Quantity(
        "peak_memory_gib", "Peak memory", "GiB",
        "largest over the ranks: allocator peak on GPUs, peak resident set on cpu",
        lambda m: _gib(m.metrics.peak_memory_bytes), Combination.LARGEST, decimals=2,
    ),
    Quantity(
        "nvml_peak_memory_bytes", "Peak memory by NVML", "bytes", "largest used memory over the GPUs as NVML saw it",
        lambda m: m.metrics.nvml_peak_memory_bytes, Combination.LARGEST, decimals=0, absent="no NVML on this machine",
    ),
    Quantity(
        "nvml_peak_memory_gib", "Peak memory by NVML", "GiB", "largest used memory over the GPUs as NVML saw it",
        lambda m: _gib(m.metrics.nvml_peak_memory_bytes), Combination.LARGEST, decimals=2,
        absent="no NVML on this machine",
    ),
    Quantity(
        "paper_memory_gib", "Paper's memory", "GiB",
        "driver total minus free at the end, of rank 0's GPU, as the paper defines it; on cpu the resident set",
        lambda m: m.metrics.paper_memory_gib, Combination.LARGEST, decimals=2,
    ),
    Quantity(
        "mfu", "MFU", "%",
        "model FLOPs (without recomputation) per second over the dense peak of all GPUs at the dtype",
        lambda m: _share_of_peak(m.model_flops, m), scale=1e2, decimals=1,
        absent="no dense peak is declared for this platform and dtype",
    ),
    Quantity(
        "hfu", "HFU", "%",
        "executed FLOPs (with recomputation) per second over the dense peak of all GPUs at the dtype",
        lambda m: _share_of_peak(m.hardware_flops, m), scale=1e2, decimals=1,
        absent="no dense peak is declared for this platform and dtype",
    ),
    Quantity(
        "energy_per_step_j", "Energy per step", "J", "over all GPUs, from NVML's accumulating counter",
        lambda m: m.energy_j, absent=NO_ENERGY,
    ),
    Quantity(
        "tokens_per_joule", "Tokens per joule", "tokens/J", "tokens per step over the energy per step",
        lambda m: m.metrics.tokens_per_step / m.energy_j if m.energy_j else None, absent=NO_ENERGY,
    ),
    Quantity(
        "tokens_per_step", "Tokens per step", "", "over all GPUs: batch x GPUs x sequence length",
        lambda m: m.metrics.tokens_per_step, Combination.COMMON, decimals=0,
    ),
    Quantity(
        "model_flops_per_step", "Model FLOPs per step", "TFLOP", "over all GPUs, without recomputation",
        lambda m: m.model_flops, Combination.COMMON, scale=1e-12,
    ),
    Quantity(
        "hardware_flops_per_step", "Executed FLOPs per step", "TFLOP", "over all GPUs, with recomputation",
        lambda m: m.hardware_flops, Combination.COMMON, scale=1e-12,
    ),
    Quantity(
        "parameters", "Parameters", "millions", "of the whole model", lambda m: m.metrics.parameters,
        Combination.COMMON, scale=1e-6,
    ),
    Quantity(
        "trainable_parameters", "Trainable parameters", "millions", "those that the optimizer updates",
        lambda m: m.metrics.trainable_parameters, Combination.COMMON, scale=1e-6,
    ),
    Quantity(
        "first_loss", "First loss", "", "of the first warm-up step", lambda m: m.metrics.first_loss, Combination.MEAN
    ),
    Quantity(
        "last_loss", "Last loss", "", "of the last measured step", lambda m: m.metrics.last_loss, Combination.MEAN
    ),
)  # fmt: skip

_ORIGIN = (
    Column("peak_memory_source", "allocator or rss", lambda r: _metric(r, "peak_memory_source")),
    Column("attention_kernel", "the attention kernel that was seen to run", lambda r: _metric(r, "attention_kernel")),
    Column("n_steps", "steps of the measured window", lambda r: over_runs(r, _steps)),
    Column("warmup_steps", "steps before it", lambda r: _metric(r, "warmup_steps")),
    Column("stopped_by", "what ended it: interval, max_steps, window or budget", lambda r: _metric(r, "stopped_by")),
)

TRAINING = View(points=_points, quantities=_QUANTITIES, origin=_ORIGIN, across=fill_efficiency)
"""View for tables of training cells."""
