"""Runs of one cell, as rounds on known starts would have measured them."""

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

from dissect.metrics.serving import ServingMetrics
from dissect.metrics.training import TrainingMetrics
from dissect.results.cell_runs import CellRuns, in_order
from dissect.results.result import Result, Round, Start
from factories.metrics import serving_metrics, training_metrics
from factories.results import ok_result, provenance

SPREAD = (0.99, 1.01, 1.0, 0.995, 1.005)
"""Factors of five runs around their typical value."""


def start(name: str = "a") -> Start:
    """One boot of a machine."""
    return Start(boot_id=name, gpus=[], allocation=None)


def in_rounds(results: Iterable[Result], on: str = "a", first: int = 1) -> list[Result]:
    """The results as runs of one start, in the rounds of one pass from ``first`` on."""
    runs = []
    for number, result in enumerate(results, start=first):
        found = (result.provenance or provenance()).model_copy(
            update={"start": start(on), "measured_at": f"2026-03-01T12:{number:02}:00Z"}
        )
        of_round = Round(id=f"pass {on}", number=number, position=1)
        runs.append(result.model_copy(update={"provenance": found, "round": of_round}))
    return runs


def training_runs(
    spec: Any, step_time_s: float, spread: Sequence[float] = SPREAD, device: Sequence[float] = (), **changes: Any
) -> list[Result]:
    """Runs of a training cell whose step times lie around a value by these factors, the first of them traced."""

    def metrics(factor: float, device_s: float | None) -> TrainingMetrics:
        traced = {"compute_time_s": device_s, "communication_time_s": 0.0} if device_s else {}
        return training_metrics(spec, step_time_s * factor, **traced, **changes)

    times = zip_longest(spread, device[: len(spread)])
    return in_rounds(ok_result(spec, metrics(*each)) for each in times)


def serving_runs(spec: Any, seconds: float, spread: Sequence[float] = SPREAD, **changes: Any) -> list[Result]:
    """Runs of a server whose bursts took around so long by these factors."""

    def metrics(factor: float) -> ServingMetrics:
        return serving_metrics(spec, seconds * factor, **changes)

    return in_rounds(ok_result(spec, metrics(factor)) for factor in spread)


def cell_runs(*results: Result) -> CellRuns:
    """The runs of one cell together."""
    return in_order({f"{number:012x}": result for number, result in enumerate(results)})
