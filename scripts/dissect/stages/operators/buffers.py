"""Operands on the device, in so many copies that no call finds its own in the cache."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from dissect.cells.spec import OperatorSpec
from dissect.machine.device import Device
from dissect.workloads.operator_arithmetic import buffer_sets

if TYPE_CHECKING:
    import torch


def operand_sets(
    spec: OperatorSpec, device: Device, make: "Callable[[], tuple[torch.Tensor, ...]]", more_bytes: int = 0
) -> "list[tuple[torch.Tensor, ...]]":
    """One set of operands and its copies; ``more_bytes`` is the further memory of a call with one set.

    Copies have the shapes, dtypes and values of the first set, and are leaves of autograd.
    """
    first = make()
    size = sum(tensor.nbytes for tensor in first) + more_bytes
    n_sets = buffer_sets(size, device.cache_bytes(), spec.hardware.device_memory_bytes)
    # Copies, since drawing random numbers anew would take longer than measuring.
    copies = [
        tuple(tensor.detach().clone().requires_grad_(tensor.requires_grad) for tensor in first)
        for _ in range(n_sets - 1)
    ]
    return [first, *copies]
