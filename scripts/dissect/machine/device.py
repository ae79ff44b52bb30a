"""What the measuring code needs of the device that a rank computes on; each vendor's module has a class for it."""

from typing import TYPE_CHECKING, Protocol

from dissect.machine.clock import Clock

if TYPE_CHECKING:
    import torch


class Device(Protocol):
    """The device of one rank. Bytes and joules; ``None`` where the device cannot say."""

    backend: str
    """Of torch.distributed, for collectives between such devices."""
    socket_variable: str
    """Environment variable that names the network interface of this backend."""
    own_memory: bool
    """Whether its memory is apart from the host's."""
    profiler_activity: str | None
    """Name in ``torch.profiler.ProfilerActivity`` of what it computes; None: a trace has the host's operators only."""

    @property
    def torch_device(self) -> "torch.device":
        """The device on which the rank's tensors live."""
        ...

    def synchronize(self) -> None:
        """Wait until all that was queued is done."""
        ...

    def limit_memory(self, budget_bytes: int) -> None:
        """From here on let allocations beyond the budget fail, where the device itself has no such limit.

        Raises:
            ValueError: the system does not let this process have so much.
        """
        ...

    def is_full(self) -> bool:
        """Whether so little is left under the limit that not even a thread can start."""
        ...

    def lift_limit(self) -> None:
        """Undo ``limit_memory``, so that a rank which ran out of memory can still report it."""
        ...

    def reset_peak_memory(self) -> None:
        """Start the measurement of the peak anew."""
        ...

    def peak_memory_bytes(self) -> int:
        """Largest use by this rank since the reset."""
        ...

    def driver_memory_bytes(self) -> int:
        """Memory in use now as the driver sees it, by whomever."""
        ...

    def energy_j(self) -> float | None:
        """Reading of the device's accumulating energy counter."""
        ...

    def near_cores(self) -> frozenset[int]:
        """The host's cores that reach the device by the shortest way; empty where none are nearer than others."""
        ...

    def empty_cache(self) -> None:
        """Give back the memory that the framework keeps for later allocations."""
        ...

    def cache_bytes(self) -> int:
        """Size of the last cache before the device's memory."""
        ...

    def clock(self) -> Clock:
        """The clock of what the device itself computes."""
        ...
