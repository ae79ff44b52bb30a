"""Collectives as ZeRO calls them: NCCL between GPUs, gloo between processes.

all_reduce works in place, all_gather and reduce_scatter out of place. Sizes and bandwidths are those of nccl-tests: a
size is that of the whole array, n ranks' shares of it, whether it is gathered, scattered or reduced.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from dissect.cells.spec import OperatorSpec
from dissect.machine.clock import Call
from dissect.machine.device import Device
from dissect.metrics.operators import CollectiveMetrics, CollectivePoint
from dissect.ranks.messages import RankContext, RankReport
from dissect.stages.operators.loop import Ranks, Work
from dissect.stages.operators.points import points_of
from dissect.stages.operators.rank import Case, WrongResultError, run_operator_rank
from dissect.workloads.dtypes import BYTES, torch_dtype
from dissect.workloads.operator_arithmetic import elements_per_rank

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


class GroupRanks(Ranks):
    """Ranks that agree on rank 0's number by a broadcast."""

    def agree(self, number: int) -> int:
        """Rank 0's number on all ranks."""
        from torch import distributed

        message = _message(number)
        distributed.broadcast(message, src=0)
        return int(message.item())


def import_libraries(_: OperatorSpec) -> None:
    """Import torch in the parent, before it forks the ranks."""
    import torch.distributed  # noqa: F401


def run_rank(spec: OperatorSpec, context: RankContext) -> RankReport:
    """Run one rank of the cell."""
    return run_operator_rank(spec, context, _cases, GroupRanks())


def summarise(_: OperatorSpec, reports: list[RankReport]) -> CollectiveMetrics:
    """The metrics of the cell from the reports of its ranks."""
    return CollectiveMetrics(points=points_of(CollectivePoint, reports))


def _cases(spec: OperatorSpec, device: Device) -> Sequence[Case]:
    n_gpus, dtype = spec.hardware.n_gpus, spec.workload.dtype
    shares = {size: elements_per_rank(size, dtype, n_gpus) for size in spec.workload.sizes}
    return [
        Case({"size_bytes": size, "message_bytes": share * n_gpus * BYTES[dtype]}, partial(_work, spec, device, share))
        for size, share in shares.items()
    ]


def _work(spec: OperatorSpec, device: Device, share: int) -> Work:
    """The collective on its own buffers, after a check that it returns the right numbers.

    Raises:
        WrongResultError: it returns wrong numbers.
    """
    import torch
    from torch import distributed

    n_gpus, rank = spec.hardware.n_gpus, distributed.get_rank()
    counts = {"all_reduce": (n_gpus, 0), "all_gather": (1, n_gpus), "reduce_scatter": (n_gpus, 1)}[spec.operator]
    empty = partial(torch.zeros, device=device.torch_device, dtype=torch_dtype(spec.workload.dtype))
    source, target = _on_all_ranks(lambda: [empty(count * share) for count in counts])
    call = _call(spec.operator, source, target)
    source.fill_(operand_of(spec, rank))
    call()
    result = source if spec.operator == "all_reduce" else target
    if _on_any_rank(not torch.equal(result, right_result(spec, share, result))):
        raise WrongResultError(f"{spec.operator} of {source.numel()} elements returned wrong numbers")
    # Sums of sums would soon overflow.
    source.zero_()
    return Work([call], device.clock(), lead=call)


def _call(operator: str, source: "torch.Tensor", target: "torch.Tensor") -> Call:
    from torch import distributed

    match operator:
        case "all_reduce":
            return partial(distributed.all_reduce, source)
        case "all_gather":
            return partial(distributed.all_gather_into_tensor, target, source)
        case _:
            return partial(distributed.reduce_scatter_tensor, target, source)


def operand_of(spec: OperatorSpec, rank: int) -> int:
    """What a rank fills its operand with: bf16 has all integers up to 256, so sums are exact for up to 170 ranks."""
    return rank % 256 + 1 if spec.operator == "all_gather" else rank % 2 + 1


def right_result(spec: OperatorSpec, share: int, result: "torch.Tensor") -> "torch.Tensor":
    """What a collective makes of the operands: shares of ``share`` elements after each other, or their sum.

    [ranks · share] for all_gather, else of the shape of ``result``; dtype and device are those of ``result``.
    """
    import torch

    given = [operand_of(spec, rank) for rank in range(spec.hardware.n_gpus)]
    if spec.operator == "all_gather":
        return torch.tensor(given, device=result.device, dtype=result.dtype).repeat_interleave(share)
    return torch.full_like(result, sum(given))


def _on_all_ranks(allocate: Callable[[], T]) -> T:
    """The result of ``allocate``, on every rank or on none: a rank without memory would block the others.

    Raises:
        torch.OutOfMemoryError: a rank ran out of memory.
    """
    import torch

    error: Exception | None = None
    try:
        made = allocate()
    except (RuntimeError, MemoryError) as raised:
        error = raised
    if _on_any_rank(error is not None):
        raise error or torch.OutOfMemoryError("another rank ran out of memory")
    return made


def _on_any_rank(here: bool) -> bool:
    from torch import distributed

    message = _message(int(here))
    distributed.all_reduce(message, op=distributed.ReduceOp.MAX)
    return bool(message.item())


def _message(number: int) -> "torch.Tensor":
    """The number as a tensor on the device from which the group's backend sends."""
    import torch
    from torch import distributed

    device = distributed.Backend.backend_capability[distributed.get_backend()][0]
    return torch.tensor([number], dtype=torch.int64, device=device)
