"""One launch of the ranks of a cell, and what was seen of the machine meanwhile."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dissect.cells.spec import Hardware
from dissect.measure.hostload import HostLoad
from dissect.measure.launch import Launch
from dissect.measure.measurement import Measurement
from dissect.measure.node import Node
from dissect.measure.nvml import GpuLoad, throttled
from dissect.measure.rank import KEPT, RankEntry
from dissect.measure.supervise import Ending, supervise, window_of
from dissect.outcome import Flag, Status
from dissect.result import Durations


@dataclass(frozen=True)
class Attempt:
    """How it ended, and the watchers that looked."""

    ending: Ending
    start: float
    """When the ranks were forked, CLOCK_MONOTONIC."""
    end: float
    host: HostLoad | None
    gpu: GpuLoad | None
    node: Node
    files: Mapping[str, bytes]
    """What the ranks kept, by name."""

    def measurement(self, before: Durations) -> tuple[Measurement, dict[Flag, bool]]:
        """The outcome without numbers, and which flags the machine raises."""
        ending = self.ending
        window = window_of(ending.reports) if ending.status is Status.OK else (self.start, self.end)
        load = self.gpu or self.host
        others, disturbed = load.others(*window) if load else (f"not seen: {self.node.gpus}", False)
        gpus = self.gpu.gpus(*window) if self.gpu else str(self.node.gpus)
        flags = {
            Flag.THROTTLED: not isinstance(gpus, str) and throttled(gpus),
            Flag.OTHER_PROCESSES: disturbed,
            Flag.HARDWARE_MISMATCH: self.node.mismatch is not None,
        }
        measurement = Measurement(
            status=ending.status,
            phase=ending.phase,
            reason=ending.reason,
            durations=before,
            gpus=gpus,
            other_processes=others,
            notes=self.node.notes,
            files=self.files,
        )
        return measurement, flags


def run_attempt(
    hardware: Hardware, entry: RankEntry, node: Node, workdir: Path, deadline: float, probe_steps: int | None = None
) -> Attempt:
    """Fork fresh ranks and watch them to their end; ``workdir`` is for their reports and is removed."""
    shutil.rmtree(workdir, ignore_errors=True)
    workdir.mkdir(parents=True)
    gpu = GpuLoad(node.gpus) if isinstance(node.gpus, list) else None
    host = HostLoad() if hardware.device == "cpu" else None
    launch = Launch(entry, hardware.n_gpus, workdir, deadline, probe_steps)
    start = time.monotonic()
    ending = supervise(launch, hardware.host_memory_bytes, [load for load in (gpu, host) if load is not None])
    files = {path.name: path.read_bytes() for path in (workdir / KEPT).glob("*")}
    shutil.rmtree(workdir)
    return Attempt(ending, start, time.monotonic(), host, gpu, node, files)


def unfit(hardware: Hardware, node: Node) -> str | None:
    """Why the cell cannot run here, before anything is imported or compiled; without NVML nobody knows."""
    if hardware.n_nodes > 1:
        return f"the ranks of one node are all that is started here, the spec asks for {hardware.n_nodes} nodes"
    if not isinstance(node.gpus, list) or len(node.gpus) >= hardware.n_gpus:
        return None
    return f"the cell needs {hardware.n_gpus} GPUs on this node, NVML finds {len(node.gpus)}"
