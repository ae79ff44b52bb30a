"""Operators without a device: shapes and formulas, the timed loop, and what the parent makes of the ranks' reports."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import factories as make
from dissect.base.outcome import Flag, Phase, Status
from dissect.cells.spec import OperatorSampling
from dissect.cells.study import load_study
from dissect.config.architecture import ModelArchitecture
from dissect.config.kinds import OPERATORS
from dissect.metrics.operators import CollectiveMetrics, CollectivePoint, OperatorPoint
from dissect.ranks.messages import RankReport
from dissect.stages.operators.loop import MAX_CALLS, MIN_SAMPLE_S, OverBudgetError, Ranks, TimedLoop, Work
from dissect.stages.operators.points import PointReport, doubts, points_of, raw_samples
from dissect.workloads.arithmetic import parameter_groups
from dissect.workloads.operator_arithmetic import (
    attention_flops,
    buffer_sets,
    bus_factor,
    elements_per_rank,
    gemm_bytes,
    gemm_flops,
    layer_gemms,
)

LLAMA_70B = make.LLAMA_7B.model_copy(
    update={"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64,
            "num_key_value_heads": 8}
)  # fmt: skip
SAMPLING = OperatorSampling(warmup_min_steps=3, warmup_max_steps=5, min_steps=6, max_steps=12, interval_target=0.01)


def test_a_product_adds_and_multiplies_m_n_k_times() -> None:
    assert gemm_flops(2, 3, 4) == 48
    assert gemm_bytes(2, 3, 4, "bf16") == 2 * (8 + 12 + 6)
    assert gemm_bytes(2, 3, 4, "fp32") == 2 * gemm_bytes(2, 3, 4, "bf16")


@pytest.mark.parametrize(
    ("arch", "products"),
    [(make.LLAMA_7B, ["q/k/v/o", "gate/up", "down", "head"]), (LLAMA_70B, ["q/o", "k/v", "gate/up", "down", "head"])],
)
def test_layers_of_one_shape_are_one_product_and_none_is_lost(arch: ModelArchitecture, products: list[str]) -> None:
    gemms = layer_gemms(arch, 100)
    assert [gemm.product for gemm in gemms] == products
    assert {gemm.m for gemm in gemms} == {100}
    weights = {gemm.product: gemm.n * gemm.k * len(gemm.product.split("/")) for gemm in gemms}
    groups = parameter_groups(arch)
    assert weights.pop("head") == groups.head
    assert arch.num_hidden_layers * sum(weights.values()) == groups.decoder_linear


def test_causal_attention_counts_half_the_square_and_five_products_backward() -> None:
    # 32 heads of 128 over 4096 tokens: two products of 2 x 4096 x 4096 x 128 per head, half of each.
    assert attention_flops(1, 32, 128, 4096, "forward") == 32 * 2 * 4096 * 4096 * 128
    assert attention_flops(2, 32, 128, 4096, "backward") == 5 * attention_flops(1, 32, 128, 4096, "forward")


@pytest.mark.parametrize(
    ("collective", "n_gpus", "factor"),
    [("all_reduce", 2, 1), ("all_reduce", 8, 1.75), ("all_gather", 2, 0.5), ("all_gather", 4, 0.75),
     ("reduce_scatter", 8, 0.875)],
)  # fmt: skip
def test_bus_bandwidth_is_that_of_nccl_tests(collective: str, n_gpus: int, factor: float) -> None:
    assert bus_factor(collective, n_gpus) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("size", "dtype", "n_gpus", "share"), [(1024, "bf16", 4, 128), (1024, "fp32", 3, 85), (1, "fp32", 8, 1)]
)
def test_ranks_share_a_message_equally(size: int, dtype: Any, n_gpus: int, share: int) -> None:
    assert elements_per_rank(size, dtype, n_gpus) == share


@pytest.mark.parametrize(
    ("set_bytes", "cache_bytes", "memory_bytes", "sets"),
    [(30, 50, 10**6, 4), (10**6, 50, 10**9, 1), (30, 50, 240, 2), (10**9, 50, 10, 1), (1, 10**9, 10**12, 1024)],
)
def test_copies_of_operands_exceed_the_cache_but_not_the_memory(
    set_bytes: int, cache_bytes: int, memory_bytes: int, sets: int
) -> None:
    assert buffer_sets(set_bytes, cache_bytes, memory_bytes) == sets


class Scripted:
    """A clock for which the n-th batch of calls takes as long as ``seconds_of`` says; it keeps the batches."""

    def __init__(self, seconds_of: Callable[[int, int], float]) -> None:
        self.batches: list[int] = []
        self.seconds_of, self.now = seconds_of, 0.0

    def seconds(self, calls: Sequence[Callable[[], object]], lead: Callable[[], object]) -> float:
        lead()
        for call in calls:
            call()
        self.batches.append(len(calls))
        took = self.seconds_of(len(self.batches), len(calls))
        self.now += took
        return took


def measured(clock: Scripted, calls: Sequence[Callable[[], object]], budget_s: float = 100.0) -> dict[str, Any]:
    loop = TimedLoop(SAMPLING, Ranks(), lambda: budget_s - clock.now)
    return loop.measure(Work(calls, clock), points_left=1)


def test_a_sample_lasts_long_enough_and_gives_the_time_of_one_call() -> None:
    found = measured(clock := Scripted(lambda _, n: n * 0.0002), [lambda: None])
    assert found["calls_per_sample"] == round(MIN_SAMPLE_S / 0.0002)
    assert found["samples_s"] == pytest.approx([0.0002] * 6)
    assert (found["stopped_by"], found["warmup_settled"], found["buffer_sets"]) == ("interval", True, 1)
    assert clock.batches[-1] == found["calls_per_sample"]


def test_a_batch_of_calls_stays_within_the_queue() -> None:
    assert measured(Scripted(lambda _, n: n * 1e-7), [lambda: None])["calls_per_sample"] == MAX_CALLS
    assert measured(Scripted(lambda _, n: n * 0.02), [lambda: None])["calls_per_sample"] == 1


def test_calls_take_turns_on_their_operands() -> None:
    seen: list[int] = []
    calls = [lambda index=index: seen.append(index) for index in range(3)]
    found = measured(Scripted(lambda _, n: n * 0.003), calls)
    assert found["buffer_sets"] == 3
    last = seen[-9:]
    assert [(b - a) % 3 for a, b in pairwise(last)] == [1] * 8


def test_noise_goes_on_until_the_most_samples() -> None:
    found = measured(Scripted(lambda i, n: n * (0.01 if i % 2 else 0.02)), [lambda: None])
    assert (len(found["samples_s"]), found["stopped_by"]) == (12, "max_steps")


def test_a_window_of_long_calls_ends_by_its_length() -> None:
    clock, slow = Scripted(lambda i, n: n * (1.0 if i % 2 else 2.0)), SAMPLING.model_copy(update={"window_s": 8.0})
    timing = TimedLoop(slow, Ranks(), lambda: 1000.0 - clock.now).measure(Work([lambda: None], clock), points_left=1)
    [found] = points_of(CollectivePoint, [report(0, point(**timing))])
    assert found.timing
    assert (found.timing.stopped_by, found.timing.flags) == ("window", [Flag.UNSTABLE, Flag.INTERVAL_NOT_REACHED])


def test_what_cannot_be_sampled_in_time_says_so_first() -> None:
    clock = Scripted(lambda _, n: n * 5.0)
    with pytest.raises(OverBudgetError, match="a call takes 5 s, too long for 9 calls in the 38 s left"):
        measured(clock, [lambda: None], budget_s=50.0)
    assert clock.batches == [1, 1]
    clock = Scripted(lambda _, n: n * 30.0)
    with pytest.raises(OverBudgetError, match="a call takes 30 s, too long for 9 calls in the 18 s left"):
        measured(clock, [lambda: None], budget_s=50.0)
    assert clock.batches == [1]


def report(rank: int, *points: PointReport) -> RankReport:
    found = {"points": [point.model_dump(mode="json") for point in points]}
    return RankReport(rank=rank, status=Status.OK, findings=found)


def point(samples_s: list[float], **changes: Any) -> PointReport:
    facts = {"size_bytes": 1024, "message_bytes": 1020}
    fields = {"facts": facts, "status": Status.OK, "samples_s": samples_s, "warmup_settled": True}
    return PointReport.model_validate(fields | changes)


def test_a_call_takes_as_long_as_on_its_slowest_rank() -> None:
    reports = [report(0, point([1.0, 2.0, 3.0])), report(1, point([2.0, 1.0, 4.0]))]
    [found] = points_of(CollectivePoint, reports)
    assert (found.size_bytes, found.message_bytes, found.status) == (1024, 1020, Status.OK)
    assert found.timing
    assert (found.timing.call_time_s.median, found.timing.call_time_s.n) == (2.0, 3)
    assert found.timing.flags == [Flag.UNSTABLE]
    assert raw_samples(reports)[2] == {"step": 2, "size_bytes": 1024, "message_bytes": 1020, "seconds": [3.0, 4.0]}


def test_one_rank_that_lost_a_point_loses_it_for_all() -> None:
    lost = point([], status=Status.OOM, phase=Phase.BUILD, reason="CUDA out of memory")
    reports = [report(0, point([1.0] * 6), point([1.0] * 6)), report(1, lost, point([1.0] * 6, stopped_by="budget"))]
    points = points_of(CollectivePoint, reports)
    assert [(p.status, p.phase, p.timing is None) for p in points] == [
        (Status.OOM, Phase.BUILD, True), (Status.OK, None, False),
    ]  # fmt: skip
    raised = doubts(CollectiveMetrics(points=points_of(CollectivePoint, reports[::-1])))
    assert [flag for flag in Flag if raised[flag]] == [Flag.INTERVAL_NOT_REACHED]


def test_a_point_has_a_timing_or_a_reason() -> None:
    with pytest.raises(ValueError, match="expected a timing for status ok"):
        OperatorPoint(status=Status.OK)
    with pytest.raises(ValueError, match="expected a timing for status ok"):
        OperatorPoint(status=Status.OOM)


def test_every_operator_of_the_configuration_is_known_and_of_a_family(project: Path) -> None:
    made = load_study(project, {"suite": "full", "platforms": ["h200-x4"]})
    cells = [cell for name, cells in made.experiments.items() if name.startswith("operators_") for cell in cells]
    assert {(cell.framework, cell.method) for cell in cells} == {
        (family, operator) for family, operators in OPERATORS.items() for operator in operators
    }
    assert {cell.unsupported for cell in cells} == {None, "a collective needs at least two GPUs"}


def test_what_has_no_model_is_measured_once_for_all(project: Path) -> None:
    cells = load_study(project, {"platforms": ["h200-x4"]}).experiments["operators_gemm"]
    assert [(cell.model, cell.method) for cell in cells] == [
        ("llama2-7b", "layers"), ("-", "square"), ("llama2-13b", "layers"), ("llama2-70b", "layers"),
    ]  # fmt: skip


def test_on_a_cpu_the_machine_has_its_own_reasons(project: Path) -> None:
    made = load_study(project, {})
    reasons = {cell.method: cell.unsupported for cell in made.experiments["operators_attention"]}
    assert reasons["sdpa_efficient"] == "sdpa_efficient runs on GPUs only"
    assert [name for name, reason in reasons.items() if reason is None] == ["eager", "sdpa_math", "sdpa_flash"]
    copies = {cell.method: cell.unsupported for cell in made.experiments["operators_memcpy"]}
    assert [name for name, reason in copies.items() if reason is None] == ["host_to_host"]


def test_nvlink_off_is_a_platform(project: Path) -> None:
    cells = load_study(project, {"platforms": ["h200-x4", "h200-no-nvlink"]}).experiments["operators_collectives"]
    keys = {(cell.platform, cell.method, cell.n_gpus): cell.key for cell in cells}
    assert keys["h200-x4", "all_reduce", 4] != keys["h200-no-nvlink", "all_reduce", 4]
