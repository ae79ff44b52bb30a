"""What is observed of one node while its ranks run: its GPUs, or its cores, and who else uses them."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass

from dissect.base.model import Model
from dissect.base.outcome import Flag
from dissect.cells.spec import Hardware
from dissect.machine.gpus import GpuLoad, power_capped, throttled
from dissect.machine.hostload import HostLoad
from dissect.machine.lease import Neighbours
from dissect.machine.node import Node
from dissect.machine.other_jobs import other_jobs
from dissect.machine.suspension import Interval, overlaps
from dissect.machine.vendor import vendor_of
from dissect.results.result import Gpu


class NodeObservation(Model):
    """What was observed of one node in the measured window."""

    name: str
    gpus: list[Gpu] | str
    """One record per GPU, or a sentence why there is none."""
    peak_memory_bytes: int | None
    """Largest used memory of any GPU from the first reading to the end of the window: a trace comes after it."""
    other_processes: str
    """Load by other processes, and other cells on the host, in words."""
    disturbed: bool
    """Whether the load of others is enough for a flag."""
    held: list[str] = []
    """Memory of its GPUs that others had before the launch, in words."""
    neighbours: int
    """GPUs of the host that other cells had meanwhile."""
    jobs: list[str] = []
    """Ids of the other Slurm jobs that ran on the node meanwhile."""
    mismatch: str | None
    """How the node differs from what the platform declares."""
    suspended: bool = False
    """Whether the measuring process was suspended in the window."""

    def doubts(self) -> dict[Flag, bool]:
        """Flag -> whether the machine raises it."""
        gpus = [] if isinstance(self.gpus, str) else self.gpus
        return {
            Flag.THROTTLED: throttled(gpus),
            Flag.POWER_CAPPED: power_capped(gpus),
            Flag.OTHER_PROCESSES: self.disturbed or bool(self.held),
            Flag.NEIGHBOURS: self.neighbours > 0 or bool(self.jobs),
            Flag.SUSPENDED: self.suspended,
            Flag.HARDWARE_MISMATCH: self.mismatch is not None,
        }


@dataclass
class NodeMonitor:
    """The watchers of one node; a new one for every attempt."""

    node: Node
    gpu: GpuLoad | None
    host: HostLoad | None
    neighbours: Neighbours

    @property
    def watchers(self) -> Sequence[GpuLoad | HostLoad | Neighbours]:
        """The watchers that this node has."""
        return [load for load in (self.gpu, self.host, self.neighbours) if load is not None]

    def observe(
        self, start: float, end: float, suspensions: list[Interval], busy: Sequence[Interval] = ()
    ) -> NodeObservation:
        """What they saw between two moments, CLOCK_MONOTONIC.

        Args:
            start: First moment.
            end: Last moment.
            suspensions: Those of the measuring process.
            busy: Parts of that time to which clocks and power are limited; without any, all of it.
        """
        load = self.gpu or self.host
        others, disturbed = load.others(start, end) if load else (f"not seen: {self.node.gpus}", False)
        neighbours, jobs = self.neighbours.most(start, end), other_jobs(start, end)
        words = [others, *(f"before the launch: {sentence}" for sentence in self.node.held)]
        words += [f"other cells had {neighbours} GPUs of this host"] if neighbours else []
        words += [f"Slurm ran {len(jobs)} other jobs on this node"] if jobs else []
        words += ["other Slurm jobs on this node are unknown: squeue gave no answer"] if jobs is None else []
        return NodeObservation(
            name=os.environ.get("SLURMD_NODENAME") or platform.node(),
            gpus=self.gpu.gpus(busy or [(start, end)]) if self.gpu else str(self.node.gpus),
            peak_memory_bytes=self.gpu.peak_bytes(end) if self.gpu else None,
            other_processes="; ".join(words),
            disturbed=disturbed,
            held=list(self.node.held),
            neighbours=neighbours,
            jobs=jobs or [],
            mismatch=self.node.mismatch,
            suspended=overlaps(suspensions, start, end),
        )


def monitor_of(node: Node, hardware: Hardware) -> NodeMonitor:
    """A monitor with the watchers that this hardware needs."""
    gpu = GpuLoad(node.gpus, vendor_of(hardware).reader) if isinstance(node.gpus, list) else None
    neighbours = Neighbours([info.uuid for info in gpu.known] if gpu else [])
    return NodeMonitor(node, gpu, HostLoad() if hardware.device == "cpu" else None, neighbours)
