"""From a tidy CSV to a figure, as the renderer draws it."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import pytest
import vl_convert
from hypothesis import given
from hypothesis import strategies as st

import drawn
import factories as make
from dissect.base.outcome import Status
from dissect.cells.manifest import ManifestCell
from dissect.present.figures.distribution import stairs
from dissect.present.figures.draw import save
from dissect.present.figures.layers import HEIGHT, data_of, shape
from dissect.present.figures.look import CONFIGS
from dissect.present.figures.roofline import roof
from dissect.present.tables.columns import Record
from dissect.present.tables.efficiency import fill_efficiency
from dissect.present.tables.over_runs import RUN_VALUES
from dissect.present.tables.tidy import read_records, tidy_rows
from dissect.present.tables.views import VIEWS
from dissect.results.result import Result
from dissect.statistics.run_values import RunValue
from drawn import described
from table_cases import OOM, fig_4, fig_5, fig_6, fig_10, fig_attention, fig_roofline, scaling, served

ROOT = Path(__file__).parents[2]
SKIPPED = (Status.SKIPPED_OOM, None, "batch 1 ran out of memory")
NO_CELLS = "The experiment has no cell on the configured platforms."


def efficiencies(project: Path, runs: Mapping[int, Sequence[Result]]) -> list[dict[str, Any]]:
    cells = [make.published_cell(project, *found, platform="h200", method="Q") for found in runs.values()]
    made = make.manifest("fig_4", cells, {"kind": "scaling"})
    return tidy_rows(read_records(made, project), VIEWS["training"])


def runs_on(n_gpus: int, step_time_s: float, spread: Sequence[float] = make.SPREAD) -> list[Result]:
    return make.training_runs(make.pretrain_spec(make.hardware(n_gpus=n_gpus), batch=2), step_time_s, spread)


def test_efficiency_is_throughput_per_gpu_over_that_of_the_smallest_count(tmp_path: Path) -> None:
    # The smallest count last on purpose.
    many, few = efficiencies(tmp_path, {8: runs_on(8, 0.25), 2: runs_on(2, 0.2)})
    names = ("scaling_efficiency", "scaling_efficiency_low", "scaling_efficiency_high")
    assert [few[name] for name in names] == [1, None, None], "by definition"
    value, low, high = (many[name] for name in names)
    assert value == pytest.approx(0.8)
    assert low < value < high


def test_rounds_make_the_interval_of_an_efficiency_narrower(tmp_path: Path) -> None:
    """Both counts slow down in the same rounds, so their ratio hardly varies."""
    alike, apart = (0.9, 1.1, 1.0, 0.95, 1.05), (1.1, 0.9, 1.05, 1.0, 0.95)
    widths = []
    for name, spread in (("alike", alike), ("apart", apart)):
        [_, many] = efficiencies(tmp_path / name, {1: runs_on(1, 0.2, alike), 4: runs_on(4, 0.2, spread)})
        widths.append(many["scaling_efficiency_high"] - many["scaling_efficiency_low"])
    assert widths[0] < 0.01 < widths[1]


def test_one_run_has_an_efficiency_without_an_interval(tmp_path: Path) -> None:
    [_, many] = efficiencies(tmp_path, {1: runs_on(1, 0.2), 4: runs_on(4, 0.25, (1.0,))})
    assert many["scaling_efficiency"] == pytest.approx(0.8, rel=0.01)
    assert (many["scaling_efficiency_low"], many["scaling_efficiency_high"]) == (None, None)


@pytest.mark.parametrize("unknown", [1, 4])
def test_an_efficiency_without_a_throughput_is_not_known(unknown: int) -> None:
    setting = {"status": "ok", **dict.fromkeys(("platform", "model", "framework", "method", "seq_len", "batch"), "x")}
    rows: list[dict[str, Any]] = [
        {**setting, "n_gpus": count, RUN_VALUES: {} if count == unknown else {"tokens_per_s": [RunValue(9.0)]}}
        for count in (1, 4)
    ]
    record = Record(make.unsupported_cell(""), make.PLATFORMS["h200"], None)
    fill_efficiency([(record, row) for row in rows])
    found = {row["n_gpus"]: row["scaling_efficiency"] for row in rows}
    assert found == {1: None if unknown == 1 else 1.0, 4: None}


def without_energy(project: Path) -> list[ManifestCell]:
    """Cells that ended ok, of which the second had a window too short for its energy."""
    cells = []
    for count, joules in ((1, 480.5), (2, None)):
        spec = make.pretrain_spec(make.hardware(n_gpus=count))
        result = make.ok_result(spec, make.training_metrics(spec, energy_per_step_j=joules))
        cells.append(make.published_cell(project, result, platform="h200"))
    return cells


def test_long_titles_of_panels_have_several_lines(tmp_path: Path) -> None:
    layout = {
        "kind": "distribution", "view": "requests", "draws": "latency_s", "table_view": "serving", "x": [],
        "panels": ["platform", "model", "workload", "framework"], "series": ["method"], "values": ["latency_p50_s"],
    }  # fmt: skip
    figure = described(served(tmp_path, "latency", layout, ["a800", "rtx4090"]), tmp_path)
    titles = [each["title"]["text"] for each in figure["concat"]]
    assert {len(title) for title in titles} == {1, 2}
    assert max(len(line) for title in titles for line in title) < 36


@pytest.mark.parametrize("kind", ["curve", "throughput"])
def test_an_ok_cell_without_the_number_is_missing(kind: str, tmp_path: Path) -> None:
    layout = {"kind": kind, "series": ["platform"], "x": ["n_gpus"], "values": ["tokens_per_joule"]}
    if kind == "throughput":
        layout |= {"panels": ["method"]}
    cells = without_energy(tmp_path)
    figure = described(make.manifest("fig_energy", cells, layout), tmp_path)
    assert len(drawn.marks(figure, "symbol" if kind == "curve" else "rect")) == 1
    assert "n/a" in " ".join(drawn.texts(figure))
    none = described(make.manifest("fig_energy", cells[1:], layout), tmp_path)
    assert drawn.texts(none) == [
        "No cell of this figure has a number:",
        "H200: n/a: no Tokens per joule: no energy counter, or a window below 10 s",
    ]


def test_one_number_of_gpus_shows_no_scaling(tmp_path: Path) -> None:
    platforms = {"a800": (100.0, 95.0), "rtx4090": (OOM, 100.0)}
    figure = described(scaling(tmp_path, platforms, (1, 2)), tmp_path)
    points = [drawn.values(mark) for mark in drawn.marks(figure, "symbol")]
    assert [point["series"] for point in points] == ["A800", "A800"]
    assert "RTX4090 (no number)" in drawn.texts(figure)


def test_scaling_counts_from_the_fewest_gpus_that_others_have(tmp_path: Path) -> None:
    """References have no cell that was not measured, so none is missing below the fewest."""
    platforms = {"a800": (100.0, 99.0, 98.0), "rtx4090": (OOM, 100.0, 95.0)}
    manifest = scaling(tmp_path, platforms, (1, 2, 4))
    ran = manifest.model_copy(
        update={"cells": [each for each in manifest.cells if "n1" not in each.id or "a800" in each.id]}
    )
    points = [drawn.values(mark) for mark in drawn.marks(described(ran, tmp_path), "symbol")]
    assert {point["series"] for point in points} == {"A800", "RTX4090 (100 % at 2)"}


def test_scaling_has_a_point_per_number_and_a_cross_per_outcome(tmp_path: Path) -> None:
    figure = described(fig_4(tmp_path), tmp_path)
    points = [drawn.values(mark) for mark in drawn.marks(figure, "symbol")]
    found = [(point["series"], int(point["Number of GPUs"])) for point in points]
    assert found == [*(("A800", n) for n in (1, 2, 4, 8)), *(("RTX4090 (100 % at 2)", n) for n in (2, 4, 8))]
    assert float(points[-1]["Scaling efficiency (%)"]) == pytest.approx(90.8)
    crosses = [mark for mark in drawn.marks(figure, "text") if mark["text"] == "×"]
    assert len(crosses) == 5
    assert len({(mark["x"], mark["y"]) for mark in crosses}) == 5, "none hides another"
    assert all(mark["y"] > HEIGHT for mark in crosses), "within the drawing a cross would be read as a number"
    said = drawn.texts(figure)
    assert {
        "A800",
        "RTX4090 (100 % at 2)",
        "RTX3090 (no number)",
        "Number of GPUs",
        "1",
        "2",
        "4",
        "8",
        "0",
        "100",
    } <= set(said)
    assert "OOM: RTX4090 at 1; RTX3090 at 1, 2, 4" in " ".join(said)
    assert "timeout: RTX3090 at 8" in " ".join(said)
    assert len(drawn.marks(figure, "rule")) == 1 + 3, "the ideal line, and an interval where several runs were compared"


def test_on_cpu_processes_are_counted(tmp_path: Path) -> None:
    manifest = scaling(tmp_path, {"cpu": (100.0, 57.0)}, (1, 2))
    assert "Number of processes" in drawn.texts(described(manifest, tmp_path))


def test_unsupported_cells_are_named(tmp_path: Path) -> None:
    manifest = scaling(tmp_path, {"cpu": (100.0, 57.0)}, (1, 2))
    cell = make.unsupported_cell("the platform has 2 GPUs, not 4", platform="cpu", method="Q", n_gpus=4, batch=2)
    wider = manifest.model_copy(update={"cells": [*manifest.cells, cell]})
    assert any(text.startswith("unsupported: CPU at 4") for text in drawn.texts(described(wider, tmp_path)))


def test_without_any_number_the_figure_says_why(tmp_path: Path) -> None:
    manifest = scaling(tmp_path, {"h200": (OOM, OOM, SKIPPED)}, (1, 2, 4))
    said = drawn.texts(described(manifest, tmp_path))
    assert said[0] == "No cell of this figure has a number:"
    assert "1; 2: OOM (backward)" in " ".join(said).replace(" × H200-141G", "")
    assert "OOM (skipped): batch 1 ran out" in " ".join(said)


@pytest.mark.parametrize("layout", [
    {"kind": "scaling", "series": ["platform"]},
    {"kind": "roofline", "view": "gemm", "panels": ["platform"], "series": ["model"], "x": ["product", "rows"],
     "values": ["tflops"]},
    {"kind": "curve", "view": "memcpy", "series": ["method"], "x": ["size_bytes"], "values": ["gb_per_s"]},
    {"kind": "phases", "view": "phases", "x": ["step_phase"], "values": ["idle_share"]},
])  # fmt: skip
def test_without_any_cell_the_figure_says_so(layout: dict[str, object], tmp_path: Path) -> None:
    assert NO_CELLS in drawn.texts(described(make.manifest("fig_none", [], layout), tmp_path))


@pytest.mark.parametrize("case", [fig_4, fig_5, fig_6, fig_10, fig_attention, fig_roofline])
@pytest.mark.parametrize("suffix", ["pdf", "svg", "png"])
def test_a_redraw_has_the_same_bytes(case: Any, suffix: str, tmp_path: Path) -> None:
    figure = described(case(tmp_path), tmp_path)
    paths = [tmp_path / f"{number}.{suffix}" for number in range(3)]
    for path in paths:
        save(figure, path)
    assert len({path.read_bytes() for path in paths}) == 1


def test_looks_differ() -> None:
    for config in CONFIGS.values():
        palette = config["range"]["category"]
        assert len(set(palette)) == len(palette) == 8
    labels = [str(number) for number in range(24)]
    shapes = shape(labels).to_dict()["scale"]["range"]
    assert len({(number % 8, symbol) for number, symbol in enumerate(shapes)}) == len(labels)


def test_descriptions_have_no_colour_of_their_own(tmp_path: Path) -> None:
    for case in (fig_4, fig_5, fig_6, fig_10, fig_attention, fig_roofline):
        assert "#" not in json.dumps(described(case(tmp_path), tmp_path))


def test_entry_point_draws_every_format(tmp_path: Path) -> None:
    manifest = fig_4(tmp_path)
    (tmp_path / "fig_4.json").write_text(manifest.to_json())
    figure = described(manifest, tmp_path)
    command = [sys.executable, str(ROOT / "scripts/draw_figure.py"), "fig_4.json", "tidy.csv"]
    subprocess.run([*command, "--pdf", "f.pdf", "--svg", "f.svg", "--png", "f.png"], cwd=tmp_path, check=True)
    assert [(tmp_path / f"f.{suffix}").read_bytes()[:4] for suffix in ("pdf", "png")] == [b"%PDF", b"\x89PNG"]
    save(figure, tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == (tmp_path / "f.svg").read_bytes()


def test_bars_are_as_high_as_the_numbers_and_outcomes_stand_in_their_place(tmp_path: Path) -> None:
    figure = described(fig_6(tmp_path), tmp_path)
    numbers = [row["value"] for row in drawn.data(figure) if row["value"] is not None]
    bars = drawn.marks(figure, "rect")
    assert len(bars) == len(numbers) == 15
    heights = {round(bar["height"], 3) for bar in bars}
    assert len(heights) == len(set(numbers)), "equal only where the numbers are"
    assert all(bar["y"] + bar["height"] == pytest.approx(165) for bar in bars), "from zero"
    assert len(drawn.marks(figure, "rule")) == 12, "an interval on each bar of several runs"
    said = drawn.texts(figure)
    assert {"TGI, aligned: invalid", "TGI: OOM", "transformers serve: unsupported"} <= set(said)
    assert said.count("TGI: OOM") == 1, "both policies ended alike"
    assert {"vLLM, tuned", "LightLLM, aligned", "Llama2-7b", "Llama2-70b"} <= set(said)
    assert {"A800", "1 × A800-80G", "RTX4090"} <= set(said), "which part of its node a server used stands below it"


def test_bars_of_each_panel_are_as_wide_as_its_own_groups_allow(tmp_path: Path) -> None:
    """By the width of another panel, which may have fewer groups, bars would stand among those of the next group."""
    figure = described(fig_6(tmp_path), tmp_path)
    scales = vl_convert.vegalite_to_vega(figure)["scales"]
    widths = [scale["range"][1]["signal"] for scale in scales if scale["name"].endswith("xOffset")]
    assert widths == [f"bandwidth('concat_{number}_x')" for number in range(len(figure["concat"]))]


def test_a_distribution_steps_through_every_request_of_every_run(tmp_path: Path) -> None:
    figure = described(fig_10(tmp_path), tmp_path)
    lines = drawn.data(figure)
    assert len(lines) == 10
    for line in lines:
        count = 40 if "TGI" in line["series"] else 2 * 40
        assert line["share"] == pytest.approx([0, *(100 * (n + 1) / count for n in range(count))], rel=1e-3)
        assert line["x"] == sorted(line["x"])
    assert len(drawn.marks(figure, "line")) == 8 * 81 + 2 * 41, "all requests of one run, and of two"
    said = " ".join(drawn.texts(figure))
    assert "OOM: TGI, tuned; TGI, aligned" in said
    assert "unsupported: transformers serve, tuned" in said


@given(st.lists(st.floats(0.001, 1e4), min_size=1, max_size=600))
def test_distributions_end_at_the_largest_sample_and_stay_true(samples: list[float]) -> None:
    points = stairs(samples)
    assert points[0] == (min(samples), 0.0)
    assert points[-1] == (max(samples), pytest.approx(100))
    assert len(points) == min(len(samples), 250) + 1
    for value, percent in points:
        assert 100 * sum(sample <= value for sample in samples) / len(samples) >= percent - 1e-9


def test_a_distribution_of_nothing_has_no_points() -> None:
    assert stairs([]) == []


@pytest.mark.parametrize("kind", ["throughput", "distribution"])
def test_a_serving_figure_without_any_number_says_why(kind: str, tmp_path: Path) -> None:
    reason = "the platform declares no environment for tgi"
    ids = {"stage": "serve", "framework": "tgi", "seq_len": None, "batch": None}
    cells = [make.unsupported_cell(reason, platform="a800", method=policy, **ids) for policy in ("tuned", "aligned")]
    manifest = fig_6(tmp_path).model_copy(update={"cells": cells})
    if kind == "distribution":
        manifest = manifest.model_copy(update={"layout": fig_10(tmp_path).layout})
    said = " ".join(drawn.texts(described(manifest, tmp_path)))
    assert f"No cell of this figure has a number: tuned; aligned: unsupported: {reason}" in said


def test_a_roof_is_the_lower_of_memory_and_peak() -> None:
    assert roof(100, 989.5e12, 4.8e12) == 480e12
    assert roof(1000, 989.5e12, 4.8e12) == 989.5e12
    assert roof(1000, 989.5e12, None) == 989.5e12
    assert roof(10, None, 4.8e12) == 48e12
    assert roof(10, None, None) is None


def test_products_stand_below_the_roof_that_the_platform_declares(tmp_path: Path) -> None:
    figure = described(fig_roofline(tmp_path), tmp_path)
    said = drawn.texts(figure)
    assert {"H200", "CPU", "RTX4090", "Llama2-7b", "no model", "Throughput (TFLOP/s)"} <= set(said)
    words = " ".join(" ".join(said).split())
    assert "roof: bf16 peak 989.5 TFLOP/s, memory 4,800 GB/s" in words
    assert "OOM: Llama2-7b at q/k/v/o 4096 rows" in words
    assert "timeout: Llama2-7b at head 4096 rows" in words
    assert "there is no roof" in words
    points = [row for row in drawn.data(figure) if row.get("key")]
    squares = [row["tflops"] for row in points if (row["series"], row["platform"]) == ("no model", "h200")]
    assert squares == pytest.approx([137.3, 34.36], rel=1e-3)
    low, ridge, high = (row for row in drawn.data(figure) if not row.get("key"))
    assert (ridge["tflops"], high["tflops"]) == pytest.approx((989.5, 989.5))
    assert low["tflops"] == pytest.approx(4.8 * low["intensity"])


def test_bars_stand_in_the_order_of_the_legend(tmp_path: Path) -> None:
    """Whichever policy the first group has."""
    manifest, groups = fig_6(tmp_path), {("a800", "tuned"), ("rtx4090", "aligned")}
    apart = [cell for cell in manifest.cells if (cell.platform, cell.method) in groups]
    apart.sort(key=lambda cell: cell.platform)
    figure = described(manifest.model_copy(update={"cells": apart}), tmp_path)
    for panel in figure["concat"]:
        bars = panel["layer"][0]["encoding"]
        legend, places = bars["color"]["legend"]["values"], bars["xOffset"]["scale"]["domain"]
        assert [place for place in places if place in legend] == legend
        assert legend[:2] == ["vLLM, tuned", "vLLM, aligned"]


def test_curves_have_a_panel_per_value_and_one_legend(tmp_path: Path) -> None:
    figure = described(fig_attention(tmp_path), tmp_path)
    said = drawn.texts(figure)
    assert {"Forward", "Backward", "Sequence length (tokens)", "Throughput (TFLOP/s)", "1024", "4096"} <= set(said)
    assert (said.count("eager"), said.count("sdpa_flash")) == (1, 1)
    assert said.count("OOM: eager at 4096") == 2
    assert said.count("invalid: sdpa_efficient") == 2
    points = [row for row in drawn.data(figure["concat"][0]) if row.get("series") == "sdpa_flash"]
    assert [row["y"] for row in points] == pytest.approx([85.9, 137.4], rel=1e-3)
    assert not any({"low", "high"} & set(row) for row in points), "one run has no interval"


def test_phases_are_stacked_to_the_whole(tmp_path: Path) -> None:
    figure = described(fig_5(tmp_path), tmp_path)
    bars: dict[str, float] = {}
    for row in drawn.data(figure):
        bars[row["bar"]] = bars.get(row["bar"], 0) + row["right"] - row["left"]
    whole = {bar: share for bar, share in bars.items() if share}
    assert [bar.split("|")[1] for bar in whole] == ["Forward", "Backward", "Optimizer"] * 2
    assert list(whole.values()) == pytest.approx([100] * len(whole))
    [compute] = [row for row in drawn.data(figure) if row["bar"] == "H200, Z2|Forward" and row["left"] == 0]
    assert compute["right"] == pytest.approx(93)
    said = drawn.texts(figure)
    assert {"H200, Z2", "OOM (backward)", "unsupported", "Compute kernels (CPU: operators)", "Idle"} <= set(said)


def test_on_a_cpu_alone_nothing_is_called_a_kernel(tmp_path: Path) -> None:
    manifest = fig_5(tmp_path)
    alone = manifest.model_copy(update={"cells": [cell for cell in manifest.cells if cell.platform == "cpu"]})
    said = drawn.texts(described(alone, tmp_path))
    assert "Compute operators" in said
    assert not any("kernel" in text for text in said)


def test_altair_looks_at_no_value_of_the_marks() -> None:
    mark = {"gib": 1.0, "says": {"Batch": "1"}}
    drawn_marks = alt.layer(alt.Chart().mark_point(), data=data_of([mark])).to_dict(validate=False)
    assert drawn_marks["data"]["values"][0] is mark, "of ten thousand cells a look at each takes seconds"
