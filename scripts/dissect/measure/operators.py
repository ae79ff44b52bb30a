"""An operator cell in the parent: import once, then fork the ranks that measure all sizes."""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from dissect.cells.spec import OperatorSpec
from dissect.measure import summary
from dissect.measure.attempt import run_attempt, unfit
from dissect.measure.measurement import Measurement
from dissect.measure.node import Node
from dissect.measure.runner import load_operator_runner
from dissect.outcome import Flag, Status
from dissect.result import Durations


def measure_operator(spec: OperatorSpec, node: Node, workdir: Path, deadline: float, launcher: str) -> Measurement:
    """Measure an operator cell; ``workdir`` is for the reports of its ranks and other nodes, and is removed."""
    if sentence := unfit(spec.hardware, node):
        return Measurement(Status.FAILED, reason=sentence)
    start = time.monotonic()
    runner = load_operator_runner(spec)
    runner.import_libraries(spec)
    before = Durations(imports_s=time.monotonic() - start)
    attempt = run_attempt(spec, partial(runner.run_rank, spec), node, workdir, deadline, launcher)
    measurement, seen = attempt.measurement(before)
    if measurement.status is not Status.OK:
        return measurement
    reports = attempt.ending.reports
    return replace(
        measurement,
        metrics=runner.summarise(spec, reports),
        flags=[flag for flag in Flag if seen.get(flag, False)],
        durations=summary.durations(attempt.reports_here, attempt.start, before),
    )
