"""From the runs of a cell to its row: what each column makes of them, and when there is no number."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import factories as make
from dissect.base.outcome import Flag, Phase, Status
from dissect.metrics.serving import Calibration
from dissect.present.tables.columns import Combination, Record
from dissect.present.tables.over_runs import values_of, why_absent
from dissect.present.tables.start_classes import START_CLASS
from dissect.present.tables.table import build_table
from dissect.present.tables.tidy import tidy_rows
from dissect.present.tables.views import VIEWS
from dissect.results.result import Result

SPEC = make.pretrain_spec()


def record(*runs: Result, platform: str = "h200") -> Record:
    fields = {"stage": runs[0].spec.stage, "framework": runs[0].spec.framework, "n_gpus": 4}
    cell = make.unsupported_cell("", **fields).model_copy(update={"key": runs[0].key, "unsupported": None})
    return Record(cell, make.PLATFORMS[platform], make.cell_runs(*runs))


def row(*runs: Result, view: Any = "training") -> dict[str, Any]:
    [found] = tidy_rows([record(*runs)], VIEWS[view])
    return found


def measured(**changes: Any) -> Result:
    return make.ok_result(SPEC, make.training_metrics(SPEC, **changes))


def test_a_time_is_the_geometric_mean_with_its_interval() -> None:
    found = row(*make.training_runs(SPEC, 0.2, (0.5, 2.0, 1.0)))
    assert found["step_time_s"] == pytest.approx(0.2)
    assert found["step_time_s_low"] < 0.1 < 0.4 < found["step_time_s_high"]
    assert (found["runs"], found["starts"]) == (3, 1)


@pytest.mark.parametrize("name", [name for name, q in VIEWS["training"].by_name.items() if q.has_interval])
def test_one_run_has_its_own_value_and_no_interval(name: str) -> None:
    [one] = make.training_runs(SPEC, 0.2, (1.0,))
    found = row(one)
    assert (found["runs"], found["starts"]) == (1, 1)
    assert (found[f"{name}_low"], found[f"{name}_high"]) == (None, None)
    assert found["step_time_s"] == 0.2, "to the last bit"


def test_memory_is_the_largest_and_verdicts_still_see_every_run() -> None:
    runs = make.in_rounds(measured(peak_memory_bytes=size) for size in (2**30, 3 * 2**30, 2**31))
    found = row(*runs)
    assert found["peak_memory_gib"] == 3
    assert "peak_memory_gib_low" not in found
    assert sorted(each.value for each in values_of(found, "peak_memory_gib")) == [1, 2, 3]


@pytest.mark.parametrize(
    ("times", "flags", "load"),
    [
        ({"compute_time_s": 0.09, "communication_time_s": 0.0}, [], "busy"),
        ({"compute_time_s": 0.02, "communication_time_s": 0.0}, [Flag.LAUNCH_BOUND], "launch-bound"),
        ({"compute_time_s": 0.09}, [], "not traced"),  # as across nodes
        ({}, [], "not traced"),
    ],
)
def test_starts_are_pooled_over_cells_that_load_their_gpus_alike(
    times: dict[str, float], flags: list[Flag], load: str
) -> None:
    found = row(measured(**times).model_copy(update={"flags": flags}))
    assert found[START_CLASS] == f"{load} on NVIDIA H200"


def test_platforms_of_one_kind_of_gpu_are_one_class() -> None:
    kinds = {"h100": "NVIDIA H100", "h100-x2": "NVIDIA H100", "h200@lab": "NVIDIA H200"}
    found = {}
    for platform, gpu in kinds.items():
        spec = make.pretrain_spec(make.hardware(gpu, 2))
        one = record(make.ok_result(spec, make.training_metrics(spec)))
        [of] = tidy_rows([replace(one, cell=one.cell.model_copy(update={"platform": platform}))], VIEWS["training"])
        found[platform] = of[START_CLASS]
    assert found == {platform: f"not traced on {gpu}" for platform, gpu in kinds.items()}


def test_what_may_be_zero_has_a_mean_without_an_interval() -> None:
    spec = make.profile_spec()
    runs = make.in_rounds(make.ok_result(spec, make.profile_metrics(spec, compute)) for compute in (0.05, 0.07))
    rows = {found["step_phase"]: found for found in tidy_rows([record(*runs)], VIEWS["phases"])}
    step = rows["step"]
    assert step["recomputation_time_s"] == 0, "nothing is recomputed, in no run"
    assert (step["recomputation_time_s_low"], step["recomputation_time_s_high"]) == (None, None)
    assert step["compute_time_s_low"] < step["compute_time_s"] < step["compute_time_s_high"]
    assert not values_of(step, "recomputation_time_s")


def test_counts_that_differ_are_told_in_place_of_a_number(tmp_path: Path) -> None:
    spec = make.pretrain_spec(batch="max")
    metrics = [make.training_metrics(spec, found_batch=batch) for batch in (22, 23, 22)]
    runs = make.in_rounds(make.ok_result(spec, each) for each in metrics)
    assert row(*runs)["batch_measured"] is None
    cell = make.published_cell(tmp_path, *runs, platform="h200")
    layout = {"kind": "pivot", "rows": ["method"], "values": ["batch_measured", "parameters"]}
    table = build_table(make.manifest("table_IV", [cell], layout), tmp_path).markdown
    assert "n/a: the runs differ: 22, 23" in table
    assert "6,738" in table


def test_one_run_that_ended_otherwise_takes_the_numbers_with_it() -> None:
    lost = make.ended_result(SPEC, Status.OOM, Phase.BACKWARD, "out of memory")
    found = row(*make.in_rounds([measured(), lost, measured()]))
    assert (found["status"], found["reason"]) == ("oom", "1 of 3 runs: out of memory")
    assert found["tokens_per_s"] is None


def test_a_size_that_one_run_lost_has_its_outcome_and_others_their_numbers() -> None:
    spec = make.operator_spec("device_to_device", sizes=(1024, 4096))
    times: Sequence[Any] = [(0.001, 0.004), (0.001, (Status.OOM, Phase.FORWARD, "no room"))]
    runs = make.in_rounds(make.ok_result(spec, make.operator_metrics(spec, each)) for each in times)
    small, large = tidy_rows([record(*runs)], VIEWS["memcpy"])
    assert (small["status"], small["gb_per_s"]) == ("ok", pytest.approx(1024 / 0.001 / 1e9))
    assert (large["status"], large["reason"], large["gb_per_s"]) == ("oom", "no room", None)


def test_a_point_of_some_runs_counts_these() -> None:
    """An interval over two runs is not one over three."""
    spec = make.operator_spec("device_to_device", sizes=(1024, 4096))
    metrics = [make.operator_metrics(spec, (0.001 * n, 0.004)) for n in (1, 2, 3)]
    metrics[2] = metrics[2].model_copy(update={"points": metrics[2].points[:1]})
    results = [make.ok_result(spec, each) for each in metrics]
    runs = [*make.in_rounds(results[:2]), *make.in_rounds(results[2:], on="b", first=3)]
    small, large = tidy_rows([record(*runs)], VIEWS["memcpy"])
    assert (small["runs"], small["starts"]) == (3, 2)
    assert (large["runs"], large["starts"]) == (2, 1)


def test_a_calibration_that_failed_is_tried_again_by_one_more_run() -> None:
    spec = make.serve_spec(calibrate=True)
    failed = make.serving_metrics(spec, 12.0, no_calibration="vllm bench ended with exit code 1 and no record")
    found = {"requests_per_s": 1.0, "output_tokens_per_s": 512.0, "median_latency_s": 1.0, "median_ttft_s": 1.0}
    done = make.serving_metrics(spec, 10.0, calibration=Calibration(load_generator="vllm_bench", **found))
    results = [make.ok_result(spec, metrics) for metrics in (failed, done)]
    quantity = VIEWS["serving"].by_name["calibration_difference"]
    before = row(results[0], view="serving")
    assert before["calibration_difference"] is None
    assert "remeasure" in why_absent(before, quantity)
    after = row(*make.in_rounds(results), view="serving")
    assert after["calibration_difference"] == row(results[1], view="serving")["calibration_difference"]


def test_every_request_of_every_run_is_a_row() -> None:
    spec = make.serve_spec(requests=3)
    rows = tidy_rows([record(*make.serving_runs(spec, 9.0, (1.0, 2.0)))], VIEWS["requests"])
    assert [(found["run"], found["request"]) for found in rows] == [(run, n) for run in (1, 2) for n in (1, 2, 3)]
    assert [found["latency_s"] for found in rows] == pytest.approx([3, 6, 9, 6, 12, 18])


def test_what_differs_between_runs_is_listed_once() -> None:
    runs = [make.in_rounds([measured()], on, number)[0] for number, on in enumerate(("a", "b", "a"), start=1)]
    runs[1] = runs[1].model_copy(update={"flags": [Flag.THROTTLED]})
    found = row(*runs)
    assert (found["runs"], found["starts"], found["flags"]) == (3, 2, "throttled")
    assert found["measured_at"] == "2026-03-01T12:01:00Z;2026-03-01T12:02:00Z;2026-03-01T12:03:00Z"
    assert found["git_dirty"] is False


def test_runs_of_unknown_starts_say_nothing_of_starts() -> None:
    assert row(measured(), measured())["starts"] is None
    assert row(measured())["starts"] == 1


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_what_has_an_interval_has_its_columns(view: Any) -> None:
    names = view.column_names()
    for quantity in view.quantities:
        assert (f"{quantity.name}_low" in names) is (quantity.combination in (Combination.TYPICAL, Combination.SHARE))
