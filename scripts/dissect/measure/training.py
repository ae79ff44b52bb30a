"""A training cell in the parent: prepare once, then fork ranks for one measurement or for the trials of a search."""

import logging
import shutil
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from dissect.cells.spec import PretrainSpec
from dissect.measure import summary
from dissect.measure.launch import Launch, meet_here
from dissect.measure.measurement import Measurement
from dissect.measure.node import Node, too_few_gpus
from dissect.measure.nodes import Followers, orders, ranks_per_node, why_no_others
from dissect.measure.rank import RankReport
from dissect.measure.runner import TrainingRunner, load_runner
from dissect.measure.search import bracket, search_max
from dissect.measure.siblings import hint, with_batch
from dissect.measure.sight import Sight, lookout
from dissect.measure.supervise import Ending, conclude, supervise, window_of
from dissect.outcome import Status
from dissect.result import Durations, Trial
from dissect.store import Store

PROBE_STEPS = 3
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attempt:
    """One launch of the ranks and what was seen meanwhile."""

    ending: Ending
    start: float
    """When the ranks were forked, CLOCK_MONOTONIC."""
    sights: list[Sight]
    """One per node, this one first."""


@dataclass
class TrainingCell:
    """One cell: everything that its attempts share."""

    spec: PretrainSpec
    runner: TrainingRunner
    workdir: Path
    deadline: float
    node: Node
    launcher: str
    """Command that starts the Python of the cell, for its other nodes."""
    trials: list[Trial] = field(default_factory=list)
    last: Ending | None = None
    """How the latest attempt ended."""

    def attempt(self, batch: int, probe_steps: int | None) -> Attempt:
        """Fork fresh ranks for this batch and watch them to their end."""
        shutil.rmtree(self.workdir, ignore_errors=True)
        self.workdir.mkdir(parents=True)
        spec, hardware = with_batch(self.spec, batch), self.spec.hardware
        watch, meeting = lookout(self.node, hardware), meet_here(hardware.n_gpus)
        entry = partial(self.runner.run_rank, spec)
        launch = Launch(entry, ranks_per_node(hardware), self.workdir, self.deadline, probe_steps, meeting)
        start = time.monotonic()
        with Followers(orders(spec, launch, meeting), self.launcher) as others:
            here = supervise(launch, hardware.host_memory_bytes, watch.watchers, others)
            self.last = ending = conclude([here, *others.ends()])
        timed = ending.status is Status.OK and probe_steps is None
        window = window_of(self.of_this_node(ending)) if timed else (start, time.monotonic())
        shutil.rmtree(self.workdir)
        return Attempt(ending, start, [watch.sight(*window), *others.sights])

    def of_this_node(self, ending: Ending) -> list[RankReport]:
        """The reports whose times are of this node's clock."""
        return ending.reports[: ranks_per_node(self.spec.hardware)]

    def try_batch(self, batch: int) -> Trial:
        """One trial of the search."""
        ending = self.attempt(batch, PROBE_STEPS).ending
        peak = max((report.peak_memory_bytes for report in ending.reports), default=None)
        _LOG.info("trial of batch %d: %s", batch, ending.reason or ending.status)
        return Trial(batch=batch, status=ending.status, phase=ending.phase, peak_memory_bytes=peak)

    def search(self, first: int | None, before: Durations) -> Measurement:
        """Find the largest batch, then measure at it; should that run out of memory, at the next smaller one."""
        start = time.monotonic()
        self.trials = search_max(self.try_batch, first, self.spec.hardware.device_memory_bytes)
        before = before.model_copy(update={"search_s": time.monotonic() - start})
        known = bracket(self.trials)
        if self.last is not None and (known.stopped_by is not None or known.passed == 0):
            where = self.trials[-1].batch
            return Measurement(
                self.last.status, self.last.phase, f"batch {where}: {self.last.reason}", durations=before
            )
        for batch in range(known.passed, 0, -1):
            measurement = self.measure(batch, before)
            if measurement.status is not Status.OOM:
                break
            self.trials.append(Trial(batch=batch, status=Status.OOM, phase=measurement.phase))
        return measurement

    def measure(self, batch: int, before: Durations) -> Measurement:
        """The full measurement at one batch."""
        attempt = self.attempt(batch, None)
        ending, here = attempt.ending, attempt.sights[0]
        notes = {"nodes": [sight.model_dump(mode="json") for sight in attempt.sights]} if attempt.sights[1:] else {}
        measurement = Measurement(
            status=ending.status,
            phase=ending.phase,
            reason=ending.reason,
            durations=before,
            gpus=here.gpus,
            other_processes=here.other_processes,
            notes=self.node.notes | notes,
        )
        if ending.status is not Status.OK:
            return measurement
        peak = max((s.peak_memory_bytes for s in attempt.sights if s.peak_memory_bytes is not None), default=None)
        metrics = summary.training_metrics(self.spec, batch, ending.reports, self.trials, peak)
        seen = {flag: any(sight.doubts()[flag] for sight in attempt.sights) for flag in here.doubts()}
        return replace(
            measurement,
            metrics=metrics,
            flags=summary.flags(metrics, ending.reports, seen),
            durations=summary.durations(self.of_this_node(ending), attempt.start, before),
            samples=summary.raw_samples(ending.reports),
        )


def measure_training(
    spec: PretrainSpec, node: Node, store: Store, workdir: Path, deadline: float, launcher: str
) -> Measurement:
    """Measure a training cell; ``workdir`` is for the reports of its ranks and other nodes, and is removed."""
    if sentence := why_no_others(spec.hardware.n_nodes) or too_few_gpus(spec.hardware, node):
        return Measurement(Status.FAILED, reason=sentence)
    start = time.monotonic()
    runner = load_runner(spec)
    runner.import_libraries(spec)
    imported = time.monotonic()
    runner.prepare(spec)
    before = Durations(imports_s=imported - start, prepare_s=time.monotonic() - imported)
    cell = TrainingCell(spec, runner, workdir, deadline, node, launcher)
    if spec.workload.batch == "max":
        return cell.search(hint(spec, store), before)
    return cell.measure(spec.workload.batch, before)
