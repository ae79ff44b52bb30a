"""The device that a rank computes on: one interface, one class per kind."""

import contextlib
import errno
import os
import re
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import torch

_KIB = 1024

# What allocators and the libraries on top of them say when memory ran out, as seen in their sources.
_DEVICE_MEMORY = re.compile(
    r"out of memory. Tried to allocate"  # torch's caching allocator
    r"|CUDA error: out of memory"  # any other allocation by way of the CUDA runtime
    r"|Cuda failure (\d+ )?'out of memory'"  # NCCL
    r"|(CUBLAS|CUDNN|CUSOLVER|CUSPARSE)_STATUS_ALLOC_FAILED"
)
_HOST_MEMORY = re.compile(
    r"DefaultCPUAllocator: (can't allocate memory|not enough memory)"
    r"|std::bad_alloc"
    r"|Cannot allocate memory"  # ENOMEM as C libraries word it
)
_NO_THREAD = re.compile(r"^(Resource temporarily unavailable|can't start new thread)")  # EAGAIN of C++, and Python's
_THREAD_STACK_BYTES = 8 * _KIB * _KIB
"""What glibc maps for a thread where ``ulimit -s`` is left alone."""


class Device(Protocol):
    """What the measuring code needs of a device. Bytes and joules; ``None`` where the device cannot say."""

    kind: Literal["cpu", "cuda"]
    backend: Literal["gloo", "nccl"]

    @property
    def torch_device(self) -> "torch.device":
        """The device on which the rank's tensors live."""
        ...

    def synchronize(self) -> None:
        """Wait until all that was queued is done."""
        ...

    def limit_memory(self, budget_bytes: int) -> None:
        """From here on let allocations beyond the budget fail, where the device itself has no such limit."""
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


class CpuDevice:
    """The machine's processor, shared by the ranks of the node; memory is the rank's own resident set.

    Ranks are forked, so the pages of the parent's imports are part of every rank's resident set.
    """

    kind: Literal["cpu", "cuda"] = "cpu"
    backend: Literal["gloo", "nccl"] = "gloo"

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
        """Nothing is queued on a CPU."""

    def limit_memory(self, budget_bytes: int) -> None:
        """Hold data segments and private mappings to what they are now plus the budget."""
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
        """Back to the hard limit."""
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))

    def reset_peak_memory(self) -> None:
        """Reset the kernel's high-water mark (``VmHWM``) of this process: proc(5), clear_refs."""
        Path("/proc/self/clear_refs").write_text("5")

    def peak_memory_bytes(self) -> int:
        """High-water mark of the resident set."""
        return _status_bytes("VmHWM")

    def driver_memory_bytes(self) -> int:
        """The resident set now."""
        return _status_bytes("VmRSS")

    def energy_j(self) -> float | None:
        """None: a CPU's counters need privileges that a measurement should not have."""
        return None


class CudaDevice:
    """One NVIDIA GPU, that of the rank's ``LOCAL_RANK``."""

    kind: Literal["cpu", "cuda"] = "cuda"
    backend: Literal["gloo", "nccl"] = "nccl"

    def __init__(self, local_rank: int) -> None:
        import torch

        torch.cuda.set_device(local_rank)
        self._index = local_rank
        self._nvml_handle = _nvml_handle(str(torch.cuda.get_device_properties(local_rank).uuid))

    @property
    def torch_device(self) -> "torch.device":
        """``cuda:<local rank>``."""
        import torch

        return torch.device("cuda", self._index)

    def synchronize(self) -> None:
        """Wait for all streams."""
        import torch

        torch.cuda.synchronize(self._index)

    def limit_memory(self, budget_bytes: int) -> None:
        """The GPU's own memory is the limit."""

    def is_full(self) -> bool:
        """No limit, so never."""
        return False

    def lift_limit(self) -> None:
        """Nothing was limited."""

    def reset_peak_memory(self) -> None:
        """Reset the caching allocator's peak."""
        import torch

        torch.cuda.reset_peak_memory_stats(self._index)

    def peak_memory_bytes(self) -> int:
        """Peak of the memory that tensors of this rank occupied."""
        import torch

        return int(torch.cuda.max_memory_allocated(self._index))

    def driver_memory_bytes(self) -> int:
        """Total minus free of the whole GPU."""
        import torch

        free, total = torch.cuda.mem_get_info(self._index)
        return int(total - free)

    def energy_j(self) -> float | None:
        """Since the driver was loaded; Volta and newer."""
        if self._nvml_handle is None:
            return None
        import pynvml

        with contextlib.suppress(pynvml.NVMLError):
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(self._nvml_handle)) / 1000
        return None


def open_device(kind: Literal["cpu", "cuda"], local_rank: int, ranks_per_node: int) -> Device:
    """The device of this rank; must be called in the rank itself, since CUDA does not survive a fork."""
    return CpuDevice(ranks_per_node) if kind == "cpu" else CudaDevice(local_rank)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error``, or the error that it was raised from, means that memory ran out and nothing else."""
    if is_host_out_of_memory(error) or _is_torch_out_of_memory(error) or _DEVICE_MEMORY.search(str(error)):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)


def is_host_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory of the host, not of a GPU, ran out."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError) and _HOST_MEMORY.search(str(error)) is not None


def is_thread_failure(error: BaseException) -> bool:
    """Whether ``error`` says that a thread could not start: for want of memory, or else of threads."""
    return isinstance(error, RuntimeError) and _NO_THREAD.search(str(error)) is not None


def _is_torch_out_of_memory(error: BaseException) -> bool:
    """By name, so that it is known without importing torch."""
    return any(base.__name__ == "OutOfMemoryError" for base in type(error).__mro__)


def _status_bytes(field: str) -> int:
    """A field of /proc/self/status that is given in kB, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * _KIB
    raise KeyError(f"/proc/self/status has no {field}")


def _nvml_handle(uuid: str) -> Any | None:
    """NVML's handle of the GPU with this UUID (NVML knows nothing of CUDA_VISIBLE_DEVICES); None without NVML."""
    try:
        import pynvml
    except ImportError:
        return None
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    return None
