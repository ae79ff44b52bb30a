"""Comparable numbers of a measured cell, and the samples behind them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dissect.base.units import GIB
from dissect.metrics.operators import AttentionMetrics, CollectiveMetrics, GemmMetrics, MemcpyMetrics
from dissect.metrics.profile import ProfileMetrics
from dissect.metrics.serving import ServingMetrics
from dissect.metrics.training import TrainingMetrics
from dissect.results.result import Result
from dissect.statistics.comparison import Sample
from dissect.statistics.quantiles import quantile

OPERATOR_METRICS = (AttentionMetrics, CollectiveMetrics, GemmMetrics, MemcpyMetrics)
NOT_A_POINT = ("step", "seconds", "status", "phase", "reason", "timing", "message_bytes")
SERVING: tuple[tuple[str, str, float], ...] = (
    ("ttft_p50_s", "ttft_s", 0.5),
    ("ttft_p99_s", "ttft_s", 0.99),
    ("tpot_p50_s", "tpot_s", 0.5),
    ("latency_p50_s", "latency_s", 0.5),
    ("latency_p99_s", "latency_s", 0.99),
)
"""(Quantity, its samples, share of the samples) of serving cells."""


@dataclass(frozen=True)
class RunNumber:
    """One number of one run."""

    quantity: str
    better: Literal["higher", "lower"]
    value: float
    sample: Sample | None = None
    """Samples of the number; None if a run gives a single one, such as memory, energy or a server's throughput."""
    point: str = ""
    """Size of an operator; empty for a cell as a whole."""


@dataclass(frozen=True)
class MeasuredRun:
    """One run of one cell."""

    id: str
    result: Result
    readings: Mapping[tuple[str, str], RunNumber] = field(default_factory=dict)
    """Numbers by (point, quantity)."""


def run_of(cell_id: str, result: Result, steps: bytes | None) -> MeasuredRun:
    """A run from its result and its ``steps.jsonl``; without that file numbers lack their samples."""
    lines = [json.loads(line) for line in (steps or b"").splitlines()]
    readings = _readings(result, lines)
    return MeasuredRun(cell_id, result, {(reading.point, reading.quantity): reading for reading in readings})


def _readings(result: Result, steps: list[dict[str, Any]]) -> Iterator[RunNumber]:
    metrics = result.metrics
    if isinstance(metrics, ProfileMetrics):
        metrics = metrics.training
    if isinstance(metrics, TrainingMetrics):
        yield from _training(metrics, steps)
    elif isinstance(metrics, ServingMetrics):
        yield from _serving(metrics)
    elif isinstance(metrics, OPERATOR_METRICS):
        yield from _operator(metrics.model_dump(mode="json")["points"], steps)


def _training(metrics: TrainingMetrics, steps: list[dict[str, Any]]) -> Iterator[RunNumber]:
    tokens = metrics.tokens_per_step
    rates = [tokens / max(step["seconds"]) for step in steps if step["part"] == "measured"]
    yield RunNumber("tokens_per_s", "higher", metrics.tokens_per_s.median, _sample(rates))
    if metrics.nvml_peak_memory_bytes:
        yield RunNumber("nvml_peak_memory_gib", "lower", metrics.nvml_peak_memory_bytes / GIB)
    yield RunNumber("peak_memory_gib", "lower", metrics.peak_memory_bytes / GIB)
    if metrics.energy_per_step_j:
        yield RunNumber("tokens_per_joule", "higher", tokens / metrics.energy_per_step_j)


def _serving(metrics: ServingMetrics) -> Iterator[RunNumber]:
    for quantity, name, share in SERVING:
        if samples := getattr(metrics.samples, name):
            ordered = tuple(sorted(samples))
            yield RunNumber(quantity, "lower", quantile(ordered, share), Sample(ordered, share))
    yield RunNumber("output_tokens_per_s", "higher", metrics.completion_tokens / metrics.duration_s)
    yield RunNumber("server_memory_gib", "lower", metrics.server_memory_bytes / GIB)
    if metrics.energy_j:
        yield RunNumber("tokens_per_joule_served", "higher", metrics.completion_tokens / metrics.energy_j)


def _operator(points: list[dict[str, Any]], steps: list[dict[str, Any]]) -> Iterator[RunNumber]:
    samples: dict[str, list[float]] = {}
    for step in steps:
        samples.setdefault(_point(step), []).append(max(step["seconds"]))
    for point in points:
        if point["timing"]:
            label = _point(point)
            median = point["timing"]["call_time_s"]["median"]
            yield RunNumber("call_time_s", "lower", median, _sample(samples.get(label, [])), label)


def _point(record: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in record.items() if name not in NOT_A_POINT)


def _sample(values: list[float]) -> Sample | None:
    return Sample(tuple(sorted(values))) if values else None
