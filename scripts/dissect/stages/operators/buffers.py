"""Operands on the device, in as many copies as it takes to leave no call its own in the cache."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dissect.cells.spec import OperatorSpec
from dissect.machine.device import Device
from dissect.workloads.operator_arithmetic import buffer_sets

if TYPE_CHECKING:
    import torch

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
_NO_CACHE = 32 * 2**20
"""Assumed where the kernel does not say."""


def operand_sets(
    spec: OperatorSpec, device: Device, make: "Callable[[], tuple[torch.Tensor, ...]]", more_bytes: int = 0
) -> "list[tuple[torch.Tensor, ...]]":
    """One set of operands and its copies; ``more_bytes`` is what a call with one set holds beside it."""
    first = make()
    size = sum(tensor.nbytes for tensor in first) + more_bytes
    n_sets = buffer_sets(size, cache_bytes(device), spec.hardware.device_memory_bytes)
    # Copies, since drawing random numbers anew would take longer than measuring.
    copies = [
        tuple(tensor.detach().clone().requires_grad_(tensor.requires_grad) for tensor in first)
        for _ in range(n_sets - 1)
    ]
    return [first, *copies]


def cache_bytes(device: Device) -> int:
    """Size of the last cache before the device's memory: a GPU's L2, a processor's last level."""
    return host_cache_bytes() if device.kind == "cpu" else _l2_bytes(device)


def host_cache_bytes(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """The largest cache of the first core, as Linux reports it (``32768K``)."""
    sizes = [path.read_text().strip() for path in folder.glob("index*/size")]
    return max((int(size[:-1]) * _UNITS[size[-1]] for size in sizes), default=_NO_CACHE)


def _l2_bytes(device: Device) -> int:
    import torch

    return int(torch.cuda.get_device_properties(device.torch_device).L2_cache_size)
