"""What follows from the architecture of a GPU, which its name tells, for the memory and speed of training on it."""

from dissect.base.units import MIB
from dissect.cells.spec import Hardware
from dissect.predict.memory import Part

_THREADS = 2
"""Threads that multiply matrices: the rank's own and that of autograd, which runs the backward pass."""
_HOPPER = ("H100", "H200", "H800", "H20", "GH200", "B100", "B200", "GB200")
"""GPUs of compute capability 9 and later, by parts of their drivers' names."""
_FEW_LANES = {"P100", "V100", "T4", "2060", "2070", "2080", "A30", "A100", "A800"}
"""GPUs whose multiprocessors have 64 lanes for fp32, by parts of their drivers' names; other known ones have 128."""


def is_hopper(hardware: Hardware) -> bool:
    """Whether its GPUs are of compute capability 9 or later."""
    return any(word in _HOPPER for word in hardware.gpu_model.split())


def fp32_lanes(hardware: Hardware) -> int:
    """Lanes of a multiprocessor for fp32, which compute its fp32 peak."""
    return 128 if _FEW_LANES.isdisjoint(hardware.gpu_model.replace("-", " ").split()) else 64


def workspaces(hardware: Hardware) -> Part:
    """Workspaces of cuBLAS: one for each thread that multiplies matrices.

    Sizes are those of ``parseChosenWorkspaceSize`` in PyTorch's aten/src/ATen/cuda/CublasHandlePool.cpp.
    """
    size = 32 * MIB if is_hopper(hardware) else 8320 * 2**10
    return Part("cuBLAS workspaces", _THREADS * size, "library", spread=0.5)
