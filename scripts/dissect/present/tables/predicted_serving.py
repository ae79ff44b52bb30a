"""Predicted against measured serving cells: cache, bursts and latencies, each as if it had not been measured."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, geometric_mean, median
from typing import Any

from dissect.cells.manifest import Manifest
from dissect.cells.spec import ServeSpec
from dissect.metrics.serving import ServingMetrics
from dissect.predict.curves import MeasuredOperator
from dissect.predict.gpu_power import Ends
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
from dissect.present.tables.prediction_groups import (
    error_grid,
    errors_and_coverage,
    grouped,
    names_of,
)
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
    """A measured serving cell beside its prediction; times are seconds."""

    record: Record
    prediction: ServerPrediction
    unknown_gpu: ServerPrediction | None
    """The same where nothing was measured with that GPU; None where no datasheet is enough."""
    cache_tokens: int | None
    """Room of the cache as the engine reports it; None where it does not."""
    burst_s: float | None
    """Measured duration of a burst; None where requests arrive over time."""
    measured_s: Mapping[LatencyName, float | None]
    """Measured medians of TTFT and TPOT, geometric mean over runs; None without streaming."""
    energy_j: float | None
    """Measured energy of a load sent once; None where it was not measured."""
    energies: Ends | None
    """Predicted energy with its interval; None without a power limit."""

    @property
    def energy_error(self) -> float | None:
        """Relative error of the energy; None where it was not measured."""
        return self.energies[0] / self.energy_j - 1 if self.energies and self.energy_j else None

    @property
    def energy_covered(self) -> bool | None:
        """Whether the interval has the measured energy."""
        return self.energies[1] <= self.energy_j <= self.energies[2] if self.energies and self.energy_j else None

    @property
    def cache_error(self) -> float | None:
        """Relative error of the room; None where the engine does not report it."""
        return self.prediction.cache_tokens / self.cache_tokens - 1 if self.cache_tokens else None

    @property
    def cache_covered(self) -> bool:
        """Whether the interval has the reported room."""
        return bool(self.cache_tokens and self.prediction.cache_low <= self.cache_tokens <= self.prediction.cache_high)

    def burst_error(self, prediction: ServerPrediction | None) -> float | None:
        """Relative error of the duration of a burst that a prediction gives."""
        return prediction.duration_s / self.burst_s - 1 if prediction and self.burst_s else None

    def burst_covered(self, prediction: ServerPrediction | None) -> bool | None:
        """Whether the interval of a prediction has the measured duration."""
        return prediction.low_s <= self.burst_s <= prediction.high_s if prediction and self.burst_s else None

    def latency_error(self, name: LatencyName) -> tuple[float | None, bool | None]:
        """Relative error of the median of TTFT or TPOT, and whether its interval has the measured one."""
        found, measured = predicted_latency(self.prediction, name, 0.5), self.measured_s[name]
        if found is None or measured is None or found.low is None or found.high is None:
            return None, None
        return found.value / measured - 1, found.low <= measured <= found.high


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
            burst = None if spec.workload.arrival.rate else _burst_s(found)
            tokens = [each.kv_cache_tokens for each in found if each.kv_cache_tokens]
            latencies = {name: _typical(getattr(each.samples, f"{name}_s") for each in found) for name in MEDIANS}
            cache = int(median(tokens)) if tokens else None
            unknown = predict_server(spec, [], sheet, step_cost([], spec.hardware.gpu_model, spec.framework))
            energies = [*_burst_energies(record)]
            limit = limits_w.get(spec.hardware.gpu_model)
            predicted = prediction.energy_j(limit) if limit else None
            energy = fmean(energies) if energies else None
            yield ComparedServer(record, prediction, unknown, cache, burst, latencies, energy, predicted)


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
    cell, found, unknown = each.record.cell, each.prediction, each.unknown_gpu
    energy, energy_low, energy_high = each.energies or (None, None, None)
    return names_of(cell) | {
        "status": each.record.runs and each.record.runs.status.value, "reference": cell.reference, "key": cell.key,
        "measured_cache_tokens": each.cache_tokens, "predicted_cache_tokens": found.cache_tokens,
        "cache_low": found.cache_low, "cache_high": found.cache_high, "cache_error": each.cache_error,
        "cache_covered": each.cache_covered if each.cache_tokens else None,
        "measured_burst_s": each.burst_s, "predicted_burst_s": found.duration_s, "burst_low_s": found.low_s,
        "burst_high_s": found.high_s, "burst_error": each.burst_error(found),
        "burst_covered": each.burst_covered(found), "unknown_gpu_burst_s": unknown.duration_s if unknown else None,
        "unknown_gpu_burst_low_s": unknown.low_s if unknown else None,
        "unknown_gpu_burst_high_s": unknown.high_s if unknown else None,
        "unknown_gpu_burst_error": each.burst_error(unknown), "unknown_gpu_burst_covered": each.burst_covered(unknown),
        "measured_load_energy_j": each.energy_j, "predicted_load_energy_j": energy, "load_energy_low_j": energy_low,
        "load_energy_high_j": energy_high, "load_energy_error": each.energy_error,
        "load_energy_covered": each.energy_covered,
        **{column: value for name in MEDIANS for column, value in _latency_row(each, name).items()},
        "predicted_output_tokens_per_s": found.tokens_per_s,
        "serving_origin": found.origin, "step_cost_s": found.cost.seconds,
        "step_cost_from": ";".join(found.cost.cells) or found.cost.source,
    }  # fmt: skip


def _latency_row(each: ComparedServer, name: LatencyName) -> dict[str, Any]:
    found = predicted_latency(each.prediction, name, 0.5)
    value, low, high = (found.value, found.low, found.high) if found else (None, None, None)
    return {
        f"measured_{name}_s": each.measured_s[name], f"predicted_{name}_s": value, f"{name}_low_s": low,
        f"{name}_high_s": high, f"{name}_covered": each.latency_error(name)[1],
    }  # fmt: skip


def serving_grid(manifest: Manifest, compared: Sequence[ComparedServer]) -> Grid:
    """One row over all cells, and one per platform, engine and policy."""
    groups = {("all", "", "", ""): list(compared), **grouped(manifest, compared)}
    return error_grid(manifest, "serving", groups, HEADERS, _texts, [SERVING_RULES])


def _texts(group: Sequence[ComparedServer]) -> list[str]:
    caches = [each for each in group if each.cache_tokens]
    bursts = [each for each in group if each.burst_s]
    bare = [each for each in bursts if each.unknown_gpu]
    streamed = {name: [each for each in group if each.measured_s[name]] for name in MEDIANS}
    return [
        str(len(group)),
        *errors_and_coverage(((each.cache_error, each.cache_covered) for each in caches), 2),
        *errors_and_coverage(
            (each.burst_error(each.prediction), each.burst_covered(each.prediction)) for each in bursts
        ),
        *errors_and_coverage(
            (each.burst_error(each.unknown_gpu), each.burst_covered(each.unknown_gpu)) for each in bare
        ),
        *errors_and_coverage(
            (each.energy_error, each.energy_covered) for each in group if each.energy_error is not None
        ),
        *errors_and_coverage(each.latency_error("ttft") for each in streamed["ttft"]),
        *errors_and_coverage(each.latency_error("tpot") for each in streamed["tpot"]),
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
