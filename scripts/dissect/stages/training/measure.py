"""Measurement of a training cell in the parent: prepare once, then fork ranks for trials and measurement."""

import logging
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from dissect.base.outcome import Status
from dissect.cells.spec import TrainingSpec
from dissect.machine.node import Node
from dissect.metrics.training import SearchOrigin, Trial
from dissect.ranks.attempt import Attempt, run_attempt, unfit
from dissect.ranks.measurement import Measurement
from dissect.ranks.reports import durations
from dissect.ranks.runner import TrainingRunner, load_runner
from dissect.results.result import Durations
from dissect.results.store import Store
from dissect.stages.training import summary
from dissect.stages.training.other_cells import search_start, with_batch
from dissect.stages.training.search import SearchStart, bracket, search_max

PROBE_STEPS = 3
_LOG = logging.getLogger(__name__)


@dataclass
class TrainingCell:
    """One training cell, with what its attempts share."""

    spec: TrainingSpec
    runner: TrainingRunner
    workdir: Path
    deadline: float
    node: Node
    launcher: str
    """Command that starts this cell's Python on its other nodes."""
    trials: list[Trial] = field(default_factory=list)
    searched_from: SearchOrigin | None = None
    last: Attempt | None = None
    """The latest one."""

    def attempt(self, batch: int, probe_steps: int | None) -> Attempt:
        """Fork fresh ranks for this batch and supervise them until they end."""
        spec = with_batch(self.spec, batch)
        entry = partial(self.runner.run_rank, spec)
        attempt = run_attempt(spec, entry, self.node, self.workdir, self.deadline, self.launcher, probe_steps)
        self.last = attempt
        self.deadline += attempt.uncounted_s
        return attempt

    def try_batch(self, batch: int) -> Trial:
        """Run one trial of the search."""
        ending = self.attempt(batch, PROBE_STEPS).ending
        peak = max((report.peak_memory_bytes for report in ending.reports), default=None)
        _LOG.info("trial of batch %d: %s", batch, ending.reason or ending.status)
        return Trial(batch=batch, status=ending.status, phase=ending.phase, peak_memory_bytes=peak)

    def search(self, start: SearchStart, before: Durations) -> Measurement:
        """Find the largest batch and measure it; if that runs out of memory, measure the next smaller one."""
        began = time.monotonic()
        self.searched_from = start.origin
        _LOG.info("search for the largest batch: from %d (%s)", start.batch, start.origin)
        self.trials = search_max(self.try_batch, start, self.spec.hardware.device_memory_bytes)
        before = before.model_copy(update={"search_s": time.monotonic() - began})
        known = bracket(self.trials)
        if self.last is not None and (known.stopped_by is not None or known.passed == 0):
            ending, where = self.last.ending, self.trials[-1].batch
            return Measurement(ending.status, ending.phase, f"batch {where}: {ending.reason}", durations=before)
        for batch in range(known.passed, 0, -1):
            measurement = self.measure(batch, before)
            if measurement.status is not Status.OOM:
                break
            self.trials.append(Trial(batch=batch, status=Status.OOM, phase=measurement.phase))
        return measurement

    def measure(self, batch: int, before: Durations) -> Measurement:
        """Measure at one batch in full."""
        attempt = self.attempt(batch, None)
        measurement, seen = attempt.measurement(before)
        if measurement.status is not Status.OK:
            return measurement
        reports = attempt.ending.reports
        metrics = summary.training_metrics(self.spec, batch, reports, self.trials, attempt.gpu_peak_bytes)
        metrics = metrics.model_copy(update={"search_start": self.searched_from})
        return replace(
            measurement,
            metrics=summary.profile_metrics(metrics, reports) if self.spec.stage == "profile" else metrics,
            flags=summary.flags(metrics, reports, seen),
            durations=durations(attempt.reports_here, attempt.start, before),
            samples=summary.raw_samples(reports),
        )


def measure_training(spec: TrainingSpec, node: Node, store: Store, workdir: Path, launcher: str) -> Measurement:
    """Measure a training cell; ``workdir`` holds the reports of its ranks, and is removed.

    The budget starts once the libraries are imported and compiled.
    """
    if sentence := unfit(spec.hardware, node):
        return Measurement(Status.FAILED, reason=sentence)
    start = time.monotonic()
    runner = load_runner(spec)
    runner.import_libraries(spec)
    imported = time.monotonic()
    runner.prepare(spec)
    before = Durations(imports_s=imported - start, prepare_s=time.monotonic() - imported)
    cell = TrainingCell(spec, runner, workdir, time.monotonic() + spec.sampling.budget_s, node, launcher)
    if spec.workload.batch == "max":
        measurement = cell.search(search_start(spec, store), before)
    else:
        measurement = cell.measure(spec.workload.batch, before)
    return cell.last.judged(measurement) if cell.last else measurement
