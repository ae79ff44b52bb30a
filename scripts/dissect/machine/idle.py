"""Idle GPUs: what a server must find before it starts and leave behind, and what other cells wait for briefly."""

import time
from collections.abc import Callable, Sequence

from dissect.cells.spec import Hardware
from dissect.machine.gpus import GpuInfo
from dissect.machine.node import Node, look_at_node, taken

WAIT_S = 120.0
"""What the processes before get to go away, and the driver to free their memory."""
LEAVING_S = 10.0
"""What they get before a cell that starts regardless."""
_LOOK_S = 1.0


def in_the_way(gpu: GpuInfo, budget_bytes: int) -> str | None:
    """Why the GPU is not idle, in words, or None."""
    if gpu.pids:
        return f"GPU {gpu.index}: {', '.join(_process(pid) for pid in sorted(gpu.pids))}"
    return next((f"{held} by a process that cannot be seen from here" for held in taken([gpu], budget_bytes)), None)


def wait_until_idle(
    wanted: Sequence[GpuInfo], find_gpus: Callable[[], list[GpuInfo]], budget_bytes: int, limit_s: float = WAIT_S
) -> str | None:
    """Wait until these GPUs are idle; returns which process still uses them after ``limit_s``, or None.

    ``budget_bytes`` is what a process may use of each GPU.
    """
    indices = {gpu.index for gpu in wanted}
    deadline = time.monotonic() + limit_s
    while True:
        busy = [words for gpu in find_gpus() if gpu.index in indices and (words := in_the_way(gpu, budget_bytes))]
        if not busy:
            return None
        if time.monotonic() > deadline:
            return "; ".join(busy)
        time.sleep(_LOOK_S)


def look_once_free(hardware: Hardware, limit_s: float = LEAVING_S) -> Node:
    """The node once others have no memory of its GPUs, or as it is after ``limit_s``: those before may be leaving."""
    deadline = time.monotonic() + limit_s
    while (node := look_at_node(hardware)).held and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    return node


def _process(pid: int) -> str:
    import psutil

    try:
        command = " ".join(psutil.Process(pid).cmdline())[:80]
    except psutil.Error:
        command = "not to be seen from here"
    return f"process {pid} ({command})"
