"""A training cell in the parent: prepare once, then fork ranks for one measurement or for the trials of a search."""

import logging
import shutil
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from dissect.cells.spec import PretrainSpec
from dissect.measure import summary
from dissect.measure.hostload import HostLoad
from dissect.measure.launch import Launch
from dissect.measure.measurement import Measurement
from dissect.measure.node import Node
from dissect.measure.nvml import GpuLoad, throttled
from dissect.measure.runner import TrainingRunner, load_runner
from dissect.measure.search import bracket, search_max
from dissect.measure.siblings import hint, with_batch
from dissect.measure.supervise import Ending, supervise, window_of
from dissect.outcome import Flag, Status
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
    end: float
    host: HostLoad | None
    gpu: GpuLoad | None


@dataclass
class TrainingCell:
    """One cell: everything that its attempts share."""

    spec: PretrainSpec
    runner: TrainingRunner
    workdir: Path
    deadline: float
    node: Node
    trials: list[Trial] = field(default_factory=list)
    last: Ending | None = None
    """How the latest attempt ended."""

    def attempt(self, batch: int, probe_steps: int | None) -> Attempt:
        """Fork fresh ranks for this batch and watch them to their end."""
        shutil.rmtree(self.workdir, ignore_errors=True)
        self.workdir.mkdir(parents=True)
        hardware = self.spec.hardware
        gpu = GpuLoad(self.node.gpus) if isinstance(self.node.gpus, list) else None
        host = HostLoad() if hardware.device == "cpu" else None
        entry = partial(self.runner.run_rank, with_batch(self.spec, batch))
        launch = Launch(entry, hardware.n_gpus, self.workdir, self.deadline, probe_steps)
        start = time.monotonic()
        self.last = supervise(launch, hardware.host_memory_bytes, [load for load in (gpu, host) if load is not None])
        shutil.rmtree(self.workdir)
        return Attempt(self.last, start, time.monotonic(), host, gpu)

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
        ending = attempt.ending
        window = window_of(ending.reports) if ending.status is Status.OK else (attempt.start, attempt.end)
        load = attempt.gpu or attempt.host
        others, disturbed = load.others(*window) if load else (f"not seen: {self.node.gpus}", False)
        gpus = attempt.gpu.gpus(*window) if attempt.gpu else str(self.node.gpus)
        measurement = Measurement(
            status=ending.status,
            phase=ending.phase,
            reason=ending.reason,
            durations=before,
            gpus=gpus,
            other_processes=others,
            notes=self.node.notes,
        )
        if ending.status is not Status.OK:
            return measurement
        peak = attempt.gpu.peak_bytes() if attempt.gpu else None
        metrics = summary.training_metrics(self.spec, batch, ending.reports, self.trials, peak)
        seen = {
            Flag.THROTTLED: not isinstance(gpus, str) and throttled(gpus),
            Flag.OTHER_PROCESSES: disturbed,
            Flag.HARDWARE_MISMATCH: self.node.mismatch is not None,
        }
        return replace(
            measurement,
            metrics=metrics,
            flags=summary.flags(metrics, ending.reports, seen),
            durations=summary.durations(ending.reports, attempt.start, before),
            samples=summary.raw_samples(ending.reports),
        )


def measure_training(spec: PretrainSpec, node: Node, store: Store, workdir: Path, deadline: float) -> Measurement:
    """Measure a training cell; ``workdir`` is for the ranks' reports and is removed."""
    if spec.hardware.n_nodes > 1:
        reason = f"the ranks of one node are all that is started here, the spec asks for {spec.hardware.n_nodes} nodes"
        return Measurement(Status.FAILED, reason=reason)
    if sentence := _too_few_gpus(spec, node):
        return Measurement(Status.FAILED, reason=sentence)
    start = time.monotonic()
    runner = load_runner(spec)
    runner.import_libraries(spec)
    imported = time.monotonic()
    runner.prepare(spec)
    before = Durations(imports_s=imported - start, prepare_s=time.monotonic() - imported)
    cell = TrainingCell(spec, runner, workdir, deadline, node)
    if spec.workload.batch == "max":
        return cell.search(hint(spec, store), before)
    return cell.measure(spec.workload.batch, before)


def _too_few_gpus(spec: PretrainSpec, node: Node) -> str | None:
    """Why the cell cannot run here, before anything is imported or compiled; without NVML nobody knows."""
    wanted = spec.hardware.n_gpus // spec.hardware.n_nodes
    if not isinstance(node.gpus, list) or len(node.gpus) >= wanted:
        return None
    return f"the cell needs {wanted} GPUs on this node, NVML finds {len(node.gpus)}"
