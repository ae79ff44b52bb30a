"""Predicted against measured serving cells: cache, bursts and latencies, each as if it had not been measured."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, geometric_mean, median
from typing import Any

from dissect.cells.manifest import Manifest
from dissect.cells.spec import ServeSpec
from dissect.metrics.serving import ServingMetrics
from dissect.predict.curves import MeasuredOperator
from dissect.predict.repetition import load_identity
from dissect.predict.server_times import (
    LatencyName,
    MeasuredBurst,
    ServerPrediction,
    StepCost,
    predict_server,
    shown_step_s,
    step_cost,
)
from dissect.present.tables.columns import Record
from dissect.present.tables.grid import Grid
from dissect.present.tables.measured_pace import datasheet_of, operators_of, power_limits
from dissect.present.tables.predicted_latency import predicted_latency
from dissect.present.tables.prediction_error import PredictedNumber, errors_and_coverage
from dissect.present.tables.prediction_groups import error_grid, grouped, names_of
from dissect.statistics.numbers import Number
from dissect.statistics.quantiles import quantile

MEDIANS: tuple[LatencyName, ...] = ("ttft", "tpot")
"""Latencies whose medians are compared."""

SERVING_COLUMNS = {
    "measured_cache_tokens": "capacity of the KV cache as the engine reports it, in tokens",
    "predicted_cache_tokens": "its prediction",
    "cache_low": "lower end of its interval",
    "cache_high": "upper end of its interval",
    "cache_error": "predicted / measured - 1",
    "cache_covered": "whether the interval has the reported room",
    "measured_burst_s": "geometric mean of the runs' median durations of a burst",
    "predicted_burst_s": "predicted duration of a burst",
    "burst_low_s": "lower end of its interval",
    "burst_high_s": "upper end of its interval",
    "burst_error": "predicted / measured - 1",
    "burst_covered": "whether the interval has the measured duration",
    "unknown_gpu_burst_s": "predicted duration where nothing was measured with that GPU",
    "unknown_gpu_burst_low_s": "lower end of its interval",
    "unknown_gpu_burst_high_s": "upper end of its interval",
    "unknown_gpu_burst_error": "its error",
    "unknown_gpu_burst_covered": "whether its interval has the measured duration",
    "measured_load_energy_j": "mean of the runs' energy of a load sent once, over all GPUs",
    "predicted_load_energy_j": "its prediction; empty where no result has the power limit of that GPU",
    "load_energy_low_j": "lower end of its interval",
    "load_energy_high_j": "upper end of its interval",
    "load_energy_error": "predicted / measured - 1",
    "load_energy_covered": "whether the interval has the measured energy",
    "measured_ttft_s": "median time to the first token, geometric mean over runs; empty without streaming",
    "predicted_ttft_s": "its prediction",
    "ttft_low_s": "lower end of its interval",
    "ttft_high_s": "upper end of its interval",
    "ttft_covered": "whether the interval has the measured median",
    "measured_tpot_s": "median time per token after the first, geometric mean over runs; empty without streaming",
    "predicted_tpot_s": "its prediction",
    "tpot_low_s": "lower end of its interval",
    "tpot_high_s": "upper end of its interval",
    "tpot_covered": "whether the interval has the measured median",
    "predicted_output_tokens_per_s": "generated tokens / predicted duration",
    "serving_origin": "where the times of operators come from",
    "step_cost_s": "what a step takes beside its kernels",
    "step_cost_from": "cells that show it, separated by ;, or that it is a constant",
}
"""Column of the CSV -> its meaning."""
HEADERS = (
    "Cells",
    "Cache: median error (%)",
    "Largest (%)",
    "In the interval",
    "Burst: median error (%)",
    "Largest (%)",
    "In the interval",
    "Unknown GPU: median (%)",
    "Largest (%)",
    "In the interval",
    "Energy: median error (%)",
    "Largest (%)",
    "In the interval",
    "TTFT: median error (%)",
    "Largest (%)",
    "In the interval",
    "TPOT: median error (%)",
    "Largest (%)",
    "In the interval",
)
SERVING_RULES = (
    "Errors are predicted / measured - 1, without sign; TTFT and TPOT are medians over the requests of a cell. What a "
    "step takes beside its kernels, and nothing else, is taken from other measured bursts of the engine. "
    "Under unknown GPU no burst and no operator of that GPU is known: its datasheet and the steps of H200 stand in."
)


@dataclass(frozen=True)
class ComparedServer:
    """A measured serving cell beside its prediction."""

    record: Record
    prediction: ServerPrediction
    cache: PredictedNumber
    """Room of the cache in tokens; not measured where the engine does not report it."""
    burst: PredictedNumber
    """Seconds of a burst; not measured where requests arrive over time."""
    unknown_gpu: PredictedNumber
    """The same where nothing was measured with that GPU; not predicted where no datasheet is enough."""
    energy: PredictedNumber
    """Joules of a load sent once, over all GPUs; not predicted where no result has their power limit."""
    latencies: Mapping[LatencyName, PredictedNumber]
    """Seconds of the median TTFT and TPOT, geometric mean over runs; not measured without streaming."""


def compare_serving(records: Sequence[Record]) -> Iterator[ComparedServer]:
    """Each serving cell beside its prediction, to which its own runs and repetitions of it contribute nothing."""
    operators = list(operators_of(records))
    known, limits_w = list(measured_bursts(records, operators)), power_limits(records)
    for record in records:
        spec, found = record.spec, _numbers(record)
        if not isinstance(spec, ServeSpec) or not found:
            continue
        identity = load_identity(spec)
        others = [each for each in known if each.identity != identity]
        cost = step_cost(others, spec.hardware.gpu_model, spec.framework)
        sheet = datasheet_of(record.platform)
        prediction = predict_server(spec, operators, sheet, cost)
        if prediction is not None:
            bare = predict_server(spec, [], sheet, step_cost([], spec.hardware.gpu_model, spec.framework))
            burst_s = None if spec.workload.arrival.rate else _burst_s(found)
            tokens = [each.kv_cache_tokens for each in found if each.kv_cache_tokens]
            energies, limit_w = [*_burst_energies(record)], limits_w.get(spec.hardware.gpu_model)
            yield ComparedServer(
                record,
                prediction,
                cache=PredictedNumber(
                    int(median(tokens)) if tokens else None,
                    Number(prediction.cache_tokens, prediction.cache_low, prediction.cache_high),
                ),
                burst=PredictedNumber(burst_s, _duration(prediction)),
                unknown_gpu=PredictedNumber(burst_s, _duration(bare)),
                energy=PredictedNumber(
                    fmean(energies) if energies else None, Number(*prediction.energy_j(limit_w)) if limit_w else None
                ),
                latencies={
                    name: PredictedNumber(
                        _typical(getattr(each.samples, f"{name}_s") for each in found),
                        predicted_latency(prediction, name, 0.5),
                    )
                    for name in MEDIANS
                },
            )


def _duration(found: ServerPrediction | None) -> Number | None:
    return Number(found.duration_s, found.low_s, found.high_s) if found else None


def measured_bursts(records: Sequence[Record], operators: Sequence[MeasuredOperator]) -> Iterator[MeasuredBurst]:
    """What each measured burst shows of the steps of its engine."""
    for record in records:
        spec, found = record.spec, _numbers(record)
        if not isinstance(spec, ServeSpec) or not found:
            continue
        bare = predict_server(spec, operators, datasheet_of(record.platform), StepCost(0.0, "nothing"))
        shown = shown_step_s(bare, _burst_s(found)) if bare else None
        if shown is not None:
            yield MeasuredBurst(record.cell.id, load_identity(spec), spec.hardware.gpu_model, spec.framework, shown)


def serving_row(each: ComparedServer) -> dict[str, Any]:
    """The row of a cell by column."""
    cell, found = each.record.cell, each.prediction
    row = names_of(cell) | {
        "status": each.record.runs and each.record.runs.status.value, "reference": cell.reference, "key": cell.key,
        **each.cache.columns(
            "measured_cache_tokens", "predicted_cache_tokens", "cache_low", "cache_high", "cache_error", "cache_covered"
        ),
        **each.burst.columns(
            "measured_burst_s", "predicted_burst_s", "burst_low_s", "burst_high_s", "burst_error", "burst_covered"
        ),
        **each.unknown_gpu.columns(
            "measured_burst_s", "unknown_gpu_burst_s", "unknown_gpu_burst_low_s", "unknown_gpu_burst_high_s",
            "unknown_gpu_burst_error", "unknown_gpu_burst_covered",
        ),
        **each.energy.columns(
            "measured_load_energy_j", "predicted_load_energy_j", "load_energy_low_j", "load_energy_high_j",
            "load_energy_error", "load_energy_covered",
        ),
        "predicted_output_tokens_per_s": found.tokens_per_s,
        "serving_origin": found.origin, "step_cost_s": found.cost.seconds,
        "step_cost_from": ";".join(found.cost.cells) or found.cost.source,
    }  # fmt: skip
    for name, latency in each.latencies.items():
        row |= latency.columns(f"measured_{name}_s", f"predicted_{name}_s", f"{name}_low_s", f"{name}_high_s")
        row[f"{name}_covered"] = latency.covered
    return row


def serving_grid(manifest: Manifest, compared: Sequence[ComparedServer]) -> Grid:
    """One row over all cells, and one per platform, engine and policy."""
    groups = {("all", "", "", ""): list(compared), **grouped(manifest, compared)}
    return error_grid(manifest, "serving", groups, HEADERS, _texts, [SERVING_RULES])


def _texts(group: Sequence[ComparedServer]) -> list[str]:
    return [
        str(len(group)),
        *errors_and_coverage((each.cache for each in group), 2),
        *errors_and_coverage(each.burst for each in group),
        *errors_and_coverage(each.unknown_gpu for each in group),
        *errors_and_coverage(each.energy for each in group),
        *errors_and_coverage(each.latencies["ttft"] for each in group),
        *errors_and_coverage(each.latencies["tpot"] for each in group),
    ]


def _numbers(record: Record) -> list[ServingMetrics]:
    return [run.metrics for run in record.results if isinstance(run.metrics, ServingMetrics)]


def _burst_energies(record: Record) -> Iterator[float]:
    for run in record.results:
        if isinstance(run.metrics, ServingMetrics) and (energy := run.energy_j):
            yield energy / len(run.metrics.burst_durations_s or [0])


def _burst_s(found: Sequence[ServingMetrics]) -> float:
    """Geometric mean over runs of the median duration of a burst."""
    return geometric_mean(median(each.burst_durations_s or [each.duration_s]) for each in found)


def _typical(samples: Iterable[list[float] | None]) -> float | None:
    """Geometric mean over runs of the median over requests; None without streaming."""
    medians = [quantile(sorted(each), 0.5) for each in samples if each]
    return geometric_mean(medians) if medians and min(medians) > 0 else None
