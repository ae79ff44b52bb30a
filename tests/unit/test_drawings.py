"""The figures of the page: what is drawn, what can be chosen, and what is said to be missing."""

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

import drawn
import table_cases
from dissect.base.outcome import Phase, Status
from dissect.cells.manifest import Manifest
from dissect.config.layout import FigureLayout
from dissect.present.figures.describe import describe, placed, specification
from dissect.present.figures.memory import memory
from dissect.present.figures.subject import IDS, Subject
from dissect.present.report.drawings import Drawing, figure_specs, overviews
from dissect.present.tables.tidy import read_records, tidy_rows
from dissect.present.tables.views import VIEWS
from factories import (
    ended_result,
    manifest,
    ok_result,
    pretrain_spec,
    published_cell,
    serve_spec,
    serving_metrics,
    training_metrics,
    unsupported_cell,
)

LAYOUT = {"kind": "pivot", "rows": ["method"], "columns": ["platform", "model"]}


def overviews_of(project: Path, *manifests: Manifest) -> dict[str, Drawing]:
    """By name."""
    return {each.name: each for each in overviews([(one, read_records(one, project)) for one in manifests])}


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
    drawing = overviews_of(tmp_path, training_table(tmp_path, {"Naive": 0.4, "Z2": 0.2, "Z3": None}))["memory-pretrain"]
    [(_, spec)] = drawing.specs
    rows = drawn.data(spec)
    assert [row["method"] for row in rows] == ["Naive", "Z2"]
    assert len(drawn.marks(spec, "symbol")) == 2
    assert "tokens/s" in rows[0]["says"]["Throughput"]
    assert any("GiB" in told for told in rows[0]["says"].values())
    assert "Without a number: 2 of 4 cells (1 OOM, 1 unsupported)." in drawing.caption
    assert dict(drawing.missing) == {
        "OOM (backward)": ["pretrain/h200/llama2-7b/deepspeed/Z3/seq350-bs3-gpus4"],
        "unsupported: Q needs bitsandbytes": ["pretrain/h200/llama2-7b/deepspeed/Q+Z3/seq350-bs1"],
    }
    assert drawing.tables == [("table_III", "Table iii: pre-training")]


def test_a_place_that_a_row_cannot_have_is_named(tmp_path: Path) -> None:
    table = training_table(tmp_path, {"Naive": 0.4, "Z2": 0.2})
    rows = tidy_rows(read_records(table, tmp_path), VIEWS["training"])
    rows[1] |= {"peak_memory_gib": None}
    layout = FigureLayout(kind="curve", view="training", values=["tokens_per_s"])
    subject = placed(Subject(table, layout, rows), memory)
    assert [row["status"] for row in subject.rows] == ["ok", "n/a", "unsupported"]
    assert len(drawn.marks(specification(subject, memory), "symbol")) == 1


@pytest.mark.parametrize("seed", range(4))
def test_the_stepped_line_joins_what_no_other_point_equals_or_beats_in_both(tmp_path: Path, seed: int) -> None:
    table = training_table(tmp_path, {"Naive": 0.4})
    [record, _] = read_records(table, tmp_path)
    [row] = VIEWS["training"].rows_of(record)
    random = Random(seed)
    points = [(random.randint(1, 9), random.randint(1, 9)) for _ in range(20)]
    rows = [row | {"peak_memory_gib": gib, "tokens_per_s": 4 * rate, "n_gpus": 4} for gib, rate in points]
    layout = FigureLayout(kind="curve", view="training", values=["tokens_per_s"])
    spec = specification(Subject(table, layout, rows), memory)
    corners = [drawn.values(mark) for mark in drawn.marks(spec, "line")]
    names = ("Peak memory per GPU (GiB)", "Throughput (tokens/s per GPU)")
    front = [tuple(int(corner[name]) for name in names) for corner in corners]
    assert front == sorted(set(front))
    for gib, rate in points:
        assert any(other <= gib and more >= rate for other, more in front)
    for gib, rate in front:
        assert not any(other <= gib and more >= rate and (other, more) != (gib, rate) for other, more in points)


def test_a_colour_and_a_shape_name_one_server_of_a_panel(tmp_path: Path) -> None:
    """With a colour per platform, engine and policy a palette repeats itself."""
    drawing = overviews_of(tmp_path, table_cases.fig_6(tmp_path))["interactivity"]
    [(_, spec)] = drawing.specs
    assert len(spec["concat"]) == 3, "each platform and model that has a number"
    for panel in spec["concat"]:
        servers = {row["server"]: (row["series"], row["policy"]) for row in drawn.data(panel)}
        assert len(set(servers.values())) == len(servers) > 1
    scales = [panel["layer"][0]["encoding"][axis]["scale"] for axis in ("x", "y") for panel in spec["concat"]]
    assert scales == [scales[0]] * 3 + [scales[3]] * 3
    assert all("domainMax" in scale or "domain" in scale for scale in scales)


def test_a_cell_of_several_tables_is_one_point(tmp_path: Path) -> None:
    table = training_table(tmp_path, {"Naive": 0.4})
    drawing = overviews_of(tmp_path, table, table.model_copy(update={"name": "table_II"}))["memory-pretrain"]
    assert len(drawn.data(drawing.specs[0][1])) == 1
    assert [name for name, _ in drawing.tables] == ["table_III", "table_II"]


def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    assert overviews([]) == []
    assert overviews_of(tmp_path, training_table(tmp_path, {"Naive": None})) == {}


def test_latencies_can_be_chosen_and_name_answers_that_came_whole(tmp_path: Path) -> None:
    lossy, whole = serve_spec(), serve_spec(engine="tgi", stream=False)
    results = [
        ok_result(lossy, serving_metrics(serve_spec(requests=37))),
        ok_result(whole, serving_metrics(whole)),
    ]
    cells = [published_cell(tmp_path, result, platform="a800") for result in results]
    figure = table_cases.fig_10(tmp_path).model_copy(update={"cells": cells})
    specs = dict(figure_specs(figure, read_records(figure, tmp_path)))
    assert list(specs) == ["Latency", "TTFT", "TPOT"]
    assert [len(drawn.data(spec)) for spec in specs.values()] == [2, 1, 1]
    assert [row["says"]["Answered requests"] for row in drawn.data(specs["Latency"])] == ["37", "40"]
    assert any(text.startswith("answers came whole: TGI") for text in drawn.texts(specs["TTFT"]))


def test_modules_are_shares_of_each_cell(tmp_path: Path) -> None:
    [(_, spec)] = overviews_of(tmp_path, table_cases.table_vi(tmp_path))["modules"].specs
    sums: dict[str, float] = {}
    for row in drawn.data(spec):
        sums[row["bar"]] = sums.get(row["bar"], 0) + row["right"] - row["left"]
    shares = [share for share in sums.values() if share]
    assert len(shares) >= 4
    assert shares == pytest.approx([100] * len(shares))


@pytest.mark.parametrize("case", ["fig_4", "fig_5", "fig_6", "fig_10", "fig_attention", "fig_roofline"])
def test_the_page_has_the_figure_of_the_files_and_every_mark_its_cell(tmp_path: Path, case: str) -> None:
    figure = table_cases.CASES[case](tmp_path)
    records = read_records(figure, tmp_path)
    layout = FigureLayout.model_validate(figure.layout)
    rows: list[Any] = tidy_rows(records, VIEWS[layout.view])
    shown = figure_specs(figure, records)[0][1]
    assert shown == describe(figure, layout, rows)
    marks = [row for row in drawn.data(shown) if "says" in row]
    assert marks
    assert all(set(IDS) <= set(row) and row["says"]["title"] for row in marks)
    assert {row["key"] for row in rows if row["status"] == Status.OK} <= {row["key"] for row in marks}
