"""Panels side by side, as the renderer draws them: one scale, one height of titles, axes and labels to read them by."""

import re
from pathlib import Path
from typing import Any

import pytest
import vl_convert

import drawn
import factories as make
from dissect.config.layout import FigureLayout
from dissect.present.figures.describe import describe
from dissect.present.figures.layers import log_axis, size_axis, value_axis
from dissect.present.tables.read_tidy import read_tidy
from dissect.present.tables.table import build_table
from dissect.stages.training.deepspeed.spec import PretrainSpec
from table_cases import fig_6, fig_attention


def scales(figure: dict[str, Any], axis: str) -> list[dict[str, Any]]:
    """The scales of all panels, as the renderer has them."""
    made = vl_convert.vegalite_to_vega(figure)["scales"]
    return [scale for scale in made if re.fullmatch(rf"concat_\d_{axis}", scale["name"])]


def test_a_shared_scale_reaches_over_the_values_of_all_panels() -> None:
    wide, narrow = (
        value_axis("y", None, [1.0, 60.0], is_shared=True),
        value_axis("y", None, [10.0, 60.0], is_shared=True),
    )
    assert wide.to_dict()["scale"] == {"type": "log", "nice": False, "padding": 8, "domain": [1.0, 60.0]}
    assert narrow.to_dict()["scale"] == {"zero": True, "domainMax": 60.0, "nice": True}
    assert value_axis("y", None, [], is_shared=True).to_dict()["scale"] == {"zero": True}


@pytest.mark.parametrize("least", [0, 100])
def test_curves_side_by_side_have_one_scale(least: int, tmp_path: Path) -> None:
    """They share the title of their axis, whichever numbers each has."""
    manifest, path = fig_attention(tmp_path), tmp_path / "tidy.csv"
    path.write_text(build_table(manifest, tmp_path).csv)
    rows = [row for row in read_tidy(path) if row["direction"] == "forward" or (row["tflops"] or 0) > least]
    figure = describe(manifest, FigureLayout.model_validate(manifest.layout), rows)
    forward, backward = scales(figure, "y")
    assert (forward["type"], forward["domain"]) == (backward["type"], backward["domain"])
    assert forward["type"] == "log"


def test_titles_of_panels_stand_at_one_height(tmp_path: Path) -> None:
    """One panel has a number at the upper end of its axis and the others have none there."""
    heights = drawn.title_heights(drawn.described(fig_6(tmp_path), tmp_path))
    assert len(heights) > 1
    assert len(set(heights)) == 1


def test_every_size_has_a_tick_and_labels_give_way_to_each_other() -> None:
    axis = size_axis("x", "Size", {2**power: f"{2**power} B" for power in range(12)}).to_dict()["axis"]
    assert axis["values"] == [2**power for power in range(12)]
    assert axis["labelOverlap"] == "greedy"


def test_a_narrow_logarithmic_axis_has_numbers_between_the_powers_of_ten() -> None:
    assert log_axis("x", None, [24.3, 44.1]).to_dict()["axis"]["values"] == [25, 30, 35, 40, 45]
    assert log_axis("x", None, [2.0, 300.0]).to_dict()["axis"]["values"] == [10, 100]


def in_type(dtype: str) -> PretrainSpec:
    spec = make.pretrain_spec()
    return spec.model_copy(update={"workload": spec.workload.model_copy(update={"dtype": dtype})})


@pytest.mark.parametrize("series", [["platform"], ["method", "platform"]])
def test_a_platform_of_another_data_type_says_so(series: list[str], tmp_path: Path) -> None:
    """Its cells that never ran have no data type, and are of the same series."""
    cells = [
        make.published_cell(tmp_path, make.ok_result(in_type(dtype)), platform=platform)
        for platform, dtype in (("h200", "bf16"), ("cpu", "fp32"))
    ]
    cells.append(make.unsupported_cell("no", platform="cpu", method="Naive", n_gpus=2))
    layout = {"kind": "curve", "series": series, "x": ["n_gpus"], "values": ["tokens_per_s"]}
    said = drawn.texts(drawn.described(make.manifest("fig", cells, layout), tmp_path))
    named = [text for text in said if "CPU" in text]
    assert named
    assert all("CPU, fp32" in text for text in named)
    assert not any("H200, " in text for text in said)
