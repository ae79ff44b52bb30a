"""The GPUs as the driver sees them, through NVML: what they are, and what they do while the ranks run.

NVML is opened in short spells, never across a fork. On a machine without it every function says so in words.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean
from typing import Any, TypeVar

from dissect.results.result import Gpu

T = TypeVar("T")

POWER_CAP = "power cap"
SLOWING = {
    0x04: POWER_CAP,
    0x08: "hardware slowdown",
    0x20: "thermal, by the driver",
    0x40: "thermal, by the hardware",
    0x80: "power brake",
}
"""nvmlClocksEventReasons that slow a busy GPU down; an idle GPU or set clocks are none."""

_PATHS = {0: "same board", 10: "PCIe switch", 20: "PCIe switches", 30: "host bridge", 40: "NUMA node", 50: "system"}
"""nvmlGpuTopologyLevel_t."""


class NoNvml(RuntimeError):
    """Why there is no NVML here, in words."""


@dataclass(frozen=True)
class Device:
    """What one GPU is, before anything ran on it."""

    index: int
    name: str
    uuid: str
    driver: str
    memory_bytes: int
    power_limit_w: float | None
    links: dict[str, str]
    pids: frozenset[int]
    """Processes that were on it already."""
    used_bytes: int = 0
    """Memory in use at that time."""

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
    reasons: int
    used_bytes: int
    pids: frozenset[int]
    energy_j: float | None = None
    """Since the driver was loaded; None on GPUs without this counter."""


@contextmanager
def opened() -> Iterator[Any]:
    """The ``pynvml`` module, initialised; raises :class:`NoNvml`."""
    try:
        import pynvml
    except ImportError:
        raise NoNvml("no NVML: the nvidia-ml-py package is not installed") from None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NoNvml(f"no NVML: {error}") from None
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def devices() -> list[Device]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves; raises :class:`NoNvml`."""
    with opened() as nvml:
        handles = _visible_handles(nvml)
        driver = nvml.nvmlSystemGetDriverVersion()
        return [
            Device(
                index=index,
                name=nvml.nvmlDeviceGetName(handle),
                uuid=nvml.nvmlDeviceGetUUID(handle),
                driver=driver,
                memory_bytes=nvml.nvmlDeviceGetMemoryInfo(handle).total,
                power_limit_w=_watts(_try(nvml, partial(nvml.nvmlDeviceGetEnforcedPowerLimit, handle))),
                links={str(other): _link(nvml, handle, handles[other]) for other in handles if other != index},
                pids=_pids(nvml, handle),
                used_bytes=nvml.nvmlDeviceGetMemoryInfo(handle).used,
            )
            for index, handle in handles.items()
        ]


def visible(setting: str | None, uuids: Sequence[str]) -> list[int]:
    """Indices of the GPUs that a CUDA_VISIBLE_DEVICES setting leaves, in its order; like CUDA, stops at a bad entry."""
    if setting is None:
        return list(range(len(uuids)))
    chosen: list[int] = []
    for entry in (part.strip() for part in setting.split(",")):
        matching = [i for i, uuid in enumerate(uuids) if entry and (entry == str(i) or uuid.startswith(entry))]
        if len(matching) != 1:
            break
        chosen += matching
    return chosen


def _visible_handles(nvml: Any) -> dict[int, Any]:
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    uuids = [nvml.nvmlDeviceGetUUID(handle) for handle in handles]
    return {index: handles[index] for index in visible(os.environ.get("CUDA_VISIBLE_DEVICES"), uuids)}


def _link(nvml: Any, one: Any, other: Any) -> str:
    """How two GPUs reach each other: NVLink with its number of links, else the PCIe path."""
    nvlink = _try(nvml, lambda: nvml.nvmlDeviceGetP2PStatus(one, other, nvml.NVML_P2P_CAPS_INDEX_NVLINK))
    if nvlink == nvml.NVML_P2P_STATUS_OK:
        links = range(nvml.NVML_NVLINK_MAX_LINKS)
        states = [_try(nvml, partial(nvml.nvmlDeviceGetNvLinkState, one, link)) for link in links]
        return f"NVLink x{sum(state == 1 for state in states)}"
    level = _try(nvml, lambda: nvml.nvmlDeviceGetTopologyCommonAncestor(one, other))
    return "unknown" if level is None else f"PCIe, {_PATHS.get(level, f'level {level}')}"


def _pids(nvml: Any, handle: Any) -> frozenset[int]:
    running = _try(nvml, lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle)) or []
    return frozenset(process.pid for process in running)


def _try(nvml: Any, call: Callable[[], T]) -> T | None:
    """The call's value, or None where the GPU or driver does not support it."""
    try:
        return call()
    except nvml.NVMLError:
        return None


def _watts(milliwatts: float | None) -> float | None:
    """Also millijoules as joules."""
    return None if milliwatts is None else milliwatts / 1000


def throttled(gpus: Sequence[Gpu]) -> bool:
    """Whether one was slowed by heat, a power brake or its hardware.

    Not by its power limit: dense bf16 products hold an H200 there all the time, so the record is enough.
    """
    return any(reason != POWER_CAP for gpu in gpus for reason in gpu.throttle_reasons)


@dataclass
class GpuLoad:
    """A watcher that reads these GPUs, from its first look (after the fork) to :meth:`close`."""

    known: Sequence[Device]
    readings: dict[int, list[Reading]] = field(default_factory=dict)
    own_pids: set[int] = field(default_factory=set)
    _nvml: ExitStack = field(default_factory=ExitStack)
    _handles: dict[int, Any] = field(default_factory=dict)
    _module: Any = None

    def look(self, pids: Sequence[int]) -> None:
        """Read every GPU now."""
        self.own_pids.update(pids)
        if self._module is None:
            self._module = self._nvml.enter_context(opened())
            self._handles = {d.index: self._module.nvmlDeviceGetHandleByIndex(d.index) for d in self.known}
        for index, handle in self._handles.items():
            self.readings.setdefault(index, []).append(_read(self._module, handle))

    def close(self) -> None:
        """Let go of NVML, which must not live across the next fork; what was read stays."""
        self._nvml.close()

    def gpus(self, start: float, end: float) -> list[Gpu]:
        """One record per GPU, over the readings of the window."""
        return [_summary(device, within(self.readings.get(device.index, []), start, end)) for device in self.known]

    def peak_bytes(self) -> int | None:
        """Largest used memory of any GPU at any reading."""
        used = [reading.used_bytes for readings in self.readings.values() for reading in readings]
        return max(used, default=None)

    def energy_j(self, start: float, end: float) -> float | None:
        """Joules that all GPUs took in the window, by the readings nearest to its ends; None without the counter."""
        total = 0.0
        for readings in self.readings.values():
            first, last = (min(readings, key=lambda reading: abs(reading.at - at)) for at in (start, end))
            if first.energy_j is None or last.energy_j is None or first.at >= last.at:
                return None
            total += (last.energy_j - first.energy_j) * (end - start) / (last.at - first.at)
        return total or None

    def others(self, start: float, end: float) -> tuple[str, bool]:
        """Other processes on the GPUs in the window, in words, and whether there was one."""
        seen = {p for readings in self.readings.values() for r in within(readings, start, end) for p in r.pids}
        before = {pid for device in self.known for pid in device.pids}
        # In a container with its own process ids the driver may name ours by the host's: then only who was there
        # before us is surely another.
        strangers = seen - self.own_pids if seen & self.own_pids else seen & before
        if not strangers:
            return "no other process on the GPUs during the window", False
        return f"other processes on the GPUs during the window: {sorted(strangers)}", True


def _read(nvml: Any, handle: Any) -> Reading:
    return Reading(
        at=time.monotonic(),
        power_w=_watts(_try(nvml, lambda: nvml.nvmlDeviceGetPowerUsage(handle))),
        sm_clock_mhz=_try(nvml, lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
        memory_clock_mhz=_try(nvml, lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)),
        temperature_c=_try(nvml, lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
        reasons=_try(nvml, lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)) or 0,
        used_bytes=nvml.nvmlDeviceGetMemoryInfo(handle).used,
        pids=_pids(nvml, handle),
        energy_j=_watts(_try(nvml, lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle))),
    )


def within(readings: Sequence[Reading], start: float, end: float) -> list[Reading]:
    """The readings of the window; for a window shorter than the interval the one closest to its middle."""
    inside = [reading for reading in readings if start <= reading.at <= end]
    middle = (start + end) / 2
    return inside or sorted(readings, key=lambda reading: abs(reading.at - middle))[:1]


def _summary(device: Device, readings: Sequence[Reading]) -> Gpu:
    def known(attribute: str) -> list[float]:
        values = (getattr(reading, attribute) for reading in readings)
        return [float(value) for value in values if value is not None]

    def mean(attribute: str) -> float | None:
        values = known(attribute)
        return fmean(values) if values else None

    reasons = 0
    for reading in readings:
        reasons |= reading.reasons
    return device.record().model_copy(
        update={
            "mean_power_w": mean("power_w"),
            "sm_clock_mhz": mean("sm_clock_mhz"),
            "memory_clock_mhz": mean("memory_clock_mhz"),
            "temperature_c": max(known("temperature_c"), default=None),
            "throttle_reasons": [name for bit, name in SLOWING.items() if reasons & bit],
        }
    )
