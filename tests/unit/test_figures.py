"""From a tidy CSV to a figure."""

import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import factories as make
from dissect.base.outcome import Status
from dissect.cells.manifest import Manifest
from dissect.config.layout import FigureLayout
from dissect.present.figures.draw import draw, read_tidy, save
from dissect.present.figures.phases import groups_of
from dissect.present.figures.roofline import roof
from dissect.present.figures.scaling import series_of
from dissect.present.figures.style import OKABE_ITO, look, style
from dissect.present.tables.efficiency import efficiencies
from dissect.present.tables.table import build_table
from table_cases import OOM, fig_4, fig_5, fig_6, fig_10, fig_attention, fig_roofline, scaling

ROOT = Path(__file__).parents[2]
SKIPPED = (Status.SKIPPED_OOM, None, "batch 1 ran out of memory")


def tidy(manifest: Manifest, project: Path) -> pd.DataFrame:
    path = project / "tidy.csv"
    path.write_text(build_table(manifest, project).csv)
    return read_tidy(path)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text()]


def throughputs(*rows: tuple[int, float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["n_gpus", "tokens_per_s", "tokens_per_s_low", "tokens_per_s_high"])


def test_efficiency_is_throughput_per_gpu_over_that_of_the_smallest_count() -> None:
    # Unsorted on purpose; half widths of 3 % and 4 % make one of 5 %.
    points = efficiencies(throughputs((8, 640.0, 614.4, 665.6), (2, 200.0, 194.0, 206.0)))
    assert [point.n_gpus for point in points] == [2, 8]
    assert (points[0].efficiency, points[0].low, points[0].high) == (100, 100, 100)
    assert points[1].efficiency == pytest.approx(80)
    assert points[1].low == pytest.approx(80 * 0.95)
    assert points[1].high == pytest.approx(80 * 1.05)


def test_an_asymmetric_interval_turns_over_with_the_base() -> None:
    points = efficiencies(throughputs((1, 100.0, 90.0, 100.0), (2, 200.0, 200.0, 200.0)))
    assert points[1].low == pytest.approx(100)
    assert points[1].high == pytest.approx(110)


def test_no_rows_make_no_points() -> None:
    assert efficiencies(throughputs()) == []


def test_series_keep_numbers_and_outcomes_apart(tmp_path: Path) -> None:
    manifest = fig_4(tmp_path)
    series = series_of(manifest, FigureLayout.model_validate(manifest.layout), tidy(manifest, tmp_path))
    assert [line.label for line in series] == ["A800", "RTX4090", "RTX3090"]
    assert [[point.n_gpus for point in line.points] for line in series] == [[1, 2, 4, 8], [2, 4, 8], []]
    assert [[missing.n_gpus for missing in line.missing] for line in series] == [[], [1], [1, 2, 4, 8]]
    assert series[1].points[-1].efficiency == pytest.approx(90.8)
    assert series[2].missing[-1].reason == "timeout (forward): the budget of 600 s was spent"


def test_what_the_figure_says(tmp_path: Path) -> None:
    manifest = fig_4(tmp_path)
    figure = draw(manifest, tidy(manifest, tmp_path))
    axes = figure.axes[0]
    figure.canvas.draw()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "4", "8"]
    assert axes.get_xscale() == "log"
    said = texts(figure)
    assert {"A800", "RTX4090 (100 % at 2)", "RTX3090 (no number)", "ideal", "Number of GPUs"} <= set(said)
    assert (said.count("OOM"), said.count("timeout")) == (4, 1)


def test_on_cpu_processes_are_counted(tmp_path: Path) -> None:
    manifest = scaling(tmp_path, {"cpu": (100.0, 57.0)}, (1, 2))
    assert "Number of processes" in texts(draw(manifest, tidy(manifest, tmp_path)))


def test_unsupported_cells_are_drawn_as_such(tmp_path: Path) -> None:
    manifest = scaling(tmp_path, {"cpu": (100.0, 57.0)}, (1, 2))
    cell = make.unsupported_cell("the platform has 2 GPUs, not 4", platform="cpu", method="Q", n_gpus=4, batch=2)
    wider = manifest.model_copy(update={"cells": [*manifest.cells, cell]})
    assert "unsupported" in texts(draw(wider, tidy(wider, tmp_path)))


def test_without_any_number_the_figure_says_why(tmp_path: Path) -> None:
    manifest = scaling(tmp_path, {"h200": (OOM, OOM, SKIPPED)}, (1, 2, 4))
    said = "\n".join(texts(draw(manifest, tidy(manifest, tmp_path))))
    assert "No point of this figure has a number" in said
    assert "H200, 1, 2: OOM (backward)" in said
    assert "H200, 4: OOM (skipped): batch 1 ran out" in said


def test_without_any_cell_the_figure_says_so(tmp_path: Path) -> None:
    manifest = make.manifest("fig_4", [], {"kind": "scaling", "series": ["platform"]})
    assert "The experiment has no cell on the configured platforms." in texts(draw(manifest, tidy(manifest, tmp_path)))


@pytest.mark.parametrize("suffix", ["pdf", "svg", "png"])
def test_a_redraw_has_the_same_bytes_whatever_the_users_settings(suffix: str, tmp_path: Path) -> None:
    manifest = fig_4(tmp_path)
    frame = tidy(manifest, tmp_path)
    first, second = tmp_path / f"first.{suffix}", tmp_path / f"second.{suffix}"
    save(manifest, frame, [first])
    with mpl.rc_context({"lines.linewidth": 9, "font.size": 30, "svg.hashsalt": None}):
        save(manifest, frame, [None, second])
        assert mpl.rcParams["lines.linewidth"] == 9
    assert first.read_bytes() == second.read_bytes()
    assert b"Matplotlib v" not in first.read_bytes()


def test_looks_differ() -> None:
    looks = [look(index) for index in range(3 * len(OKABE_ITO))]
    assert len(set(looks)) == len(looks)
    assert len({colour for colour, _ in looks[: len(OKABE_ITO)]}) == len(OKABE_ITO)
    assert len({marker for _, marker in looks[: len(OKABE_ITO)]}) == len(OKABE_ITO)


def test_lines_are_drawn_where_the_numbers_are(tmp_path: Path) -> None:
    manifest = scaling(tmp_path, {"a800": (100.0, 90.0), "rtx4090": (100.0, 80.0)}, (1, 8))
    with style():
        axes = draw(manifest, tidy(manifest, tmp_path)).axes[0]
    drawn = {str(line.get_label()): np.asarray(line.get_ydata()) for line in axes.lines}
    assert drawn["A800"] == pytest.approx([100, 90])
    assert drawn["RTX4090"] == pytest.approx([100, 80])
    low, high = axes.get_ylim()
    assert low < 80
    assert high > 100


def test_entry_point_draws_every_format(tmp_path: Path) -> None:
    manifest = fig_4(tmp_path)
    (tmp_path / "fig_4.json").write_text(manifest.to_json())
    tidy(manifest, tmp_path)
    command = [sys.executable, str(ROOT / "scripts/draw_figure.py"), "fig_4.json", "tidy.csv"]
    subprocess.run([*command, "--pdf", "f.pdf", "--svg", "f.svg", "--png", "f.png"], cwd=tmp_path, check=True)
    assert [(tmp_path / f"f.{suffix}").read_bytes()[:4] for suffix in ("pdf", "png")] == [b"%PDF", b"\x89PNG"]
    save(manifest, read_tidy(tmp_path / "tidy.csv"), [tmp_path / "again.svg"])
    assert (tmp_path / "again.svg").read_bytes() == (tmp_path / "f.svg").read_bytes()


def test_bars_are_as_high_as_the_numbers_and_outcomes_stand_in_their_place(tmp_path: Path) -> None:
    manifest = fig_6(tmp_path)
    frame = tidy(manifest, tmp_path)
    figure = draw(manifest, frame)
    heights = sorted(patch.get_height() for axes in figure.axes for patch in axes.patches)  # type: ignore[attr-defined]
    assert heights == pytest.approx(sorted(frame["output_tokens_per_s"].dropna()))
    said = texts(figure)
    assert {"TGI: invalid", "TGI: OOM", "transformers serve: unsupported"} <= set(said)
    assert said.count("TGI: OOM") == 1, "both policies ended alike"
    assert {"vLLM", "LightLLM", "TGI", "tuned", "aligned", "Llama2-7b", "Llama2-70b"} <= set(said)


def test_a_distribution_steps_through_every_request(tmp_path: Path) -> None:
    manifest = fig_10(tmp_path)
    frame = tidy(manifest, tmp_path)
    figure = draw(manifest, frame)
    lines = [line for axes in figure.axes for line in axes.lines]
    assert len(lines) == 10
    mine = frame[(frame.framework == "vllm") & (frame.method == "tuned") & (frame.model == "llama2-7b")]
    drawn = lines[0]
    assert list(np.asarray(drawn.get_xdata()))[1:] == pytest.approx(sorted(mine["latency_s"]))
    assert list(np.asarray(drawn.get_ydata())) == pytest.approx([0, *(100 * (n + 1) / 40 for n in range(40))])
    assert {"TGI: OOM (kv_cache)", "transformers serve: unsupported"} <= set(texts(figure))


@pytest.mark.parametrize("kind", ["throughput", "distribution"])
def test_a_serving_figure_without_any_number_says_why(kind: str, tmp_path: Path) -> None:
    reason = "the platform declares no environment for tgi"
    ids = {"stage": "serve", "framework": "tgi", "method": "tuned", "seq_len": None, "batch": None}
    manifest = fig_6(tmp_path).model_copy(update={"cells": [make.unsupported_cell(reason, platform="a800", **ids)]})
    if kind == "distribution":
        manifest = manifest.model_copy(update={"layout": fig_10(tmp_path).layout})
    said = " ".join(texts(draw(manifest, tidy(manifest, tmp_path))))
    assert "No cell of this figure has a number" in said
    assert "TGI, tuned, Llama2-7b: unsupported:" in " ".join(said.split())


def test_a_roof_is_the_lower_of_memory_and_peak() -> None:
    assert roof(100, 989.5e12, 4.8e12) == 480e12
    assert roof(1000, 989.5e12, 4.8e12) == 989.5e12
    assert roof(1000, 989.5e12, None) == 989.5e12
    assert roof(10, None, 4.8e12) == 48e12
    assert roof(10, None, None) is None


def test_products_stand_below_the_roof_that_the_platform_declares(tmp_path: Path) -> None:
    manifest = fig_roofline(tmp_path)
    figure = draw(manifest, tidy(manifest, tmp_path))
    h200, cpu, rtx4090 = figure.axes
    figure.canvas.draw()
    said = texts(figure)
    assert {"H200", "CPU", "RTX4090", "Llama2-7b", "no model", "no number", "Throughput (TFLOP/s)"} <= set(said)
    assert "roof: bf16 peak 989.5 TFLOP/s, memory 4,800 GB/s" in h200.get_title(loc="left").replace("\n", " ")
    assert "OOM: Llama2-7b q/k/v/o 4096 rows" in h200.get_title(loc="left")
    assert "timeout: Llama2-7b head 4096 rows" in h200.get_title(loc="left").replace("\n", " ")
    assert "there is no roof" in cpu.get_title(loc="left").replace("\n", " ")
    assert "OOM: Llama2-7b" in rtx4090.get_title(loc="left")
    drawn = {str(line.get_label()): line for line in h200.lines}
    assert np.asarray(drawn["no model"].get_ydata()) == pytest.approx([137.3, 34.36], rel=1e-3)
    roofs = [line for line in h200.lines if str(line.get_label()).startswith("_")]
    low, ridge, high = np.asarray(roofs[0].get_ydata())
    assert (ridge, high) == pytest.approx((989.5, 989.5))
    assert low == pytest.approx(4.8 * float(np.asarray(roofs[0].get_xdata())[0]))
    assert not [line for line in cpu.lines if str(line.get_label()).startswith("_")]


def test_curves_have_a_panel_per_value_and_one_legend(tmp_path: Path) -> None:
    manifest = fig_attention(tmp_path)
    figure = draw(manifest, tidy(manifest, tmp_path))
    forward, backward = figure.axes
    figure.canvas.draw()
    said = texts(figure)
    assert {"Forward", "Backward", "Sequence length", "Throughput (TFLOP/s)"} <= set(said)
    assert (said.count("eager"), said.count("sdpa_flash")) == (1, 1)
    for axes in (forward, backward):
        assert "OOM: eager sequence length 4096" in axes.get_title(loc="left")
        assert "invalid: sdpa_efficient" in axes.get_title(loc="left").replace("\n", " ")
    lines = {str(line.get_label()): np.asarray(line.get_ydata()) for line in forward.lines}
    assert lines["sdpa_flash"] == pytest.approx([85.9, 137.4], rel=1e-3)
    assert len(lines["eager"]) == 1
    assert [label.get_text() for label in forward.get_xticklabels()] == ["1024", "4096"]


@pytest.mark.parametrize("layout", [
    {"kind": "roofline", "view": "gemm", "panels": ["platform"], "series": ["model"], "x": ["product", "rows"],
     "values": ["tflops"]},
    {"kind": "curve", "view": "memcpy", "series": ["method"], "x": ["size_bytes"], "values": ["gb_per_s"]},
])  # fmt: skip
def test_panels_without_any_cell_say_so(layout: dict[str, object], tmp_path: Path) -> None:
    manifest = make.manifest("fig_none", [], layout)
    assert "The experiment has no cell on the configured platforms." in texts(draw(manifest, tidy(manifest, tmp_path)))


def test_phases_are_stacked_to_the_whole(tmp_path: Path) -> None:
    manifest = fig_5(tmp_path)
    groups = groups_of(manifest, FigureLayout.model_validate(manifest.layout), tidy(manifest, tmp_path))
    assert [(group.label, group.outcome) for group in groups] == [
        ("H200, Naive", "OOM (backward)"), ("H200, Z2", ""), ("CPU, Naive", ""), ("A800, Naive", "unsupported"),
    ]  # fmt: skip
    assert [bar.label for bar in groups[1].bars] == ["Forward", "Backward", "Optimizer"]
    assert groups[1].bars[0].shares == pytest.approx((93, 0, 7))
    assert all(sum(bar.shares) == pytest.approx(100) for group in groups for bar in group.bars)


def test_what_the_figure_of_phases_says(tmp_path: Path) -> None:
    manifest = fig_5(tmp_path)
    figure = draw(manifest, tidy(manifest, tmp_path))
    figure.canvas.draw()
    said = texts(figure)
    assert {"H200, Z2", "OOM (backward)", "unsupported", "Compute kernels (CPU: operators)", "Idle"} <= set(said)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["", "Forward", "Backward", "Optimizer", "Forward", "Backward", "Optimizer", ""]


def test_on_a_cpu_alone_nothing_is_called_a_kernel(tmp_path: Path) -> None:
    manifest = fig_5(tmp_path)
    alone = manifest.model_copy(update={"cells": [cell for cell in manifest.cells if cell.platform == "cpu"]})
    said = texts(draw(alone, tidy(alone, tmp_path)))
    assert "Compute operators" in said
    assert not any("kernel" in text for text in said)


def test_a_figure_of_phases_without_cells_says_so(tmp_path: Path) -> None:
    empty = fig_5(tmp_path).model_copy(update={"cells": []})
    assert "The experiment has no cell on the configured platforms." in texts(draw(empty, tidy(empty, tmp_path)))
