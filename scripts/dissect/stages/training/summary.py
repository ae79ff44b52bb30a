"""Metrics, raw samples and flags from the reports of the ranks. All functions are pure."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from dissect.base.outcome import Flag, StoppedBy
from dissect.base.units import GIB
from dissect.cells.spec import TrainingSpec
from dissect.machine.vendor import vendor_of
from dissect.metrics.profile import Dissection, ProfileMetrics
from dissect.metrics.training import TrainingMetrics, Trial
from dissect.ranks.device_time import device_times
from dissect.ranks.messages import RankReport
from dissect.ranks.reports import slowest
from dissect.results.result import LEAST_ENERGY_S
from dissect.statistics.estimate import Estimate
from dissect.statistics.step_times import UNSTABLE_CV, coefficient_of_variation, estimate
from dissect.workloads.arithmetic import hardware_flops, model_flops

BUSY_SHARE = 0.8
"""Share of a step that its device time must reach, else the host sets the pace."""


def training_metrics(
    spec: TrainingSpec, batch: int, reports: Sequence[RankReport], trials: Sequence[Trial], gpu_peak: int | None
) -> TrainingMetrics:
    """The metrics of an ``ok`` cell, from one report per rank in the order of ranks."""
    first = reports[0]
    tokens = batch * spec.hardware.n_gpus * spec.workload.seq_len
    step = estimate(slowest([report.step_times_s for report in reports]))
    device = device_times([report.step_trace for report in reports], on_one_node=spec.hardware.n_nodes == 1)
    return TrainingMetrics(
        batch=batch,
        tokens_per_step=tokens,
        step_time_s=step,
        tokens_per_s=Estimate(
            median=tokens / step.median,
            low=tokens / step.high,
            high=tokens / step.low,
            mean=tokens / step.mean,
            n=step.n,
        ),
        paper_tokens_per_s=tokens / step.mean,
        step_time_cv=coefficient_of_variation(slowest([report.step_times_s for report in reports])),
        warmup_steps=len(first.warmup_step_times_s),
        stopped_by=cast(StoppedBy, first.stopped_by),
        peak_memory_bytes=max(report.peak_memory_bytes for report in reports),
        peak_memory_source="rss" if vendor_of(spec.hardware).torch_type == "cpu" else "allocator",
        nvml_peak_memory_bytes=gpu_peak,
        paper_memory_gib=first.driver_memory_bytes / GIB,
        model_flops_per_step=model_flops(spec, batch),
        hardware_flops_per_step=hardware_flops(spec, batch),
        energy_per_step_j=_energy_per_step(reports),
        compute_time_s=device.compute_s if device else None,
        communication_time_s=device.communication_s if device else None,
        collective_wait_s=device.wait_s if device else None,
        parameters=first.parameters,
        trainable_parameters=first.trainable_parameters,
        first_loss=first.losses[0],
        last_loss=first.losses[-1],
        attention_kernel=first.attention_kernel or "unknown",
        trials=list(trials),
    )


def _energy_per_step(reports: Sequence[RankReport]) -> float | None:
    """Joules of a step over all GPUs; None without a counter on each of them, or over too short a window.

    Each rank's window counts by itself: clocks of several nodes do not compare.
    """
    energies = [report.energy_j for report in reports if report.energy_j is not None]
    shortest = min(report.window_end - report.window_start for report in reports)
    if len(energies) < len(reports) or shortest < LEAST_ENERGY_S:
        return None
    return sum(energies) / len(reports[0].step_times_s)


def profile_metrics(training: TrainingMetrics, reports: Sequence[RankReport]) -> ProfileMetrics:
    """The metrics of a profiled cell; rank 0 has analysed its trace."""
    profiled = slowest([report.findings["profiled_step_times_s"] for report in reports])
    return ProfileMetrics(
        training=training,
        profiled_step_time_s=estimate(profiled),
        dissection=Dissection.model_validate_json(reports[0].findings["dissection"]),
    )


def raw_samples(reports: Sequence[RankReport]) -> list[dict[str, Any]]:
    """One record per step, warm-up first: seconds of each rank, loss of rank 0."""
    parts = [("warmup", [r.warmup_step_times_s for r in reports]), ("measured", [r.step_times_s for r in reports])]
    steps = [(part, times) for part, per_rank in parts for times in zip(*per_rank, strict=True)]
    return [
        {"step": step, "part": part, "seconds": list(times), "loss": loss}
        for step, ((part, times), loss) in enumerate(zip(steps, reports[0].losses, strict=True))
    ]


def flags(metrics: TrainingMetrics, reports: Sequence[RankReport], seen: Mapping[Flag, bool]) -> list[Flag]:
    """Flags of the result in the order of the closed list; ``seen`` are those of the machine."""
    doubts = {
        Flag.UNSTABLE: metrics.step_time_cv > UNSTABLE_CV,
        Flag.WARMUP_NOT_SETTLED: not reports[0].warmup_settled,
        Flag.INTERVAL_NOT_REACHED: metrics.stopped_by != "interval",
        Flag.LAUNCH_BOUND: metrics.device_time_s is not None
        and metrics.device_time_s < BUSY_SHARE * metrics.step_time_s.median,
        **seen,
    }
    own = {flag for report in reports for flag in report.flags}
    return [flag for flag in Flag if flag in own or doubts.get(flag, False)]
