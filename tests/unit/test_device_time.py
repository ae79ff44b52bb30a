"""The device time of a step from traces, made by hand as GPUs' would be; times in microseconds."""

from typing import Any

import pytest

from dissect.ranks.device_time import DeviceTimes, device_times, step_trace
from dissect.ranks.trace import parse_trace

GEMM, COPY = "sm90_gemm", "Memcpy HtoD (Pinned -> Device)"
REDUCE, GATHER = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL", "ncclDevKernel_AllGather_RING_LL"


def kernel(name: str, start: float, end: float) -> dict[str, Any]:
    category = "gpu_memcpy" if name == COPY else "kernel"
    return {"ph": "X", "cat": category, "name": name, "pid": 0, "tid": 7, "ts": start, "dur": end - start, "args": {}}


def rank(
    *kernels: tuple[str, float, float],
    base_ns: int = 10**18,
    steps: int = 1,
    in_one_group: bool = True,
    since_us: int = 0,
) -> Any:
    launch = kernel("cudaLaunchKernel", 0, 1e6) | {"cat": "cuda_runtime"}  # the host's own time does not count
    trace = parse_trace([launch, *(kernel(*each) for each in kernels)], base_ns)
    return step_trace(trace, steps, "nccl", in_one_group, base_ns + since_us * 1000)


def microseconds(found: DeviceTimes | None) -> tuple[float, float, float]:
    assert found is not None
    assert found.communication_s is not None
    assert found.wait_s is not None
    return tuple(pytest.approx(s * 1e6) for s in (found.compute_s, found.communication_s, found.wait_s))  # type: ignore[return-value]


def test_overlapping_work_counts_once_and_idle_time_does_not() -> None:
    alone = rank((GEMM, 0, 30), (COPY, 20, 40), (GEMM, 90, 100), steps=2)
    assert microseconds(device_times([alone], on_one_node=True)) == (25, 0, 0)


def test_a_collective_transfers_once_its_last_rank_has_come() -> None:
    early = rank((GEMM, 0, 10), (REDUCE, 10, 100))
    late = rank((GEMM, 0, 70), (REDUCE, 80, 100))
    # Both transfer for 20; the early one waits for 70, which the mean over the ranks halves.
    assert microseconds(device_times([early, late], on_one_node=True)) == (40, 20, 35)


def test_what_ran_before_the_barrier_does_not_count() -> None:
    early = rank((REDUCE, 0, 500), (GEMM, 610, 620), (REDUCE, 620, 640), since_us=600)
    late = rank((REDUCE, 490, 500), (GEMM, 610, 620), (REDUCE, 630, 640), since_us=600)
    assert microseconds(device_times([early, late], on_one_node=True)) == (10, 10, 5)


def test_what_is_computed_meanwhile_is_no_exposed_communication() -> None:
    both = rank((REDUCE, 0, 50), (GEMM, 20, 90))
    assert microseconds(device_times([both, both], on_one_node=True)) == (70, 20, 0)


def test_collectives_are_matched_by_kernel_and_order() -> None:
    one = rank((GEMM, 0, 1), (REDUCE, 10, 20), (GATHER, 30, 45), (REDUCE, 50, 60))
    other = rank((GEMM, 0, 1), (REDUCE, 15, 20), (GATHER, 30, 45), (REDUCE, 58, 60))
    assert microseconds(device_times([one, other], on_one_node=True)) == (1, 5 + 15 + 2, 6.5)


def test_traces_that_begin_at_different_times_are_compared_by_the_clock() -> None:
    early = rank((GEMM, 0, 10), (REDUCE, 10, 100))
    late = rank((GEMM, 0, 20), (REDUCE, 30, 50), base_ns=10**18 + 50_000)
    assert microseconds(device_times([early, late], on_one_node=True)) == (15, 20, 35)


@pytest.mark.parametrize(
    ("ranks", "on_one_node"),
    [
        ([rank((GEMM, 0, 10), (REDUCE, 10, 20))] * 2, False),  # two clocks
        ([rank((GEMM, 0, 10), (REDUCE, 10, 20)), rank((GEMM, 0, 10))], True),  # ranks in different collectives
        ([rank((GEMM, 0, 10), (REDUCE, 10, 20), in_one_group=False)] * 2, True),
    ],
)
def test_where_waiting_cannot_be_told_only_computing_is_known(ranks: list[Any], on_one_node: bool) -> None:
    found = device_times(ranks, on_one_node)
    assert found is not None
    assert found.compute_s == pytest.approx(10e-6)
    assert (found.communication_s, found.wait_s) == (None, None)


def test_without_a_trace_of_every_rank_nothing_is_known() -> None:
    assert device_times([rank((GEMM, 0, 10)), None], on_one_node=True) is None
    assert device_times([rank(), rank()], on_one_node=True) is None, "a profiler that saw no kernel"
