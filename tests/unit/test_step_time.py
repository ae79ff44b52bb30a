"""Predicted step times against numbers worked out by hand, and against every shipped measurement."""

import math
from collections import Counter
from typing import Any

import pandas as pd
import pytest

from dissect.base.outcome import Phase
from dissect.base.units import GIB
from dissect.cells.spec import TrainingSpec
from dissect.predict.curves import (
    ALIGNED,
    LEAST_S,
    MEASURED,
    OF_BANDWIDTH,
    STRIDED,
    Curve,
    Curves,
    Datasheet,
    MeasuredOperator,
)
from dissect.predict.gpu_power import IDLE
from dissect.predict.host_cost import LAUNCH_S, HostCost, MeasuredStep, by_host, host_cost, launch_cost
from dissect.predict.phase_times import BESIDE, HOOK_LAUNCHES, PhaseLimits, step_s, times_of
from dissect.predict.rank_work import HostCopy, Message, Moved, Product, RankWork, total
from dissect.predict.repetition import step_identity
from dissect.predict.step_time import DEVIATIONS, OFF, Pace, TimePrediction, work_of
from dissect.present.tables.predicted_cells import COLUMNS
from dissect.workloads.arithmetic import hardware_flops
from factories import (
    ddp_spec,
    finetune_spec,
    fsdp_spec,
    hardware,
    megatron_spec,
    operator_metrics,
    operator_spec,
    pretrain_spec,
    profile_spec,
)

P = 6_738_415_616
SHEET = Datasheet({"bf16": 1e15}, 4e12, 9e11)
NOTHING = Datasheet({}, None, None)
NO_HOST = HostCost(0.0, 0.0, "nothing")


def work_by_phase(spec: TrainingSpec, batch: int = 1) -> dict[Phase, RankWork]:
    found = work_of(spec, batch)
    assert found is not None
    return dict(found)


def predicted(spec: TrainingSpec, batch: int = 1, host: HostCost = NO_HOST, sheet: Datasheet = SHEET) -> TimePrediction:
    found = Pace([]).predict(spec, batch, sheet, host)
    assert found is not None
    return found


def seconds(prediction: TimePrediction) -> dict[str, float]:
    return {part.name: part.seconds for part in prediction.parts}


@pytest.mark.parametrize(
    "spec",
    [
        *(pretrain_spec(zero_stage=stage, recompute=recompute) for stage in (0, 2, 3) for recompute in (False, True)),
        pretrain_spec(quantization="nf4"),
        *(finetune_spec(quantization=base) for base in ("none", "nf4")),
        *(megatron_spec(tensor_parallel=degree, recompute=again) for degree in (1, 2, 4) for again in (False, True)),
        megatron_spec(recompute_attention=True),
        ddp_spec(),
        fsdp_spec(),
    ],
    ids=lambda spec: f"{spec.framework} {spec.method}",
)
def test_the_products_are_those_of_the_step(spec: TrainingSpec) -> None:
    products = total(work_by_phase(spec, 4).values()).products
    flops = sum(2 * p.number * p.m * p.n * p.k * times for p, times in products.items())
    assert flops * spec.hardware.n_gpus == hardware_flops(spec, 4)


def test_the_kernels_of_a_pass_are_about_those_that_were_counted() -> None:
    # config/references/h200/profile, Z2 and F+Z2: 1487 and 1509 kernels in the forward pass
    for attention, counted in (("eager", 1487), ("flash_attention_2", 1509)):
        work = work_by_phase(profile_spec(hardware(n_gpus=2), zero_stage=2, attention=attention))
        assert work[Phase.FORWARD].launches == pytest.approx(counted, rel=0.05)
        assert work[Phase.BACKWARD].launches > work[Phase.FORWARD].launches


def test_flash_attention_first_looks_for_packed_sequences() -> None:
    # The same profiles count nine kernels of FlashAttention per layer with one sequence, of which one is the attention.
    flash = {batch: _launches(batch, "flash_attention_2") for batch in (1, 2)}
    assert flash[1] - flash[2] == 32 * 5, "with two sequences the sum of three more kernels and the answer are not read"
    assert flash[1] > _launches(1, "eager")


def test_a_checkpoint_of_a_layer_costs_the_host_as_a_fetch_does() -> None:
    plain, again = (work_by_phase(pretrain_spec(recompute=recompute))[Phase.BACKWARD] for recompute in (False, True))
    assert (plain.hooks.total(), again.hooks.total()) == (0, 32)


def _launches(batch: int, attention: str) -> int:
    return work_by_phase(pretrain_spec(attention=attention), batch)[Phase.FORWARD].launches


def test_zero_sends_gradients_and_weights() -> None:
    sent = {stage: _bytes_sent(pretrain_spec(hardware(n_gpus=2), zero_stage=stage)) for stage in (0, 2, 3)}
    assert sent[0] == {("optimizer", "all_reduce"): pytest.approx(2 * P)}, "when all gradients are there"
    assert sent[2] == {("backward", "all_reduce"): pytest.approx(2 * P), ("optimizer", "all_gather"): 2 * P}
    assert sent[3] == {
        ("forward", "all_gather"): 2 * P,
        ("backward", "all_gather"): 2 * P,
        ("backward", "reduce_scatter"): pytest.approx(2 * P),
    }
    again = _bytes_sent(pretrain_spec(hardware(n_gpus=2), zero_stage=3, recompute=True))
    assert again["backward", "all_gather"] == 4 * P
    assert not _bytes_sent(pretrain_spec(hardware(n_gpus=1), zero_stage=3))


def test_zero_gathers_whole_layers_at_once_if_it_is_told_so() -> None:
    sizes = {"reduce_bucket": 10**8, "prefetch": 10**8, "persistence": 10**5, "whole_layers": True}
    two = hardware(n_gpus=2)
    single, whole = (pretrain_spec(two, zero_stage=3, **more) for more in ({}, {"stage3_sizes": sizes}))
    for spec, number in ((single, 291), (whole, 32 + 2)):
        work = work_by_phase(spec)[Phase.FORWARD]
        assert work.hooks.total() == work.messages.total() == number
    assert _bytes_sent(whole)["forward", "all_gather"] == pytest.approx(2 * P)


def _bytes_sent(spec: TrainingSpec) -> dict[tuple[str, str], int]:
    sent: Counter[tuple[str, str]] = Counter()
    for phase, work in work_by_phase(spec).items():
        for message, times in work.messages.items():
            sent[phase.value, message.collective] += message.size * times
    return dict(sent)


def test_tensor_parallel_ranks_add_up_each_sum_twice_per_pass_and_layer() -> None:
    work = work_by_phase(megatron_spec(hardware(n_gpus=2), tensor_parallel=2), 4)
    stream = 2 * 4 * 350 * 4096 * 2  # two ranks' sequences of 350 tokens in bf16
    for phase in (Phase.FORWARD, Phase.BACKWARD):
        assert work[phase].messages == {Message("all_reduce", stream, 2, hidden=False): 2 * 32}
    assert not work[Phase.OPTIMIZER].messages


def test_offloading_copies_gradients_and_weights_and_steps_on_the_host() -> None:
    here, there = (work_by_phase(pretrain_spec(zero_stage=2, offload_optimizer=offloads)) for offloads in (False, True))
    share = -(-P // 4)
    assert there[Phase.OPTIMIZER].copies == {
        HostCopy("device_to_host_pinned", 2 * share): 1,
        HostCopy("host_to_device_pinned", 2 * share): 1,
    }
    assert there[Phase.OPTIMIZER].host_bytes["AdamW"] == 34 * 4 * share
    assert here[Phase.OPTIMIZER].moved
    assert not there[Phase.OPTIMIZER].moved


def test_a_curve_is_straight_on_logarithmic_axes() -> None:
    curve = Curve([(100.0, 2e-5), (10.0, 1e-5), (1000.0, 1e-3)])
    assert [curve.at(size) for size in (1, 10, 2000)] == pytest.approx([1e-5, 1e-5, 2e-3])
    assert curve.at(10**1.5) == pytest.approx(2**0.5 * 1e-5)


def test_measured_operators_come_before_the_datasheet() -> None:
    on, pair = hardware(n_gpus=1), hardware(n_gpus=2)
    gathers = operator_spec("all_gather", pair, sizes=(1024, 4096))
    measured = [
        _measured("layers", on, (64, 128), (1e-4,)),
        _measured("square", on, (64, 65), (1e-5, 4e-5)),
        _measured("device_to_device", on, (1000, 2000), (1e-3, 2e-3)),
        MeasuredOperator(gathers, operator_metrics(gathers, (5e-4, 6e-4))),
    ]
    curves = Curves(measured, SHEET, pair, "bf16")
    work = RankWork()
    work.products[Product(64, 4096, 4096)] += 1
    assert (curves.compute_s(work), curves.origin(work)) == (pytest.approx(1e-4), MEASURED)
    work.products[Product(64, 2048, 4096)] += 2  # half of a known shape
    assert curves.compute_s(work) == pytest.approx(2e-4)
    batched = RankWork()
    batched.products[Product(64, 64, 64, 1)] += 0
    batched.products[Product(16, 16, ALIGNED, 128)] += 1  # as many FLOPs as the square of 64
    assert curves.compute_s(batched) == pytest.approx(1e-5)
    moving = RankWork()
    moving.move(2000)
    moving.move(2000, strided=True)
    assert curves.compute_s(moving) == pytest.approx(2e-3)
    sending = RankWork()
    sending.messages[Message("all_gather", 1024, 2, hidden=True)] += 3
    assert (curves.messages_s(sending, hidden=True), curves.messages_s(sending, hidden=False)) == (1.5e-3, 0)
    sending.messages[Message("all_gather", 1024, 8, hidden=True)] += 1  # on a number of GPUs that was not measured
    assert curves.origin(sending) == "datasheet"
    assert Curves(measured, NOTHING, pair, "bf16").origin(sending) == "unknown"
    other_gpu = Curves(measured, SHEET, hardware("NVIDIA A800", 2), "bf16")
    assert other_gpu.origin(work) == other_gpu.origin(moving) == "datasheet"


def _measured(operator: str, on: Any, sizes: tuple[int, ...], times: tuple[float, ...]) -> MeasuredOperator:
    spec = operator_spec(operator, on, sizes)
    return MeasuredOperator(spec, operator_metrics(spec, times))


def test_a_datasheet_gives_a_time() -> None:
    curves, work = Curves([], SHEET, hardware(), "bf16"), RankWork()
    work.products[Product(8192, 8192, 8192)] += 1
    assert curves.compute_s(work) == pytest.approx(2 * 8192**3 / 0.7e15 + LEAST_S)
    sent = RankWork()
    sent.messages[Message("all_reduce", 10**9, 2, hidden=False)] += 1
    assert curves.messages_s(sent, hidden=False) == pytest.approx(1e9 / (0.7 * 4.5e11) + LEAST_S)


def test_strided_kernels_wait_for_instructions_or_for_memory() -> None:
    size, wide = 10**9, LEAST_S + 1e9 / (OF_BANDWIDTH * 4e12)
    for model, fp32, seconds in (
        ("NVIDIA H200", 1e14, 1e9 / (STRIDED * 1e14)),
        ("NVIDIA A800-SXM4-80GB", 1e13, 1e9 / (STRIDED * 2e13)),
        ("NVIDIA H200", 1e16, wide),
    ):
        curves = Curves([], Datasheet({"fp32": fp32}, 4e12, None), hardware(model), "bf16")
        assert curves.moved_s(Moved(size, strided=True)) == pytest.approx(seconds)
        assert curves.moved_s(Moved(size)) == pytest.approx(wide)


def test_collectives_slow_the_kernels_beside_them() -> None:
    work, curves = RankWork(), Curves([], SHEET, hardware(), "bf16")
    work.move(10**10)
    alone = curves.compute_s(work)
    for size in (10**9, 10**11):
        sent = RankWork(moved=work.moved, messages=Counter({Message("all_reduce", size, 2, hidden=True): 1}))
        times, hidden = times_of({Phase.BACKWARD: sent}, curves)[Phase.BACKWARD], curves.messages_s(sent, hidden=True)
        assert times.compute_s == pytest.approx(alone + BESIDE * min(alone, hidden))
        assert times.exposed_s == pytest.approx(max(0, hidden - times.compute_s))


def test_fused_attention_keeps_its_scores_and_skips_half_before_hopper() -> None:
    narrow = Datasheet({"bf16": 1e15}, 1e9, 9e11)  # would take days to write the scores
    for model, share in (("NVIDIA H200", 1.0), ("NVIDIA A800-SXM4-80GB", 0.5)):
        work = RankWork()
        work.products[Product(2048, 4096, 128, 32, attention=True)] += 1
        seconds = Curves([], narrow, hardware(model), "bf16").compute_s(work)
        assert seconds == pytest.approx(share * 32 * 2 * 2048 * 4096 * 128 / 0.7e15 + LEAST_S)


def test_launches_limit_a_phase_of_which_the_work_is_shorter() -> None:
    times = {
        Phase.FORWARD: PhaseLimits(compute_s=0.01, exposed_s=0, offload_s=0, launches=1000),
        Phase.BACKWARD: PhaseLimits(compute_s=0.08, exposed_s=0.02, offload_s=0, launches=1000),
    }
    assert step_s(times, 0) == pytest.approx(0.11)
    assert step_s(times, 5e-5) == pytest.approx(0.05 + 0.1)
    assert launch_cost(times, 0.15) == pytest.approx(5e-5)
    assert launch_cost(times, 0.12) is None, "launches may limit nothing"


def test_communication_hides_behind_the_kernels_of_its_phase() -> None:
    hides, exposes = (
        seconds(predicted(pretrain_spec(zero_stage=2), batch))["exposed communication"] for batch in (64, 1)
    )
    assert hides < exposes


def test_hosts_cost_is_that_of_the_same_machine_if_it_is_known() -> None:
    def step(cell: str, machine: str, cost: float, model: str = "NVIDIA H200") -> MeasuredStep:
        return MeasuredStep(cell, cell, model, frozenset({machine}), cost)

    known = [step("a", "u", 4e-5), step("b", "u", 6e-5), step("c", "v", 9e-5), step("d", "w", 1.0, "NVIDIA A800")]
    here = host_cost(known, "NVIDIA H200", frozenset({"v", "x"}))
    assert (here.launch_s, here.cells, here.source) == (9e-5, ("c",), "measured cells of this machine")
    away = host_cost(known, "NVIDIA H200", frozenset({"x"}))
    assert away.launch_s == pytest.approx((5e-5 + 9e-5) / 2), "each machine counts once"
    assert away.cells == ("a", "b", "c")
    assert away.spread > here.spread
    unknown = host_cost(known, "NVIDIA H100", frozenset({"u"}))
    assert (unknown.launch_s, unknown.cells) == (LAUNCH_S, ())
    assert unknown.spread > away.spread


def test_steps_with_a_gpu_in_common_are_of_one_host() -> None:
    """Also by way of a step that ran on GPUs of both."""
    known = [MeasuredStep(each, each, "NVIDIA H200", frozenset(each), 1e-5) for each in ("a", "b", "c", "ab")]
    assert sorted(sorted(step.cell for step in host) for host in by_host(known)) == [["a", "ab", "b"], ["c"]]


def test_parts_add_up_and_say_where_they_come_from() -> None:
    host = HostCost(1e-4, 0.1, "measured cells of this machine", ("a", "b"))
    found = predicted(pretrain_spec(hardware(n_gpus=2), zero_stage=3), host=host)
    assert sum(seconds(found).values()) == pytest.approx(found.step_s)
    assert 0 < found.low_s < found.step_s < found.high_s
    assert {part.name: part.origin for part in found.parts}["launch"] == host.source
    assert {part.origin for part in found.parts if part.name != "launch"} == {"datasheet"}
    assert not found.is_busy
    assert found.tokens == 2 * 350
    launches = sum(work.launches for work in work_by_phase(pretrain_spec(hardware(n_gpus=2), zero_stage=3)).values())
    assert found.step_s > 1e-4 * launches, "tensors that are gathered cost more than a launch"
    assert HOOK_LAUNCHES > 1


def test_energy_is_that_of_waiting_and_of_working() -> None:
    idle, busy = (predicted(pretrain_spec(), host=HostCost(cost, 0.1, "")) for cost in (1.0, 0.0))
    assert idle.energy_j(700)[0] == pytest.approx(4 * 700 * IDLE * idle.step_s, rel=0.01)
    middle, low, high = busy.energy_j(700)
    assert middle == pytest.approx(4 * 700 * busy.step_s)
    assert low < middle < high


def test_an_interval_adds_work_and_host_as_squares() -> None:
    busy = predicted(pretrain_spec())
    assert busy.is_busy
    assert busy.high_s - busy.step_s == pytest.approx(DEVIATIONS["busy"] * OFF["datasheet"] * busy.step_s)
    waits = {here: predicted(pretrain_spec(), host=HostCost(1.0, 0.2, "", is_here=here)) for here in (True, False)}
    for here, deviations in ((True, DEVIATIONS["machine"]), (False, DEVIATIONS["elsewhere"])):
        off = math.hypot(deviations * OFF["datasheet"] * waits[here].busy_share, math.exp(deviations * 0.2) - 1)
        assert waits[here].high_s / waits[here].step_s - 1 == pytest.approx(off, rel=1e-3)


def test_what_cannot_be_predicted_is_not() -> None:
    for spec in (
        pretrain_spec(hardware(device="cpu")),
        ddp_spec(compile_layers=True),
        fsdp_spec(compile_layers=True),
        megatron_spec(pipeline_parallel=2),
    ):
        assert work_of(spec, 1) is None
        assert Pace([]).predict(spec, 1, SHEET, NO_HOST) is None
    assert Pace([]).predict(pretrain_spec(), 1, NOTHING, NO_HOST) is None
    offloads = pretrain_spec(zero_stage=2, offload_optimizer=True)
    assert Pace([]).predict(offloads, 1, SHEET, NO_HOST) is None, "no datasheet has copies from pinned memory"


def test_repetitions_of_a_cell_have_one_identity() -> None:
    assert step_identity(pretrain_spec(), 1) == step_identity(profile_spec(), 1)
    others = [
        step_identity(pretrain_spec(), 2),
        step_identity(pretrain_spec(zero_stage=2), 1),
        step_identity(ddp_spec(), 1),
    ]
    assert len({step_identity(pretrain_spec(), 1), *others}) == 4


def test_a_step_is_the_same_on_all_platforms_of_a_machine() -> None:
    of_machine = hardware(n_gpus=2)
    less = {"device_memory_bytes": 24 * GIB, "card_memory_bytes": of_machine.device_memory_bytes}
    for changes in (
        less,
        {"host_memory_bytes": GIB},
        {"interconnect": "PCIe", "environment": {"NCCL_P2P_DISABLE": "1"}},
    ):
        other = of_machine.model_copy(update=changes)
        assert step_identity(pretrain_spec(other), 1) == step_identity(pretrain_spec(of_machine), 1)
    assert step_identity(pretrain_spec(hardware(n_gpus=4)), 1) != step_identity(pretrain_spec(of_machine), 1)


def test_shipped_measurements(shipped_predictions: pd.DataFrame) -> None:
    assert list(shipped_predictions.columns) == list(COLUMNS)
    timed = shipped_predictions[shipped_predictions["step_error"].notna()]
    assert len(timed) >= 72
    busy = 1 - timed["launch_s"] / timed["predicted_step_s"] >= 0.8
    assert timed.loc[busy, "step_error"].abs().median() < 0.05
    assert timed.loc[~busy, "step_error"].abs().median() < 0.1
    assert timed["step_covered"].mean() >= 0.9
    assert timed["elsewhere_covered"].mean() >= 0.9
    assert timed["elsewhere_error"].abs().median() < 0.2
    assert timed["energy_error"].abs().median() < 0.15


def test_no_cell_corrects_itself(shipped_predictions: pd.DataFrame) -> None:
    timed = shipped_predictions[shipped_predictions["corrected_by"].notna()]
    assert len(timed) > 60
    for row in timed.itertuples():
        repeat = f"/{row.model}/{row.framework}/{row.method}/{row.workload}"
        repeats = [cell for cell in row.corrected_by.split(";") if cell.endswith(repeat)]
        # Transformer Engine's layers have other kernels than Megatron-LM's own.
        assert not [cell for cell in repeats if ("-te@" in cell) == ("-te@" in row.platform)]
