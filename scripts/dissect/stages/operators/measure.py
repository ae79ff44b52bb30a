"""Measurement of an operator cell in the parent: import once, then fork the ranks that measure all sizes."""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from dissect.base.outcome import Flag, Status
from dissect.cells.spec import OperatorSpec
from dissect.machine.node import Node
from dissect.metrics.operators import OperatorMetrics, timings
from dissect.ranks.attempt import run_attempt, unfit
from dissect.ranks.measurement import Measurement
from dissect.ranks.reports import durations
from dissect.ranks.runner import load_operator_runner
from dissect.results.result import Durations
from dissect.stages.operators.points import doubts, raw_samples


def measure_operator(spec: OperatorSpec, node: Node, workdir: Path, launcher: str) -> Measurement:
    """Measure an operator cell; ``workdir`` holds the reports of its ranks, and is removed.

    The budget starts once the libraries are imported.
    """
    if sentence := unfit(spec.hardware, node):
        return Measurement(Status.FAILED, reason=sentence)
    start = time.monotonic()
    runner = load_operator_runner(spec)
    runner.import_libraries(spec)
    before = Durations(imports_s=time.monotonic() - start)
    deadline = time.monotonic() + spec.sampling.budget_s
    attempt = run_attempt(spec, partial(runner.run_rank, spec), node, workdir, deadline, launcher)
    measurement, seen = attempt.measurement(before)
    if measurement.status is not Status.OK:
        return attempt.judged(measurement)
    reports = attempt.ending.reports
    metrics, samples = runner.summarise(spec, reports), raw_samples(reports)
    raised = doubts(metrics) | seen
    return replace(
        measurement,
        metrics=metrics,
        flags=[flag for flag in Flag if raised[flag]],
        durations=_durations(durations(attempt.reports_here, attempt.start, before), metrics),
        samples=samples,
    )


def _durations(whole: Durations, metrics: OperatorMetrics) -> Durations:
    """Durations whose window is the timed part of the ranks' window; the rest counts as warm-up."""
    timed = sum(t.call_time_s.mean * t.call_time_s.n * t.calls_per_sample for t in timings(metrics))
    before = max(0.0, whole.window_s - timed)
    return whole.model_copy(update={"warmup_s": before, "window_s": timed})
