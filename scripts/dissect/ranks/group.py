"""The process group of the ranks of one cell, by way of torch.distributed alone."""

import os
from datetime import timedelta

from dissect.machine.device import Device

_LEAST_TIMEOUT_S = 60.0


def join_process_group(device: Device, n_nodes: int, seconds_left: float) -> None:
    """Form the group of all ranks and pass one message through it; returns when that worked.

    Reads RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, as torchrun sets them. On one node all traffic that needs an
    address stays on the loopback interface, whatever the host's name resolves to. No collective waits longer than
    the budget. Raises ``RuntimeError`` if a rank is missing.
    """
    import torch
    from torch import distributed

    if n_nodes == 1:
        for name in ("GLOO_SOCKET_IFNAME", device.socket_variable):
            os.environ.setdefault(name, "lo")
    distributed.init_process_group(device.backend, timeout=timedelta(seconds=max(_LEAST_TIMEOUT_S, seconds_left)))
    present = torch.ones(1, device=device.torch_device)
    distributed.all_reduce(present)
    if int(present.item()) != distributed.get_world_size():
        raise RuntimeError(f"{int(present.item())} of {distributed.get_world_size()} ranks answered")


def leave_process_group() -> None:
    """Wait for the other ranks, then take the group down, so that none of them sees a closed connection."""
    from torch import distributed

    distributed.barrier()
    distributed.destroy_process_group()
