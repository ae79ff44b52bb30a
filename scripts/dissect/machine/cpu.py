"""The device ``cpu``: the processor of the machine, without any GPU."""

import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from dissect.machine.clock import Clock, HostClock
from dissect.machine.gpus import NoGpus
from dissect.machine.vendor import Vendor

if TYPE_CHECKING:
    import torch

_KIB = 1024
_THREAD_STACK_BYTES = 8 * _KIB * _KIB
"""What glibc maps for a thread where ``ulimit -s`` is left alone."""
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
_NO_CACHE = 32 * 2**20
"""Bytes of the last-level cache where the kernel does not report it."""


class CpuDevice:
    """The machine's processor, shared by the ranks of the node; memory is the rank's own resident set.

    Ranks are forked, so the pages of the parent's imports are part of every rank's resident set.
    """

    backend: str = "gloo"
    socket_variable: str = "GLOO_SOCKET_IFNAME"
    own_memory: bool = False
    profiler_activity: str | None = None

    def __init__(self, ranks_per_node: int) -> None:
        import torch

        # As torchrun does, but for all the cores: more threads than cores make every step wait for the scheduler.
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // ranks_per_node))

    @property
    def torch_device(self) -> "torch.device":
        """Always ``cpu``."""
        import torch

        return torch.device("cpu")

    def synchronize(self) -> None:
        """Do nothing: no work is queued on a CPU."""

    def limit_memory(self, budget_bytes: int) -> None:
        """Hold data segments and private mappings to what they are now plus the budget: RLIMIT_DATA of setrlimit(2).

        Raises:
            ValueError: the hard limit of this process is lower.
        """
        limit = _status_bytes("VmData") + budget_bytes
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard != resource.RLIM_INFINITY and limit > hard:
            raise ValueError(f"a memory budget of {budget_bytes} bytes needs `ulimit -Hd` of {limit}, it is {hard}")
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))

    def is_full(self) -> bool:
        """Whether the stack of one more thread would be beyond the limit."""
        limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
        return limit != resource.RLIM_INFINITY and limit - _status_bytes("VmData") < _THREAD_STACK_BYTES

    def lift_limit(self) -> None:
        """Restore the hard limit."""
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))

    def reset_peak_memory(self) -> None:
        """Reset the kernel's high-water mark (``VmHWM``) of this process: proc(5), clear_refs."""
        Path("/proc/self/clear_refs").write_text("5")

    def peak_memory_bytes(self) -> int:
        """High-water mark of the resident set."""
        return _status_bytes("VmHWM")

    def driver_memory_bytes(self) -> int:
        """Bytes of the resident set now."""
        return _status_bytes("VmRSS")

    def energy_j(self) -> float | None:
        """None: a CPU's counters need privileges that a measurement should not have."""
        return None

    def near_cores(self) -> frozenset[int]:
        """Empty: the cores are the device."""
        return frozenset()

    def empty_cache(self) -> None:
        """Do nothing: no cache is kept."""

    def cache_bytes(self) -> int:
        """The processor's last level."""
        return host_cache_bytes()

    def clock(self) -> Clock:
        """The host's."""
        return HostClock(self.synchronize)


def host_cache_bytes(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """The largest cache of the first core, as Linux reports it (``32768K``)."""
    sizes = [path.read_text().strip() for path in folder.glob("index*/size")]
    return max((int(size[:-1]) * _UNITS[size[-1]] for size in sizes), default=_NO_CACHE)


def _status_bytes(field: str) -> int:
    """A field of /proc/self/status that is given in kB, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * _KIB
    raise KeyError(f"/proc/self/status has no {field}")


def _no_gpus(*_: object) -> NoReturn:
    raise NoGpus("none is used: the cell runs on the CPU")


VENDOR = Vendor(
    torch_type="cpu",
    open_device=lambda _, ranks_per_node: CpuDevice(ranks_per_node),
    find_gpus=_no_gpus,
    reader=_no_gpus,
)
