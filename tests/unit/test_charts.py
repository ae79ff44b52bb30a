"""The data of the interactive figures: what is drawn, what it is called, and what is said to be missing."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import table_cases
from dissect.base.outcome import Phase, Status
from dissect.cells.manifest import Manifest
from dissect.present.report.charts.breakdown import phase_parts
from dissect.present.report.charts.build import charts
from dissect.present.report.charts.chart import Chart, log_axis, plain
from dissect.present.report.charts.latency import cdf_points
from dissect.present.report.charts.memory import pareto_front
from dissect.present.tables.tidy import read_records
from factories import (
    PLATFORMS,
    ended_result,
    hardware,
    manifest,
    ok_result,
    pretrain_spec,
    published_cell,
    serve_spec,
    serving_metrics,
    training_metrics,
    unsupported_cell,
)

Points = Sequence[tuple[float, float]]
LAYOUT = {"kind": "pivot", "rows": ["method"], "columns": ["platform", "model"]}
POINTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30)


def charts_of(project: Path, *manifests: Manifest) -> dict[str, Chart]:
    """By name."""
    return {chart.name: chart for chart in charts([(each, read_records(each, project)) for each in manifests])}


def traces(chart: Chart, **wanted: Any) -> list[dict[str, Any]]:
    """Those whose ``meta`` or own keys have these values."""
    return [
        trace
        for trace in chart.figure["data"]
        if all(trace.get(name, trace.get("meta", {}).get(name)) == value for name, value in wanted.items())
    ]


@given(POINTS)
def test_the_pareto_front_is_what_no_other_point_equals_or_beats_in_both(points: Points) -> None:
    front = pareto_front(points)
    chosen = [points[at] for at in front]
    assert chosen == sorted(set(chosen))
    assert [gain for _, gain in chosen] == sorted({gain for _, gain in chosen})
    for cost, gain in points:
        assert any(other <= cost and more >= gain for other, more in chosen)
    for cost, gain in chosen:
        assert not any(other <= cost and more >= gain and (other, more) != (cost, gain) for other, more in points)


@given(st.lists(st.floats(0.001, 1e4), min_size=1, max_size=50), st.integers(1, 60))
def test_distributions_end_at_the_largest_sample_and_stay_true(samples: list[float], most: int) -> None:
    points = cdf_points(samples, most)
    assert points[0] == (min(samples), 0.0)
    assert points[-1] == (max(samples), pytest.approx(100))
    assert len(points) == min(len(samples), most) + 1
    for value, percent in points:
        assert 100 * sum(sample <= value for sample in samples) / len(samples) >= percent - 1e-9


def test_a_distribution_of_nothing_has_no_points() -> None:
    assert cdf_points([]) == []


def training_table(project: Path, batches: Mapping[str, float | None]) -> Manifest:
    """Methods with their step times, or None for one that ran out of memory; and an unsupported one."""
    cells = []
    for number, (method, seconds) in enumerate(batches.items(), start=1):
        spec = pretrain_spec(batch=number)
        result = (
            ended_result(spec, Status.OOM, Phase.BACKWARD, "the GPU's memory was spent")
            if seconds is None
            else ok_result(spec, training_metrics(spec, seconds))
        )
        cells.append(published_cell(project, result, platform="h200", method=method))
    return manifest("table_III", [*cells, unsupported_cell("Q needs bitsandbytes", method="Q+Z3")], LAYOUT)


def test_memory_shows_every_cell_and_names_what_has_no_number(tmp_path: Path) -> None:
    found = charts_of(tmp_path, training_table(tmp_path, {"Naive": 0.4, "Z2": 0.2, "Z3": None}))
    chart = found["memory-pretrain"]
    [points, front] = chart.figure["data"]
    assert [cell[5] for cell in points["customdata"]] == ["Naive", "Z2"]
    assert points["text"] == ["Naive, b1", "Z2, b2"]
    assert "tokens/s" in points["hovertext"][0]
    assert "GiB" in points["hovertext"][0]
    assert [front["x"], front["y"]] == [
        [points[axis][at] for at in pareto_front(list(zip(points["x"], points["y"], strict=True)))] for axis in "xy"
    ]
    assert "Without a number: 2 of 4 cells (1 OOM, 1 unsupported)." in chart.caption
    assert {missing.outcome: missing.names for missing in chart.missing} == {
        "OOM (backward)": ("pretrain/h200/llama2-7b/deepspeed/Z3/seq350-bs3-gpus4",),
        "unsupported: Q needs bitsandbytes": ("pretrain/h200/llama2-7b/deepspeed/Q+Z3/seq350-bs1",),
    }
    assert chart.tables == (("table_III", "Table iii: pre-training"),)


def test_a_cell_of_several_tables_is_one_point(tmp_path: Path) -> None:
    table = training_table(tmp_path, {"Naive": 0.4})
    chart = charts_of(tmp_path, table, table.model_copy(update={"name": "table_II"}))["memory-pretrain"]
    assert len(chart.figure["data"][0]["x"]) == 1
    assert [name for name, _ in chart.tables] == ["table_III", "table_II"]


def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    assert charts([]) == []
    assert charts_of(tmp_path, training_table(tmp_path, {"Naive": None})) == {}


def test_latency_names_lost_requests_and_answers_that_came_whole(tmp_path: Path) -> None:
    lossy, whole = serve_spec(), serve_spec(engine="tgi", stream=False)
    results = [
        ok_result(lossy, serving_metrics(serve_spec(requests=37))),
        ok_result(whole, serving_metrics(whole)),
    ]
    cells = [published_cell(tmp_path, result, platform="h200") for result in results]
    [chart] = charts_of(tmp_path, manifest("table_serving", cells, LAYOUT | {"view": "serving"})).values()
    assert [len(traces(chart, choice=choice)) for choice in range(3)] == [2, 1, 1]
    assert {missing.outcome: missing.names for missing in chart.missing} == {
        "TTFT and TPOT: answers came whole": (cells[1].id,),
        "Requests without an answer are not in the lines": (f"{cells[0].id}: 3 of 40",),
    }


def test_scaling_has_the_ideal_line_from_its_smallest_count_and_names_gaps(tmp_path: Path) -> None:
    lost = (Status.OOM, Phase.FORWARD, "the GPU's memory was spent")
    table = table_cases.scaling(tmp_path, {"h200": [100.0, 80.0, lost]}, [2, 4, 8])
    chart = charts_of(tmp_path, table)["scaling"]
    ideal, line = traces(chart, choice=0)
    assert line["x"] == [2, 4]
    assert ideal["y"][0] == line["y"][0]
    assert ideal["y"][1] == pytest.approx(2 * line["y"][0], rel=1e-4)
    ideal, line = traces(chart, choice=1)
    assert ideal["y"] == [100, 100]
    assert line["y"] == pytest.approx([100, 80], rel=1e-3)
    assert [missing.outcome for missing in chart.missing] == ["OOM (forward)"]


def test_parts_of_a_phase_sum_to_it() -> None:
    row = {
        "phase_time_s": 1.0, "compute_time_s": 0.6, "communication_overlapped_s": 0.1, "communication_exposed_s": 0.3,
    }  # fmt: skip
    assert phase_parts(row) == pytest.approx([0.5, 0.1, 0.3, 0.1])


def test_breakdowns_are_shares_of_each_cell(tmp_path: Path) -> None:
    found = charts_of(tmp_path, table_cases.table_v(tmp_path))
    for name in ("phases", "modules"):
        bars = [trace for trace in traces(found[name], choice=0) if trace["type"] == "bar"]
        sums: dict[str, float] = {}
        for bar in bars:
            for key, share in zip(bar["y"], bar["x"], strict=True):
                sums[key] = sums.get(key, 0.0) + share
        assert sums
        assert list(sums.values()) == pytest.approx([100] * len(sums), abs=0.01)
        [names] = [trace for trace in traces(found[name], choice=0) if trace["type"] == "scatter"]
        assert names["y"] == list(sums)


def test_the_roof_bends_where_the_memory_feeds_the_peak(tmp_path: Path) -> None:
    table = table_cases.fig_roofline(tmp_path)
    chart = charts_of(tmp_path, table)["roofline"]
    for roof in traces(chart, mode="lines"):
        facts = table.platforms[roof["meta"]["cell"][2]]
        assert facts.memory_bytes_per_s
        assert max(roof["y"]) <= facts.peak_flops["bf16"] / 1e12 * (1 + 1e-4)
        for intensity, height in zip(roof["x"], roof["y"], strict=True):
            assert height <= facts.memory_bytes_per_s * intensity / 1e12 * (1 + 1e-4)


def test_a_platform_without_a_peak_is_said_to_have_no_roof(tmp_path: Path) -> None:
    table = table_cases.fig_roofline(tmp_path)
    bare = {
        name: facts.model_copy(update={"peak_flops": {}, "memory_bytes_per_s": None})
        for name, facts in table.platforms.items()
    }
    chart = charts_of(tmp_path, table.model_copy(update={"platforms": bare}))["roofline"]
    assert not traces(chart, mode="lines")
    assert "so there is no roof: H200, CPU." in chart.caption


@pytest.mark.parametrize("make", [table_cases.table_v, table_cases.fig_roofline, table_cases.table_iii])
def test_every_trace_says_what_it_is_of(tmp_path: Path, make: Any) -> None:
    for chart in charts_of(tmp_path, make(tmp_path)).values():
        json.dumps(chart.figure, allow_nan=False)
        for trace in chart.figure["data"]:
            cells = trace["customdata"] if "customdata" in trace else [trace["meta"]["cell"]]
            assert all(len(cell) == 6 and all(isinstance(word, str) for word in cell) for cell in cells)
            assert "customdata" not in trace or len(cells) == len(trace["x"]) == len(trace["y"])


def test_words_that_plotly_would_read_as_markup_stay_words() -> None:
    assert plain("<script>&%{x}") == "&lt;script&gt;&amp;% {x}"
    facts = PLATFORMS["h200"].model_copy(update={"label": "<b>H200</b>"})
    assert facts.label not in plain(facts.label)


@pytest.mark.parametrize(("values", "dtick"), [([3, 20], "D1"), ([1, 20], "D2"), ([1, 2000], 1)])
def test_wide_axes_have_fewer_ticks(values: list[float], dtick: Any) -> None:
    assert log_axis("x", values)["dtick"] == dtick


def test_cpu_counts_processes(tmp_path: Path) -> None:
    table = table_cases.scaling(tmp_path, {"h200": [100.0, 80.0]}, [2, 4])
    assert charts_of(tmp_path, table)["scaling"].figure["layout"]["xaxis"]["title"]["text"] == "Number of GPUs"
    spec = [pretrain_spec(hardware("cpu", n_gpus=n, device="cpu")) for n in (1, 2)]
    cells = [published_cell(tmp_path, ok_result(each), platform="cpu") for each in spec]
    both = manifest("fig_4", cells, LAYOUT)
    assert charts_of(tmp_path, both)["scaling"].figure["layout"]["xaxis"]["title"]["text"] == "Number of processes"
