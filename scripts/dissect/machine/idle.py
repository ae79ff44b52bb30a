"""Idle GPUs: what a server must find before it starts, and leave behind."""

import time
from collections.abc import Callable, Sequence

from dissect.base.units import GIB
from dissect.machine.gpus import GpuInfo

WAIT_S = 120.0
"""What the processes before get to go away, and the driver to free their memory."""
_LOOK_S = 1.0
_SHARE, _LEAST_BYTES = 0.02, GIB
"""The driver keeps some memory for itself: up to the larger of the two is idle."""


def in_the_way(gpu: GpuInfo) -> str | None:
    """Why the GPU is not idle, in words, or None."""
    if gpu.pids:
        return f"GPU {gpu.index}: {', '.join(_process(pid) for pid in sorted(gpu.pids))}"
    if gpu.used_bytes > max(_LEAST_BYTES, _SHARE * gpu.memory_bytes):
        return f"GPU {gpu.index}: {gpu.used_bytes / GIB:.1f} GiB are taken by a process that cannot be seen from here"
    return None


def wait_until_idle(
    wanted: Sequence[GpuInfo], find_gpus: Callable[[], list[GpuInfo]], limit_s: float = WAIT_S
) -> str | None:
    """Wait until these GPUs are idle; returns which process still uses them after ``limit_s``, or None."""
    indices = {gpu.index for gpu in wanted}
    deadline = time.monotonic() + limit_s
    while True:
        busy = [words for gpu in find_gpus() if gpu.index in indices and (words := in_the_way(gpu))]
        if not busy:
            return None
        if time.monotonic() > deadline:
            return "; ".join(busy)
        time.sleep(_LOOK_S)


def _process(pid: int) -> str:
    import psutil

    try:
        command = " ".join(psutil.Process(pid).cmdline())[:80]
    except psutil.Error:
        command = "not to be seen from here"
    return f"process {pid} ({command})"
