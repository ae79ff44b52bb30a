"""Parts of the memory of every training process on a GPU, whatever the framework."""

from dissect.base.units import MIB
from dissect.cells.spec import Hardware
from dissect.predict.prediction import Part

_THREADS = 2
"""Threads that multiply matrices: the rank's own and that of autograd, which runs the backward pass."""
_HOPPER = ("H100", "H200", "H800", "H20", "GH200", "B100", "B200", "GB200")
"""GPUs of compute capability 9 and later, by parts of their drivers' names."""
_FEW_LANES = ("A100", "A800", "V100")
"""GPUs whose multiprocessors have 64 lanes for fp32; the others have 128, with as many for integers as these."""


def is_hopper(hardware: Hardware) -> bool:
    """Whether its GPUs are of compute capability 9 or later."""
    return any(word in _HOPPER for word in hardware.gpu_model.split())


def fp32_lanes(hardware: Hardware) -> int:
    """Lanes of a multiprocessor for fp32, which compute its fp32 peak."""
    return 64 if any(word in hardware.gpu_model for word in _FEW_LANES) else 128


def workspaces(hardware: Hardware) -> Part:
    """Workspaces of cuBLAS: one for each thread that multiplies matrices.

    Sizes are those of ``parseChosenWorkspaceSize`` in PyTorch's aten/src/ATen/cuda/CublasHandlePool.cpp.
    """
    size = 32 * MIB if is_hopper(hardware) else 8320 * 2**10
    return Part("cuBLAS workspaces", _THREADS * size, "library", spread=0.5)
