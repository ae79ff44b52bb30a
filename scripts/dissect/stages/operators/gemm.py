"""Matrix products, as ``torch.nn.Linear`` computes them: activations (m x k) by transposed weights (n x k)."""

from collections.abc import Sequence
from functools import partial

from dissect.cells.spec import OperatorSpec
from dissect.machine.device import Device
from dissect.metrics.operators import GemmMetrics, GemmPoint
from dissect.ranks.messages import RankContext, RankReport
from dissect.stages.operators.buffers import operand_sets
from dissect.stages.operators.loop import Work
from dissect.stages.operators.points import points_of
from dissect.stages.operators.rank import Case, run_operator_rank
from dissect.workloads.dtypes import torch_dtype
from dissect.workloads.operator_arithmetic import Gemm, layer_gemms, square_gemm


def import_libraries(_: OperatorSpec) -> None:
    """Import torch in the parent, before it forks the ranks."""
    import torch  # noqa: F401


def run_rank(spec: OperatorSpec, context: RankContext) -> RankReport:
    """Run one rank of the cell."""
    return run_operator_rank(spec, context, _cases)


def summarise(_: OperatorSpec, reports: list[RankReport]) -> GemmMetrics:
    """The metrics of the cell from the reports of its ranks."""
    return GemmMetrics(points=points_of(GemmPoint, reports))


def _cases(spec: OperatorSpec, device: Device) -> Sequence[Case]:
    return [
        Case({"product": gemm.product, "m": gemm.m, "n": gemm.n, "k": gemm.k}, partial(_work, spec, device, gemm))
        for size in spec.workload.sizes
        for gemm in (layer_gemms(spec.model, size) if spec.model is not None else [square_gemm(size)])
    ]


def _work(spec: OperatorSpec, device: Device, gemm: Gemm) -> Work:
    """Products of random operands; with zeros a GPU draws less power and clocks higher than in training."""
    import torch

    generator = torch.Generator(device.torch_device).manual_seed(spec.workload.seed)
    random = partial(
        torch.randn, generator=generator, device=device.torch_device, dtype=torch_dtype(spec.workload.dtype)
    )

    def operands() -> "tuple[torch.Tensor, ...]":
        return random(gemm.m, gemm.k), random(gemm.n, gemm.k), random(gemm.m, gemm.n)

    sets = operand_sets(spec, device, operands)
    return Work([partial(torch.mm, x, weight.t(), out=out) for x, weight, out in sets], device.clock())
