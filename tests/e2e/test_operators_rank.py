"""Real operators on the CPU: torch's products and attention, gloo's collectives between two forked ranks."""

import time
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from dissect.base.outcome import Phase, Status  # noqa: E402
from dissect.cells.runners import runners  # noqa: E402
from dissect.cells.spec import OperatorSampling, OperatorSpec, OperatorWorkload  # noqa: E402
from dissect.ranks.launch import Launch  # noqa: E402
from dissect.ranks.supervise import Ending, conclude, supervise  # noqa: E402
from dissect.stages.operators.collectives import operand_of, right_result  # noqa: E402
from dissect.stages.operators.points import raw_samples  # noqa: E402
from factories import hardware, operator_spec  # noqa: E402
from forked_ranks import TINY  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.torch]

SAMPLING = OperatorSampling(
    warmup_min_steps=2, warmup_max_steps=3, min_steps=6, max_steps=6, interval_target=0.01, budget_s=120.0
)


def tiny(operator: str, sizes: tuple[int, ...], dtype: Any = "fp32", memory: int = 1 << 30) -> OperatorSpec:
    n_ranks = 2 if operator in ("all_reduce", "all_gather", "reduce_scatter") else 1
    on = hardware(n_gpus=n_ranks, device="cpu").model_copy(update={"device_memory_bytes": memory})
    workload = OperatorWorkload(sizes=list(sizes), dtype=dtype)
    spec = operator_spec(operator, on, workload=workload, sampling=SAMPLING)
    return spec.model_copy(update={"model": TINY}) if spec.model else spec


def runner_of(spec: OperatorSpec) -> ModuleType:
    return import_module(runners()[spec.stage, spec.framework].module)


def run(spec: OperatorSpec, budget_s: float = 120.0) -> Ending:
    runner_of(spec).import_libraries(spec)
    with TemporaryDirectory() as folder:
        deadline = time.monotonic() + budget_s
        launch = Launch(partial(runner_of(spec).run_rank, spec), spec.hardware.n_gpus, Path(folder), deadline)
        return conclude([supervise(launch, 1 << 40, [])])


def points(spec: OperatorSpec, ending: Ending) -> list[Any]:
    assert ending.status is Status.OK, ending.reason
    found: list[Any] = runner_of(spec).summarise(spec, ending.reports).points
    for point in found:
        assert (point.timing is None) == (point.status is not Status.OK)
        assert point.timing is None or 0 < point.timing.call_time_s.low <= point.timing.call_time_s.high
    return found


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_products_of_a_model_s_layers(dtype: str) -> None:
    spec = tiny("layers", (16, 17), dtype)
    found = points(spec, ending := run(spec))
    assert [(p.product, p.m, p.n, p.k) for p in found[:5]] == [
        ("q/o", 16, 64, 64), ("k/v", 16, 32, 64), ("gate/up", 16, 176, 64), ("down", 16, 64, 176),
        ("head", 16, 512, 64),
    ]  # fmt: skip
    assert [p.m for p in found[5:]] == [17] * 5
    assert all(p.timing.call_time_s.n == 6 and p.timing.buffer_sets > 1 for p in found)
    assert len(raw_samples(ending.reports)) == 60


def test_one_size_that_does_not_fit_loses_no_other() -> None:
    spec = tiny("square", (64, 20_000, 96), memory=400 << 20)
    small, large, after = points(spec, run(spec))
    assert (small.status, after.status) == (Status.OK, Status.OK)
    assert (large.status, large.phase) == (Status.OOM, Phase.BUILD)
    assert "llocat" in large.reason


def test_a_cell_without_any_number_ends_as_its_points_do() -> None:
    ending = run(tiny("square", (20_000, 30_000), memory=400 << 20))
    assert (ending.status, ending.phase) == (Status.OOM, Phase.BUILD)


def test_copies_within_the_host() -> None:
    spec = tiny("host_to_host", (4096, 1 << 20))
    found = points(spec, run(spec))
    assert [p.size_bytes for p in found] == [4096, 1 << 20]


@pytest.mark.parametrize(
    ("operator", "dtype"),
    [("all_reduce", "bf16"), ("all_reduce", "fp32"), ("all_gather", "bf16"), ("reduce_scatter", "bf16")],
)
def test_collectives_of_two_ranks(operator: str, dtype: str) -> None:
    spec = tiny(operator, (1, 1000, 1 << 18), dtype)
    found = points(spec, ending := run(spec))
    width = 2 if dtype == "bf16" else 4
    assert [p.message_bytes for p in found] == [2 * width, 1000, 1 << 18]
    assert len(ending.reports) == 2
    assert all(len(record["seconds"]) == 2 for record in raw_samples(ending.reports))


@pytest.mark.parametrize("n_ranks", [2, 23, 170])
def test_sums_over_many_ranks_are_exact_in_bf16(n_ranks: int) -> None:
    two = tiny("all_reduce", (8,), "bf16")
    spec = two.model_copy(update={"hardware": hardware(n_gpus=n_ranks, device="cpu")})
    summed = torch.zeros(4, dtype=torch.bfloat16)
    for rank in range(n_ranks):
        summed += operand_of(spec, rank)
    assert torch.equal(summed, right_result(spec, 4, summed))
    assert summed.sum() > 4 * n_ranks


def test_a_message_that_does_not_fit_loses_no_other_on_either_rank() -> None:
    spec = tiny("all_gather", (1024, 1 << 30, 2048), memory=200 << 20)
    first, large, last = points(spec, run(spec))
    assert [p.status for p in (first, large, last)] == [Status.OK, Status.OOM, Status.OK]


@pytest.mark.parametrize("kernel", ["eager", "sdpa_math", "sdpa_flash"])
def test_attention_kernels_forward_and_backward_with_grouped_heads(kernel: str) -> None:
    spec = tiny(kernel, (32, 48), "bf16")
    found = points(spec, run(spec))
    assert [(p.sequence, p.direction) for p in found] == [
        (32, "forward"), (32, "backward"), (48, "forward"), (48, "backward"),
    ]  # fmt: skip
    assert {p.status for p in found} == {Status.OK}


def test_a_kernel_that_cannot_run_here_is_invalid() -> None:
    ending = run(tiny("sdpa_efficient", (32,)))
    assert ending.status is Status.INVALID
    assert "sdpa_efficient" in (ending.reason or "")


@pytest.mark.parametrize("kernel", ["eager", "sdpa_math", "sdpa_flash"])
def test_every_kernel_computes_the_same_attention(kernel: str) -> None:
    from dissect.machine.cpu import CpuDevice
    from dissect.stages.operators.attention import _kernel, _operands
    from dissect.workloads.attention_kernels import only_kernel

    spec, device = tiny(kernel, (24,)), CpuDevice(1)
    q, k, v = (tensor.detach() for tensor in _operands(spec, TINY, device, 24))
    with only_kernel(kernel):
        found = _kernel(spec, TINY, device, 24)(q, k, v)
    scores = q @ k.repeat_interleave(2, 1).transpose(2, 3) / 16**0.5
    masked = scores.masked_fill(torch.ones(24, 24, dtype=torch.bool).triu(1), float("-inf"))
    expected = masked.softmax(-1) @ v.repeat_interleave(2, 1)
    # transformers' eager attention returns [batch, tokens, heads, head size].
    assert torch.allclose(found.transpose(1, 2) if kernel == "eager" else found, expected, atol=1e-5)


def test_flops_of_attention_are_half_of_what_torch_counts_over_the_square() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    from dissect.workloads.operator_arithmetic import attention_flops

    q, k, v = (torch.randn(2, 4, 24, 16, requires_grad=True) for _ in range(3))
    with FlopCounterMode(display=False) as forward:
        scores = torch.matmul(q, k.transpose(2, 3))
        torch.matmul(scores, v)
    assert attention_flops(2, 4, 16, 24, "forward") * 2 == forward.get_total_flops()
