"""One launch of the ranks of a cell, and what was seen of the machine meanwhile."""

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dissect.base.outcome import Flag, Phase, Status
from dissect.cells.spec import Hardware, OperatorSpec, TrainingSpec
from dissect.machine.node import Node, too_few_gpus
from dissect.machine.node_monitor import NodeObservation, monitor_of
from dissect.ranks.launch import Launch, meet_here
from dissect.ranks.measurement import Measurement
from dissect.ranks.messages import KEPT_FILES, RankEntry, RankReport
from dissect.ranks.nodes import Followers, orders, ranks_per_node, why_no_others
from dissect.ranks.supervise import Ending, conclude, supervise, window_of
from dissect.results.result import Durations


@dataclass(frozen=True)
class Attempt:
    """How an attempt ended, and what was seen of each node."""

    ending: Ending
    start: float
    """When the ranks were forked, CLOCK_MONOTONIC."""
    reports_here: list[RankReport]
    """Reports of this node's ranks, whose times are of its clock."""
    observations: list[NodeObservation]
    """What was seen of each node, this one first."""
    uncounted_s: float
    """Seconds that do not count to the budget: other nodes prepared, or the job was suspended."""
    files: Mapping[str, bytes]
    """What the ranks of this node kept, by name."""

    @property
    def gpu_peak_bytes(self) -> int | None:
        """Largest used memory of any GPU, up to the end of the window."""
        peaks = (observation.peak_memory_bytes for observation in self.observations)
        return max((peak for peak in peaks if peak is not None), default=None)

    @property
    def held(self) -> list[str]:
        """Memory of GPUs that others had on any node before the launch, in words."""
        several = len(self.observations) > 1
        return [
            f"{sentence} on {observation.name}" if several else sentence
            for observation in self.observations
            for sentence in observation.held
        ]

    def judged(self, measurement: Measurement) -> Measurement:
        """The measurement that this attempt ended; a failure where it shows no lack of memory.

        A GPU that ran out of memory of which others had a part might have had enough without them.
        """
        others = " and ".join(self.held)
        if not others or measurement.status is not Status.OOM or measurement.phase is Phase.HOST:
            return measurement
        return replace(measurement, status=Status.FAILED, reason=f"{measurement.reason}; before the launch: {others}")

    def measurement(self, before: Durations) -> tuple[Measurement, dict[Flag, bool]]:
        """The outcome without numbers, and which flags the machine raises."""
        here, *elsewhere = self.observations
        notes: dict[str, Any] = {"hardware_mismatch": here.mismatch} if here.mismatch else {}
        if elsewhere:
            notes["nodes"] = [observation.model_dump(mode="json") for observation in self.observations]
        measurement = Measurement(
            status=self.ending.status,
            phase=self.ending.phase,
            reason=self.ending.reason,
            durations=before,
            gpus=here.gpus,
            other_processes=here.other_processes,
            notes=notes,
            files=self.files,
            anchors=[report.anchor for report in self.reports_here if report.anchor],
        )
        return measurement, {
            flag: any(observation.doubts()[flag] for observation in self.observations) for flag in here.doubts()
        }


def run_attempt(
    spec: TrainingSpec | OperatorSpec,
    entry: RankEntry,
    node: Node,
    workdir: Path,
    deadline: float,
    launcher: str,
    probe_steps: int | None = None,
) -> Attempt:
    """Start fresh ranks on all nodes and watch them to their end; ``workdir`` is for reports and is removed."""
    hardware = spec.hardware
    watch, meeting, count = monitor_of(node, hardware), meet_here(hardware.n_gpus), ranks_per_node(hardware)
    with _own_folder(workdir) as folder:
        with Followers(orders(spec, folder, probe_steps, meeting), launcher) as others:
            waited_s = others.wait_until_ready()
            launch = Launch(entry, count, folder, deadline + waited_s, probe_steps, meeting)
            others.release(launch.deadline)
            start = time.monotonic()
            here = supervise(launch, hardware.host_memory_bytes, watch.watchers, others)
            ending = conclude([here, *others.ends()])
        files = {path.name: path.read_bytes() for path in (folder / KEPT_FILES).glob("*")}
    timed = ending.status is Status.OK and probe_steps is None
    window = window_of(ending.reports[:count]) if timed else (start, time.monotonic())
    observations = [watch.observe(*window, here.suspensions), *others.observations]
    uncounted_s = waited_s + sum(until - since for since, until in here.suspensions)
    return Attempt(ending, start, ending.reports[:count], observations, uncounted_s, files)


@contextmanager
def _own_folder(workdir: Path) -> Iterator[Path]:
    """An empty folder below ``workdir``, which is removed in the end, also if the attempt is interrupted.

    A shared file system may show and keep the files of another node for a while after they were removed.
    """
    shutil.rmtree(workdir, ignore_errors=True)
    workdir.mkdir(parents=True, exist_ok=True)
    try:
        yield Path(tempfile.mkdtemp(dir=workdir, prefix="attempt-"))
    finally:
        shutil.rmtree(workdir, ignore_errors=True)


def unfit(hardware: Hardware, node: Node) -> str | None:
    """Why the cell cannot run here, before anything is imported or compiled."""
    return why_no_others(hardware.n_nodes) or too_few_gpus(hardware, node)
