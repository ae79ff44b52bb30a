"""What a launch costs the host, from measured steps whose GPUs wait for their host."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from dissect.predict.phase_times import Times, busy_s, step_s

LAUNCH_S = 55e-6
"""Seconds of host time per kernel, Python and framework included: the median over the shipped cells on H200."""
WITHIN_MACHINE, BETWEEN_MACHINES = 0.16, 0.21
"""Standard deviations of its logarithm, over the cells of a machine and over machines.

Measured: the shipped cells of seventeen hosts with H200 and H100, whose launches cost 34 to 79 microseconds.
"""
WAITS = 0.85
"""A step shows what a launch costs where the work of its GPUs takes a smaller share of it."""


@dataclass(frozen=True)
class MeasuredStep:
    """What a measured cell shows on one machine."""

    cell: str
    """Its readable id."""
    identity: str
    """What it computes on which GPUs: cells of one identity are repetitions."""
    gpu_model: str
    machine: frozenset[str]
    """Identifiers of its GPUs."""
    launch_s: float
    """Seconds per launch with which the step lasts as long as measured."""


@dataclass(frozen=True)
class HostCost:
    """Host time per launch, and what it was taken from."""

    launch_s: float
    """Seconds per launch, Python and framework included."""
    spread: float
    """Standard deviation of the logarithm of what a further cell shows."""
    source: str
    """In words."""
    cells: tuple[str, ...] = ()
    """Cells that show it."""
    is_here: bool = False
    """Whether these ran on the same machine."""


def launch_cost(times: Times, measured_s: float) -> float | None:
    """Seconds per launch with which a step lasts ``measured_s``; None where launches do not limit it."""
    if busy_s(times) > WAITS * measured_s:
        return None
    low, high = 0.0, measured_s
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if step_s(times, middle) < measured_s else (low, middle)
    return high


def host_cost(known: Iterable[MeasuredStep], gpu_model: str, machine: frozenset[str]) -> HostCost:
    """The median over measured cells of the same machine, else over machines of the same GPU; else a constant."""
    same = [each for each in known if each.gpu_model == gpu_model]
    here = [each for each in same if each.machine & machine]
    found = here or same
    if not found:
        return HostCost(LAUNCH_S, 2 * BETWEEN_MACHINES, "a constant, measured with H200")
    cells = tuple(dict.fromkeys(each.cell for each in found))
    spread = math.hypot(WITHIN_MACHINE * math.sqrt(1 + 1 / len(cells)), 0.0 if here else BETWEEN_MACHINES)
    source = "measured cells of this machine" if here else f"measured cells of other machines with {gpu_model}"
    return HostCost(_median(found), spread, source, cells, is_here=bool(here))


def by_host(found: Iterable[MeasuredStep]) -> Sequence[Sequence[MeasuredStep]]:
    """The steps of each host: those with a GPU in common, also by way of others, ran on one."""
    hosts: list[tuple[frozenset[str], list[MeasuredStep]]] = []
    for each in found:
        same = [(gpus, steps) for gpus, steps in hosts if gpus & each.machine]
        others = [(gpus, steps) for gpus, steps in hosts if not gpus & each.machine]
        joined = each.machine.union(*(gpus for gpus, _ in same))
        hosts = [*others, (joined, [*(step for _, steps in same for step in steps), each])]
    return [steps for _, steps in hosts]


def _median(found: Iterable[MeasuredStep]) -> float:
    """The median over hosts of the median over the cells of each."""
    return median(median(each.launch_s for each in host) for host in by_host(found))
