"""Parts of the memory of every training process on a GPU, whatever the framework."""

from dissect.base.units import MIB
from dissect.cells.spec import Hardware
from dissect.predict.prediction import Part

_THREADS = 2
"""Threads that multiply matrices: the rank's own and that of autograd, which runs the backward pass."""
_HOPPER = ("H100", "H200", "H800", "H20", "GH200", "B100", "B200", "GB200")
"""GPUs of compute capability 9 and later, by parts of their drivers' names."""


def is_hopper(hardware: Hardware) -> bool:
    """Whether its GPUs are of compute capability 9 or later."""
    return any(word in _HOPPER for word in hardware.gpu_model.split())


def workspaces(hardware: Hardware) -> Part:
    """Workspaces of cuBLAS: one for each thread that multiplies matrices.

    Sizes are those of ``parseChosenWorkspaceSize`` in PyTorch's aten/src/ATen/cuda/CublasHandlePool.cpp.
    """
    size = 32 * MIB if is_hopper(hardware) else 8320 * 2**10
    return Part("cuBLAS workspaces", _THREADS * size, "library", spread=0.5)
