"""NVIDIA's GPUs, the device ``cuda``: the driver by way of NVML, a rank's GPU by way of torch.

NVML is opened in short spells, never across a fork. The measuring process forks ranks, for a search many times; what
a rank would inherit of an open library are files of the driver and locks that belong to another process. CUDA rules
that out, NVML promises nothing. Nothing here imports pynvml or torch before it is called, for the same reason, and for
machines that have neither.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from dissect.machine.clock import Call, Clock
from dissect.machine.gpus import GpuInfo, NoGpus, Read, Reading, Slowdown
from dissect.machine.vendor import Vendor

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

VISIBLE = "CUDA_VISIBLE_DEVICES"
_SLOWING = {
    0x04: Slowdown.POWER_CAP,
    0x08: Slowdown.HARDWARE,
    0x20: Slowdown.THERMAL_BY_DRIVER,
    0x40: Slowdown.THERMAL_BY_HARDWARE,
    0x80: Slowdown.POWER_BRAKE,
}
"""nvmlClocksEventReasons that slow a busy GPU down."""
_PATHS = {0: "same board", 10: "PCIe switch", 20: "PCIe switches", 30: "host bridge", 40: "NUMA node", 50: "system"}
"""nvmlGpuTopologyLevel_t."""
_WORD_BITS = 64
"""Of an unsigned long, in which NVML hands out masks of cores."""
_MAX_HOLD_S = 0.05
_CLOCK_HZ = 2.0e9
"""Of the spinning kernel: a GPU whose clock is slower only spins longer."""


@contextmanager
def opened() -> Iterator[Any]:
    """The ``pynvml`` module, initialised; raises :class:`NoGpus`."""
    try:
        import pynvml
    except ImportError:
        raise NoGpus("no NVML: the nvidia-ml-py package is not installed") from None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NoGpus(f"no NVML: {error}") from None
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def find_gpus() -> list[GpuInfo]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves; raises :class:`NoGpus`."""
    with opened() as nvml:
        handles = _visible_handles(nvml)
        driver = nvml.nvmlSystemGetDriverVersion()
        runtime = _try(nvml, nvml.nvmlSystemGetCudaDriverVersion_v2)
        return [
            GpuInfo(
                index=index,
                name=nvml.nvmlDeviceGetName(handle),
                uuid=nvml.nvmlDeviceGetUUID(handle),
                driver=driver,
                memory_bytes=nvml.nvmlDeviceGetMemoryInfo(handle).total,
                power_limit_w=_watts(_try(nvml, partial(nvml.nvmlDeviceGetEnforcedPowerLimit, handle))),
                links={str(other): _link(nvml, handle, handles[other]) for other in handles if other != index},
                pids=_pids(nvml, handle),
                used_bytes=nvml.nvmlDeviceGetMemoryInfo(handle).used,
                max_sm_clock_mhz=_try(nvml, partial(nvml.nvmlDeviceGetMaxClockInfo, handle, nvml.NVML_CLOCK_SM)),
                compute_capability=_try(nvml, partial(nvml.nvmlDeviceGetCudaComputeCapability, handle)),
                pcie=_pcie(nvml, handle),
                active_links=_active_links(nvml, handle),
                runtime=runtime and (runtime // 1000, runtime % 1000 // 10),
            )
            for index, handle in handles.items()
        ]


def close_nvml() -> None:
    """Close NVML as often as torch and DeepSpeed opened it: they do so when they are imported, and leave it open."""
    try:
        import pynvml
    except ImportError:
        return
    with contextlib.suppress(pynvml.NVMLError):  # the first call that finds it closed
        pynvml.nvmlInit()
        while True:
            pynvml.nvmlShutdown()


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
    return {index: handles[index] for index in visible(os.environ.get(VISIBLE), uuids)}


def _link(nvml: Any, one: Any, other: Any) -> str:
    """How two GPUs reach each other: NVLink with its number of links, else the PCIe path."""
    nvlink = _try(nvml, lambda: nvml.nvmlDeviceGetP2PStatus(one, other, nvml.NVML_P2P_CAPS_INDEX_NVLINK))
    if nvlink == nvml.NVML_P2P_STATUS_OK:
        return f"NVLink x{_active_links(nvml, one)}"
    level = _try(nvml, lambda: nvml.nvmlDeviceGetTopologyCommonAncestor(one, other))
    return "unknown" if level is None else f"PCIe, {_PATHS.get(level, f'level {level}')}"


def _active_links(nvml: Any, handle: Any) -> int:
    """How many NVLinks of a GPU are up."""
    links = range(nvml.NVML_NVLINK_MAX_LINKS)
    return sum(_try(nvml, partial(nvml.nvmlDeviceGetNvLinkState, handle, link)) == 1 for link in links)


def _pcie(nvml: Any, handle: Any) -> tuple[int, int] | None:
    """Generation and lanes of a GPU's slot at most, in which an idle GPU may use fewer."""
    generation = _try(nvml, lambda: nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle))
    lanes = _try(nvml, lambda: nvml.nvmlDeviceGetMaxPcieLinkWidth(handle))
    return (generation, lanes) if generation and lanes else None


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
    """Milliwatts in watts, or millijoules in joules."""
    return None if milliwatts is None else milliwatts / 1000


@contextmanager
def reader(indices: Sequence[int]) -> Iterator[Read]:
    """NVML, open to read these GPUs; raises :class:`NoGpus`."""
    with opened() as nvml:
        handles = {index: nvml.nvmlDeviceGetHandleByIndex(index) for index in indices}
        yield lambda: {index: _read(nvml, handle) for index, handle in handles.items()}


def _read(nvml: Any, handle: Any) -> Reading:
    return Reading(
        at=time.monotonic(),
        power_w=_watts(_try(nvml, lambda: nvml.nvmlDeviceGetPowerUsage(handle))),
        sm_clock_mhz=_try(nvml, lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
        memory_clock_mhz=_try(nvml, lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)),
        temperature_c=_try(nvml, lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
        slowed_by=slowdowns(_try(nvml, lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)) or 0),
        used_bytes=nvml.nvmlDeviceGetMemoryInfo(handle).used,
        pids=_pids(nvml, handle),
        energy_j=_watts(_try(nvml, lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle))),
    )


def slowdowns(reasons: int) -> frozenset[Slowdown]:
    """What a mask of nvmlClocksEventReasons says of a busy GPU."""
    return frozenset(slowdown for bit, slowdown in _SLOWING.items() if reasons & bit)


def cores_in(words: Sequence[int]) -> frozenset[int]:
    """The cores of a bit mask in words of 64 bits, the lowest first."""
    return frozenset(
        _WORD_BITS * place + bit for place, word in enumerate(words) for bit in range(_WORD_BITS) if word >> bit & 1
    )


class CudaDevice:
    """One NVIDIA GPU, that of the rank's ``LOCAL_RANK``."""

    backend: str = "nccl"
    socket_variable: str = "NCCL_SOCKET_IFNAME"
    own_memory: bool = True
    profiler_activity: str | None = "CUDA"

    def __init__(self, local_rank: int) -> None:
        import torch

        torch.cuda.set_device(local_rank)
        self._index, self._is_held = local_rank, False
        self._nvml_handle = _nvml_handle(str(torch.cuda.get_device_properties(local_rank).uuid))

    @property
    def torch_device(self) -> "torch.device":
        """``cuda:<local rank>``."""
        import torch

        return torch.device("cuda", self._index)

    def synchronize(self) -> None:
        """Wait until all streams of the GPU are done."""
        import torch

        torch.cuda.synchronize(self._index)

    def limit_memory(self, budget_bytes: int) -> None:
        """Hold the allocator to a budget below the GPU's memory; the GPU's own memory is a limit as it is.

        The CUDA context and NCCL's buffers, which are there already, count.
        """
        import torch

        total = torch.cuda.get_device_properties(self._index).total_memory
        outside = self.driver_memory_bytes() - torch.cuda.memory_reserved(self._index)
        if (share := allocator_share(budget_bytes, total, outside)) is not None:
            torch.cuda.set_per_process_memory_fraction(share, self._index)
            self._is_held = True

    def is_full(self) -> bool:
        """False: no thread needs memory of the GPU."""
        return False

    def lift_limit(self) -> None:
        """Let the allocator take all of the GPU's memory again, if it was held to less."""
        import torch

        if self._is_held:
            torch.cuda.set_per_process_memory_fraction(1.0, self._index)

    def reset_peak_memory(self) -> None:
        """Reset the caching allocator's peak."""
        import torch

        torch.cuda.reset_peak_memory_stats(self._index)

    def peak_memory_bytes(self) -> int:
        """Peak of the memory that tensors of this rank occupied."""
        import torch

        return int(torch.cuda.max_memory_allocated(self._index))

    def driver_memory_bytes(self) -> int:
        """Bytes in use on the whole GPU: total minus free."""
        import torch

        free, total = torch.cuda.mem_get_info(self._index)
        return int(total - free)

    def energy_j(self) -> float | None:
        """Joules since the driver was loaded; None on GPUs before Volta."""
        if self._nvml_handle is None:
            return None
        import pynvml

        with contextlib.suppress(pynvml.NVMLError):
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(self._nvml_handle)) / 1000
        return None

    def near_cores(self) -> frozenset[int]:
        """Cores of the NUMA node that the GPU hangs on, as NVML knows them; empty without NVML."""
        if self._nvml_handle is None:
            return frozenset()
        import pynvml

        words = -(-(os.cpu_count() or 1) // _WORD_BITS)
        with contextlib.suppress(pynvml.NVMLError):
            return cores_in(pynvml.nvmlDeviceGetCpuAffinity(self._nvml_handle, words))
        return frozenset()

    def empty_cache(self) -> None:
        """Free the memory that the caching allocator holds and no tensor uses."""
        import torch

        torch.cuda.empty_cache()

    def cache_bytes(self) -> int:
        """Bytes of the L2 cache."""
        import torch

        return int(torch.cuda.get_device_properties(self._index).L2_cache_size)

    def clock(self) -> Clock:
        """A clock that uses CUDA events."""
        return CudaClock()


def allocator_share(budget_bytes: int, total_bytes: int, outside_bytes: int) -> float | None:
    """Share of the GPU's memory that the allocator may take; None where the budget is no less than the GPU has.

    ``outside_bytes`` of the budget are taken by others than the allocator. Declared memory may be up to 10 % below what
    the driver finds, and is no budget then.
    """
    if budget_bytes > 0.9 * total_bytes:
        return None
    return max(0.0, (budget_bytes - outside_bytes) / total_bytes)


class CudaClock:
    """Time between two CUDA events of one stream, all queued while the stream is held up."""

    def __init__(self) -> None:
        import torch

        self._start, self._end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._hold_s = 0.001

    def seconds(self, calls: Sequence[Call], lead: Call) -> float:
        """See ``Clock``. How long the stream is held follows from how long the last batch took to queue."""
        import torch

        torch.cuda._sleep(int(self._hold_s * _CLOCK_HZ))
        begin = time.perf_counter()
        lead()
        self._start.record()
        for call in calls:
            call()
        self._end.record()
        queued_s = time.perf_counter() - begin
        self._end.synchronize()
        self._hold_s = min(_MAX_HOLD_S, 1.5 * queued_s)
        return float(self._start.elapsed_time(self._end)) / 1e3


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


VENDOR = Vendor(
    torch_type="cuda",
    open_device=lambda local_rank, _: CudaDevice(local_rank),
    find_gpus=find_gpus,
    reader=reader,
    driver="NVML",
    visible=VISIBLE,
    environment={
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",  # torch.cuda.is_available() without a context: fork stays safe
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # NVML's order
    },
    close_driver=close_nvml,
    device_files="/dev/nvidia",
    idle_threads=r"cuda\d+",
    container_options={"apptainer": ("--nv",), "docker": ("--gpus", "all")},
    out_of_memory=(
        "CUDA out of memory"  # torch, and engines that word it like torch
        "|CUDA error: out of memory|cudaErrorMemoryAllocation"  # any other allocation by way of the CUDA runtime
        r"|Cuda failure (\d+ )?'out of memory'"  # NCCL
        "|(CUBLAS|CUDNN|CUSOLVER|CUSPARSE)_STATUS_ALLOC_FAILED"
    ),
    no_memory_for_kernel=r"(CUDA driver error|Triton Error \[CUDA\]): out of memory|CUDA_ERROR_OUT_OF_MEMORY",
    errors="(CUDA|NCCL) error|CUDA_ERROR_|(CUBLAS|CUDNN)_STATUS_",
    variables=("CUDA_", "NCCL_"),
    distributions=("nvidia-",),
)
