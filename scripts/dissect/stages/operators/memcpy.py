"""Copies between host and device memory, pinned or pageable, and within each."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from dissect.cells.spec import OperatorSpec
from dissect.machine.clock import HostClock
from dissect.machine.cpu import host_cache_bytes
from dissect.machine.device import Device
from dissect.metrics.operators import MemcpyMetrics, MemcpyPoint
from dissect.ranks.messages import RankContext, RankReport
from dissect.stages.operators.loop import Work
from dissect.stages.operators.points import points_of
from dissect.stages.operators.rank import Case, run_operator_rank
from dissect.workloads.operator_arithmetic import buffer_sets

if TYPE_CHECKING:
    import torch


def import_libraries(_: OperatorSpec) -> None:
    """Import torch in the parent, before it forks the ranks."""
    import torch  # noqa: F401


def run_rank(spec: OperatorSpec, context: RankContext) -> RankReport:
    """Run one rank of the cell."""
    return run_operator_rank(spec, context, _cases)


def summarise(_: OperatorSpec, reports: list[RankReport]) -> MemcpyMetrics:
    """The metrics of the cell from the reports of its ranks."""
    return MemcpyMetrics(points=points_of(MemcpyPoint, reports))


def _cases(spec: OperatorSpec, device: Device) -> Sequence[Case]:
    return [Case({"size_bytes": size}, partial(_work, spec, device, size)) for size in spec.workload.sizes]


def _work(spec: OperatorSpec, device: Device, size: int) -> Work:
    """One copy per pair of buffers.

    CUDA copies pageable memory by way of the host, so that is timed from the host; the rest runs on the device alone.
    """
    source, _, rest = spec.operator.partition("_to_")
    target, _, memory = rest.partition("_")
    memory_bytes = min(spec.hardware.device_memory_bytes, spec.hardware.host_memory_bytes)
    n_sets = buffer_sets(2 * size, max(device.cache_bytes(), host_cache_bytes()), memory_bytes)
    pairs = zip(*(_buffers(kind, memory == "pinned", n_sets, size, device) for kind in (target, source)), strict=True)
    by_device = memory == "pinned" or spec.operator == "device_to_device"
    clock = device.clock() if by_device else HostClock(device.synchronize)
    return Work([partial(to.copy_, from_, non_blocking=by_device) for to, from_ in pairs], clock)


def _buffers(kind: str, pinned: bool, n_sets: int, size: int, device: Device) -> "tuple[torch.Tensor, ...]":
    """``n_sets`` buffers in one allocation, each page written to; unwritten pages would share a single one of zeros."""
    import torch

    on_host = kind == "host"
    place = torch.device("cpu") if on_host else device.torch_device
    whole = torch.empty(n_sets * size, dtype=torch.uint8, device=place, pin_memory=pinned and on_host)
    buffers: tuple[torch.Tensor, ...] = whole.fill_(1).split(size)
    return buffers
