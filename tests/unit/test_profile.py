"""From traces to the numbers of a profile: one made by hand as a GPU's would be, one recorded on a CPU."""

import json
from pathlib import Path
from typing import Any

import pytest

from dissect.base.outcome import Phase
from dissect.metrics.profile import Dissection, PartTime, PhaseTimes
from dissect.ranks.trace import parse_trace, read_trace
from dissect.stages.profile.attribution import is_autograd_node, is_communication
from dissect.stages.profile.dissection import IncompleteProfileError, check_complete, dissect, kernel_table
from dissect.stages.profile.range_names import STEP, phase_range, region_range
from goldens import check_golden

RECORDED = Path(__file__).parents[1] / "golden" / "profile" / "trace.json.gz"
MAIN, AUTOGRAD = 11, 12
COMPUTE, NCCL, SIDE = 7, 20, 21
NODE = "autograd::engine::evaluate_function: "

Event = dict[str, Any]


def host(name: str, start: float, end: float, cat: str = "cpu_op", tid: int = MAIN, **args: Any) -> Event:
    shown = {key.replace("_", " "): value for key, value in args.items()}
    return {"ph": "X", "cat": cat, "name": name, "pid": 1, "tid": tid, "ts": start, "dur": end - start, "args": shown}


def around(name: str, start: float, end: float, tid: int = MAIN) -> Event:
    return host(name, start, end, "user_annotation", tid)


def launch(correlation: int, at: float, tid: int = MAIN, cat: str = "cuda_runtime") -> Event:
    return host("cudaLaunchKernel", at, at + 0.5, cat, tid, correlation=correlation)


def kernel(name: str, correlation: int, start: float, end: float, stream: int = COMPUTE, **args: Any) -> Event:
    ids = {"correlation": correlation, "stream": stream, **{key.replace("_", " "): v for key, v in args.items()}}
    return {
        "ph": "X",
        "cat": "kernel",
        "name": name,
        "pid": 0,
        "tid": stream,
        "ts": start,
        "dur": end - start,
        "args": ids,
    }


def node(name: str, start: float, end: float, number: int) -> list[Event]:
    ids = {"Sequence_number": number, "Fwd_thread_id": 1}
    return [
        host(NODE + name, start, end, tid=AUTOGRAD, **ids),
        host(name, start + 0.5, end - 0.5, tid=AUTOGRAD, **ids),
    ]


# The host is through with the step long before the device; times in microseconds.
FORWARD = [
    around(phase_range(Phase.FORWARD), 10, 100),
    around(region_range("causal_model"), 12, 98),
    around(region_range("decoder_layer"), 20, 80),
    around(region_range("attention"), 21, 60),
    around(region_range("qkv"), 22, 30),
    host("aten::linear", 23, 29, Sequence_number=5),
    host("aten::t", 23.5, 24, Sequence_number=5),
    host("aten::mm", 25, 28, Sequence_number=6),
    launch(1, 26),
    kernel("gemm", 1, 200, 240),
    around(region_range("attention_function"), 32, 50),
    host("aten::matmul", 33, 36, Sequence_number=7),
    launch(2, 34),
    kernel("gemm", 2, 240, 250),
    host("aten::add", 37, 38, Sequence_number=8),
    launch(3, 37.2),
    kernel("add", 3, 250, 254),
    host("aten::softmax", 39, 41, Sequence_number=9),
    launch(4, 40),
    kernel("softmax", 4, 254, 260),
    host("aten::matmul", 42, 45, Sequence_number=10),
    launch(5, 43),
    kernel("gemm", 5, 260, 270),
    host("aten::add", 70, 72, Sequence_number=11),  # the layer's own: the residual
    launch(6, 71),
    kernel("add", 6, 270, 275),
]
BACKWARD = [
    around(phase_range(Phase.BACKWARD), 100, 180),
    *node("MmBackward0", 110, 118, 6),
    host("aten::mm", 111, 117, tid=AUTOGRAD),
    launch(7, 112, AUTOGRAD),
    kernel("gemm", 7, 300, 400),
    # Recomputed: a range of the model within a node; the numbers of this thread are none of the forward's.
    *node("AddBackward0", 120, 130, 11),
    around(region_range("decoder_layer"), 121, 129, AUTOGRAD),
    around(region_range("gate"), 122, 128, AUTOGRAD),
    host("aten::mm", 123, 127, tid=AUTOGRAD, Sequence_number=6),
    launch(8, 124, AUTOGRAD),
    kernel("gemm", 8, 400, 440),
    # A hook of the gradient reduces it, on a stream of its own, beside other kernels.
    host(NODE + "torch::autograd::AccumulateGrad", 140, 160, tid=AUTOGRAD),
    host("torch::autograd::AccumulateGrad", 141, 159, tid=AUTOGRAD),
    host("aten::div", 142, 144, tid=AUTOGRAD),
    launch(9, 143, AUTOGRAD),
    kernel("div", 9, 430, 450, SIDE),
    host("c10d::allreduce_", 145, 150, tid=AUTOGRAD),
    around("nccl:all_reduce", 146, 149, AUTOGRAD),
    launch(10, 147, AUTOGRAD),
    kernel("some_name", 10, 440, 500, NCCL),
]
OPTIMIZER = [
    around(phase_range(Phase.OPTIMIZER), 180, 990),
    launch(11, 190, cat="cuda_driver"),
    kernel("adam", 11, 520, 700),
]
CUDA = [around(STEP, 0, 1000), *FORWARD, *BACKWARD, *OPTIMIZER]


def dissected(events: list[Event]) -> Dissection:
    return dissect(parse_trace(events), "kernels")[0]


def times(parts: list[PartTime]) -> dict[tuple[str, str], float]:
    return {(part.part, part.direction): round(part.time_s * 1e6, 6) for part in parts}


def phases(dissection: Dissection) -> dict[Phase, PhaseTimes]:
    return {each.phase: each for each in dissection.phases}


def test_kernels_find_their_module() -> None:
    assert times(dissected(CUDA).parts) == {
        ("qkv", "forward"): 40,
        ("qkv", "backward"): 100,
        ("scores", "forward"): 10,
        ("softmax", "forward"): 10,
        ("weighted_values", "forward"): 10,
        ("gate", "recomputation"): 35,
        ("residual", "forward"): 5,
        ("gradients", "backward"): 15,
        ("optimizer", "optimizer"): 180,
    }


def test_groups_are_sums_over_their_parts() -> None:
    assert times(dissected(CUDA).groups) == {
        ("decoder_layer", "forward"): 75,
        ("decoder_layer", "backward"): 100,
        ("decoder_layer", "recomputation"): 35,
        ("attention", "forward"): 70,
        ("attention", "backward"): 100,
        ("attention_core", "forward"): 30,
    }


def test_phases_last_until_their_last_kernel_and_count_no_time_twice() -> None:
    found = {
        phase: [
            round(seconds * 1e6, 6)
            for seconds in (
                each.overall_s,
                each.compute_s,
                each.communication_overlapped_s,
                each.communication_exposed_s,
                each.recomputation_s,
                each.overall_s - each.busy_s,
            )
        ]
        for phase, each in phases(dissected(CUDA)).items()
    }
    assert found == {
        Phase.FORWARD: [275, 75, 0, 0, 0, 200],
        Phase.BACKWARD: [225, 150, 10, 50, 35, 25],
        Phase.OPTIMIZER: [500, 180, 0, 0, 0, 320],
    }


def test_a_complete_profile_passes() -> None:
    dissection = dissected(CUDA)
    check_complete(dissection)
    assert (dissection.attributed_share, dissection.parts_deviation) == (1, pytest.approx(0, abs=1e-9))


def test_communication_is_known_by_what_the_profiler_says_of_the_kernel_too() -> None:
    bare = [event for event in CUDA if event["name"] not in ("c10d::allreduce_", "nccl:all_reduce", "some_name")]
    named = kernel("some_name", 10, 440, 500, NCCL, Collective_name="allreduce")
    assert phases(dissected([*bare, named]))[Phase.BACKWARD].communication_exposed_s == pytest.approx(50e-6)


def test_a_launch_that_the_profiler_missed_is_found_by_its_operator() -> None:
    lost = [event for event in CUDA if event["args"].get("correlation") != 7]
    operator = host("aten::mm", 111.5, 116, tid=AUTOGRAD, External_id=77)
    events = [*lost, operator, kernel("gemm", 7, 300, 400, External_id=77)]
    assert times(dissected(events).parts)["qkv", "backward"] == 100


def test_two_steps_are_averaged() -> None:
    later = []
    for event in CUDA:
        args = dict(event["args"])
        for counter in args.keys() & {"correlation", "Sequence number"}:
            args[counter] += 100
        later.append({**event, "ts": event["ts"] + 5000, "args": args})
    one, two = dissected(CUDA), dissected([*CUDA, *later])
    assert times(two.parts) == times(one.parts)
    assert [part.calls for part in two.parts] == [part.calls for part in one.parts]
    assert [each.overall_s for each in two.phases] == pytest.approx([each.overall_s for each in one.phases])


def test_kernels_of_nobody_make_it_incomplete() -> None:
    dissection = dissected([*CUDA, kernel("orphan", 999, 150, 190)])
    assert times(dissection.parts)["unattributed", "backward"] == 40
    with pytest.raises(IncompleteProfileError, match=r"91\.\d% of the kernel time belongs to a part of the model"):
        check_complete(dissection)


def test_a_forward_without_ranges_is_incomplete() -> None:
    without = [event for event in CUDA if "region" not in event["name"]]
    with pytest.raises(IncompleteProfileError, match="95% must"):
        check_complete(dissected(without))


def test_parts_that_do_not_sum_to_their_phase_make_it_incomplete() -> None:
    beyond = kernel("adam", 11, 960, 1010)  # runs on after the step has ended
    dissection = dissected([*CUDA, beyond])
    with pytest.raises(
        IncompleteProfileError, match=r"sum to 4\.\d% more or less than its compute time, at most 2% is allowed"
    ):
        check_complete(dissection)


def test_no_kernel_at_all_is_said() -> None:
    hosts = [event for event in CUDA if event["cat"] != "kernel"]
    with pytest.raises(IncompleteProfileError, match="the trace of 1 steps has no kernels"):
        dissected(hosts)


def test_a_file_that_is_no_trace(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(ValueError, match=r"other\.json: has no traceEvents"):
        read_trace(tmp_path / "other.json")


def test_kernel_table_adds_up() -> None:
    dissection, shares = dissect(parse_trace(CUDA), "kernels")
    rows = kernel_table(shares)
    assert rows[0] == {
        "name": "adam", "part": "optimizer", "direction": "optimizer", "phase": "optimizer", "count": 1,
        "total_us": 180,
    }  # fmt: skip
    assert sum(row["count"] for row in rows) == sum(event["cat"] == "kernel" for event in CUDA)
    assert {row["part"] for row in rows if row["name"] == "some_name"} == {"communication"}
    computed = sum(row["total_us"] for row in rows if row["part"] != "communication")
    assert computed == pytest.approx(1e6 * sum(part.time_s for part in dissection.parts))


def test_a_recorded_trace_is_taken_apart_as_when_it_was_looked_at() -> None:
    dissection, _ = dissect(read_trace(RECORDED), "operators")
    check_complete(dissection)
    rounded = json.loads(dissection.model_dump_json(), parse_float=lambda text: float(f"{float(text):.6g}"))
    check_golden("profile/dissection.json", json.dumps(rounded, indent=1) + "\n")


def test_a_recorded_step_is_all_there() -> None:
    trace = read_trace(RECORDED)
    dissection, shares = dissect(trace, "operators")
    step = next(node for node in trace.host if node.name == STEP)
    assert sum(each.overall_s for each in dissection.phases) == pytest.approx((step.end - step.start) * 1e-6)
    # Added up another way: the operators that lie in no other, but for those of autograd and collectives.
    outermost = [
        node.end - node.start
        for node in trace.host
        if node.category == "cpu_op" and "::" in node.name and step.start <= node.start < step.end
        if not is_autograd_node(node) and not is_communication(node)
        if not any("::" in outer.name and not is_autograd_node(outer) for outer in list(node.outward())[1:])
    ]
    own = sum(share.time for share in shares if not share.work.communication)
    assert own == pytest.approx(sum(outermost), rel=5e-3)
    assert all(part.time_s > 0 for part in dissection.parts)
    backward = {part.part for part in dissection.parts if part.direction == "backward"}
    assert {"qkv", "scores", "softmax", "weighted_values", "gate", "up", "down", "rms_norm", "head", "loss"} <= backward
