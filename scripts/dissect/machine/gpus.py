"""GPUs, whoever made them: what they are, what they do while the ranks run, and who else uses them."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import fmean
from typing import Protocol, TypeVar

from dissect.machine.suspension import Interval
from dissect.results.result import LEAST_ENERGY_S, Gpu

FULL_CLOCK = 0.95
"""Share of its highest clock from which on a GPU counts as not held back."""
FARTHEST_READING_S = 1.0
"""Seconds from an end of a window to its nearest reading, up to which the energy is that of the window."""


class Look(Protocol):
    """What was seen at one moment."""

    @property
    def at(self) -> float:
        """CLOCK_MONOTONIC."""
        ...


L = TypeVar("L", bound=Look)


class NoGpus(RuntimeError):
    """Why no GPU can be seen here, in words."""


class Slowdown(StrEnum):
    """What slows a busy GPU down; an idle GPU or set clocks are none."""

    POWER_CAP = "power cap"
    HARDWARE = "hardware slowdown"
    THERMAL_BY_DRIVER = "thermal, by the driver"
    THERMAL_BY_HARDWARE = "thermal, by the hardware"
    POWER_BRAKE = "power brake"


@dataclass(frozen=True)
class GpuInfo:
    """What one GPU is, before anything ran on it."""

    index: int
    name: str
    uuid: str
    driver: str
    memory_bytes: int
    power_limit_w: float | None
    links: dict[str, str]
    pids: frozenset[int]
    """Ids of processes that used the GPU before the launch."""
    used_bytes: int = 0
    """Bytes in use before the launch."""
    max_sm_clock_mhz: float | None = None
    compute_capability: tuple[int, int] | None = None
    """Version of what its kernels are compiled for, such as (9, 0)."""
    pcie: tuple[int, int] | None = None
    """Generation and lanes of its PCIe slot."""
    active_links: int = 0
    """NVLinks that are up, to whomever."""
    runtime: tuple[int, int] | None = None
    """Newest version of the vendor's runtime, such as CUDA, that its driver runs."""

    def record(self) -> Gpu:
        """Its record in the provenance, without anything that changes while it works."""
        return Gpu(
            index=self.index,
            name=self.name,
            uuid=self.uuid,
            driver=self.driver,
            memory_bytes=self.memory_bytes,
            power_limit_w=self.power_limit_w,
            mean_power_w=None,
            sm_clock_mhz=None,
            memory_clock_mhz=None,
            temperature_c=None,
            max_sm_clock_mhz=self.max_sm_clock_mhz,
            throttle_reasons=[],
            links=dict(self.links),
        )


@dataclass(frozen=True)
class Reading:
    """What one GPU did at one moment."""

    at: float
    power_w: float | None
    sm_clock_mhz: float | None
    memory_clock_mhz: float | None
    temperature_c: float | None
    slowed_by: frozenset[Slowdown]
    used_bytes: int
    pids: frozenset[int]
    energy_j: float | None = None
    """Since the driver was loaded; None on GPUs without this counter."""


Read = Callable[[], dict[int, Reading]]
"""Reads GPUs now; by index."""
Reader = Callable[[Sequence[int]], AbstractContextManager[Read]]
"""Opens a vendor's driver to read the GPUs of these indices, for as long as the ``with`` block lasts."""


def throttled(gpus: Sequence[Gpu]) -> bool:
    """Whether one was slowed by heat, a power brake or its hardware; its power limit has a flag of its own."""
    return any(reason != Slowdown.POWER_CAP for gpu in gpus for reason in gpu.throttle_reasons)


def power_capped(gpus: Sequence[Gpu]) -> bool:
    """Whether its power limit held one clearly below its highest clock; where that is unknown, whether it held one."""
    return any(
        Slowdown.POWER_CAP in gpu.throttle_reasons
        and (not (gpu.sm_clock_mhz and gpu.max_sm_clock_mhz) or gpu.sm_clock_mhz < FULL_CLOCK * gpu.max_sm_clock_mhz)
        for gpu in gpus
    )


@dataclass
class GpuLoad:
    """A watcher that reads these GPUs, from its first look (after the fork) to :meth:`close`."""

    known: Sequence[GpuInfo]
    reader: Reader
    readings: dict[int, list[Reading]] = field(default_factory=dict)
    own_pids: set[int] = field(default_factory=set)
    _driver: ExitStack = field(default_factory=ExitStack)
    _read: Read | None = None

    def look(self, pids: Sequence[int]) -> None:
        """Take a reading of every GPU."""
        self.own_pids.update(pids)
        self._read = self._read or self._driver.enter_context(self.reader([gpu.index for gpu in self.known]))
        for index, reading in self._read().items():
            self.readings.setdefault(index, []).append(reading)

    def close(self) -> None:
        """Let go of the driver, which must not live across the next fork; what was read stays."""
        self._driver.close()
        self._read = None

    def gpus(self, windows: Sequence[Interval]) -> list[Gpu]:
        """One record per GPU, over the readings of all windows."""
        return [
            _summary(gpu, [r for window in windows for r in within(self.readings.get(gpu.index, []), *window)])
            for gpu in self.known
        ]

    def peak_bytes(self, until: float = math.inf) -> int | None:
        """Largest used memory of any GPU at any reading up to a moment, CLOCK_MONOTONIC."""
        used = [one.used_bytes for readings in self.readings.values() for one in readings if one.at <= until]
        return max(used, default=None)

    def energy_j(self, start: float, end: float) -> float | None:
        """Joules that all GPUs took in the window, by the readings nearest to its ends.

        None without the counter, and where the distance of the readings from the ends counts: for a short window, or if
        something kept the watcher from looking.
        """
        if end - start < LEAST_ENERGY_S:
            return None
        total = 0.0
        for readings in self.readings.values():
            first, last = (min(readings, key=lambda reading: abs(reading.at - at)) for at in (start, end))
            if first.energy_j is None or last.energy_j is None or first.at >= last.at:
                return None
            if max(abs(first.at - start), abs(last.at - end)) > FARTHEST_READING_S:
                return None
            total += (last.energy_j - first.energy_j) * (end - start) / (last.at - first.at)
        return total or None

    def others(self, start: float, end: float) -> tuple[str, bool]:
        """Other processes on the GPUs in the window, in words, and whether there was one."""
        if not self.readings:
            return "not looked at: it ended before the first look at the GPUs", False
        seen = {p for readings in self.readings.values() for r in within(readings, start, end) for p in r.pids}
        before = {pid for gpu in self.known for pid in gpu.pids}
        # In a container with its own process ids the driver may name ours by the host's: then only who was there
        # before us is surely another.
        strangers = seen - self.own_pids if seen & self.own_pids else seen & before
        if not strangers:
            return "no other process on the GPUs during the window", False
        return f"other processes on the GPUs during the window: {sorted(strangers)}", True


def within(looks: Sequence[L], start: float, end: float) -> list[L]:
    """The looks of the window; for a window shorter than the interval the one closest to its middle."""
    inside = [look for look in looks if start <= look.at <= end]
    middle = (start + end) / 2
    return inside or sorted(looks, key=lambda look: abs(look.at - middle))[:1]


def _summary(gpu: GpuInfo, readings: Sequence[Reading]) -> Gpu:
    def known(attribute: str) -> list[float]:
        values = (getattr(reading, attribute) for reading in readings)
        return [float(value) for value in values if value is not None]

    def mean(attribute: str) -> float | None:
        values = known(attribute)
        return fmean(values) if values else None

    slowed_by = {slowdown for reading in readings for slowdown in reading.slowed_by}
    return gpu.record().model_copy(
        update={
            "mean_power_w": mean("power_w"),
            "sm_clock_mhz": mean("sm_clock_mhz"),
            "memory_clock_mhz": mean("memory_clock_mhz"),
            "temperature_c": max(known("temperature_c"), default=None),
            "throttle_reasons": [slowdown.value for slowdown in Slowdown if slowdown in slowed_by],
        }
    )
