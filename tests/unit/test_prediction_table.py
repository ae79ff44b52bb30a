"""The table of predicted against measured cells, and what the plan says of cells that were not run."""

import csv
import io
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import drawn
from dissect.base.outcome import Phase, Status
from dissect.cells.study import Study, load_study
from dissect.config.catalog import PREDICTION
from dissect.predict.memory import predict_memory
from dissect.predict.outlook import OUTSIDE_BYTES
from dissect.present.figures.against_measured import describe_prediction
from dissect.present.figures.draw import save
from dissect.present.plan import TIMES, plan_table, plan_text
from dissect.present.run_times import measured_times
from dissect.present.tables.predicted_cells import COLUMNS, build_prediction
from dissect.present.tables.read_tidy import read_tidy
from dissect.results.reference_sets import publish_references
from dissect.results.store import Store
from factories import ended_result, hardware, manifest, ok_result, pretrain_spec, published_cell, training_metrics

H200 = hardware(n_gpus=2)
PROJECT = Path(__file__).parents[2]


def measured(spec: Any, off: float) -> Any:
    """A result whose peak is off the predicted one by a share."""
    found = predict_memory(spec)
    assert found is not None
    return ok_result(spec, training_metrics(spec, peak_memory_bytes=int(found.peak_bytes / (1 + off))))


def ran_out(spec: Any) -> Any:
    return ended_result(spec, Status.OOM, Phase.OPTIMIZER, "out of memory")


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_errors_coverage_and_calls(tmp_path: Path) -> None:
    zero, zero3 = (pretrain_spec(H200, zero_stage=stage) for stage in (2, 3))
    out, proven = pretrain_spec(H200), pretrain_spec(H200, attention="flash_attention_2")
    cells = [
        published_cell(tmp_path, measured(zero, 0.0005), platform="h200", method="Z2"),
        published_cell(tmp_path, measured(zero3, -0.25), platform="h200", method="Z3"),
        published_cell(tmp_path, ran_out(out), platform="h200"),
        published_cell(tmp_path, ran_out(pretrain_spec(hardware(device="cpu"))), platform="cpu"),
        published_cell(tmp_path, ended_result(proven, Status.SKIPPED_OOM, None, "states alone"), platform="h200"),
    ]
    table = build_prediction(manifest(PREDICTION, cells, {"kind": PREDICTION}), tmp_path)
    rows = {row["method"]: row for row in rows_of(table.csv)}
    assert list(rows) == [
        "Z2",
        "Z3",
        "Naive",
    ]  # none of the CPU, whose memory is not predicted, and none that was not tried
    assert list(rows["Z2"]) == list(COLUMNS)
    assert float(rows["Z2"]["error"]) == pytest.approx(0.0005, rel=1e-3)
    assert [rows[method]["covered"] for method in ("Z2", "Z3", "Naive")] == ["True", "False", ""]
    assert [rows[method]["call"] for method in ("Z2", "Z3", "Naive")] == ["right", "right", "right"]
    assert rows["Naive"]["outlook"] == "expected to run out of memory"
    assert "gradients in fp32, one by one and flat" in rows["Naive"]["parts"]
    text = " ".join(table.markdown.split())
    assert "| all | | | | 3 | 12.52 | 25.00 | 1 of 2 | 3 | 0 | 0 |" in text
    assert "The largest errors: pretrain/h200/llama2-7b/deepspeed/Z3" in text


def test_a_wrong_call_counts(tmp_path: Path) -> None:
    fits = published_cell(tmp_path, ran_out(pretrain_spec(H200, zero_stage=3)), platform="h200")
    table = build_prediction(manifest(PREDICTION, [fits], {"kind": PREDICTION}), tmp_path)
    assert [row["call"] for row in rows_of(table.csv)] == ["wrong"]
    assert "| n/a | n/a | 0 of 0 | 0 | 0 | 1 |" in " ".join(table.markdown.split())


def test_what_may_run_out_of_memory_is_no_right_call(tmp_path: Path) -> None:
    found = predict_memory(pretrain_spec(H200))
    assert found
    memory = int(1.05 * found.peak_bytes) + OUTSIDE_BYTES
    spec = pretrain_spec(H200.model_copy(update={"device_memory_bytes": memory}))
    close = published_cell(tmp_path, measured(spec, 0), platform="h200")
    table = build_prediction(manifest(PREDICTION, [close], {"kind": PREDICTION}), tmp_path)
    assert [row["call"] for row in rows_of(table.csv)] == ["open"]
    assert "| 1 of 1 | 0 | 1 | 0 |" in " ".join(table.markdown.split())


def study(project: Path, **command_line: Any) -> Study:
    return load_study(project, {"suite": "full", **command_line})


def test_the_table_has_the_cells_on_gpus(project: Path) -> None:
    with_gpus = study(project, platforms=["cpu", "a800"])
    cells = with_gpus.manifest(PREDICTION).cells
    assert {cell.platform for cell in cells} == {"a800"}
    assert {cell.stage for cell in cells} == {"pretrain", "finetune", "profile", "serve", "operators"}
    assert {cell.framework for cell in cells if cell.stage == "operators"} == {"gemm", "memcpy", "collectives"}
    assert set(with_gpus.paths_of(PREDICTION)) <= set(with_gpus.targets)
    assert PREDICTION in with_gpus.wanted("table")
    assert PREDICTION not in study(project, platforms=["cpu"]).wanted("table")
    assert PREDICTION not in study(project, platforms=["a800"], tables=["table_II"]).wanted("table")

    assert not study(project, platforms=["a800"], tables=["operators_gemm", PREDICTION], figures=[]).prediction.cells


def test_the_plan_says_what_is_expected(project: Path) -> None:
    only = {
        "platforms": ["a800"],
        "models": ["llama2-7b"],
        "tables": ["table_II", "table_III", "table_IV"],
        "figures": [],
    }
    asked = study(project, **only)
    planned = plan_table(asked, Store(project / "results/store"))
    trained = planned[planned["framework"] == "deepspeed"]
    row = trained[(trained["method"] == "Z3") & (trained["workload"] == "s350-b1-n8")].iloc[0]
    assert (row["status"], row["outlook"], row["expected_batch"]) == ("to run", "expected to fit", 1)
    assert 0 < row["memory_low_gib"] < row["memory_gib"] < row["memory_high_gib"] < 80
    largest = trained[(trained["method"] == "Z3") & trained["workload"].str.contains("bmax")].iloc[0]
    assert largest["expected_batch"] > 1
    out = planned[(planned["outlook"] == "expected to run out of memory") & (planned["status"] == "to run")]
    assert len(out) > 0, "a prediction is not a proof, so such a cell runs"
    assert "x expected to run out of memory (predicted): deepspeed on a800, llama2-7b" in plan_text(
        planned, asked.catalog
    )


def test_the_plan_is_of_the_selected_cells_and_the_docs_name_its_columns(project: Path) -> None:
    glob = "pretrain/a800/llama2-7b/ddp/Naive/*"
    asked = study(project, platforms=["a800"], select=glob, times=True, rates=True)
    plan = plan_table(asked, Store(project / "results/store"), measured_times(asked, project))
    cells = plan[["stage", "platform", "model", "framework", "method"]].drop_duplicates()
    assert ["/".join(cell) for cell in cells.itertuples(index=False)] == [glob.removesuffix("/*")]
    page = (PROJECT / "docs/output.md").read_text().partition("## Columns of the plan")[2].partition("\n## ")[0]
    named = re.findall(r"`([a-z_]+)`", "".join(line.split(" | ")[0] for line in page.splitlines() if line[:3] == "| `"))
    assert sorted(named) == sorted(plan.columns)


def test_methods_that_will_not_fit_share_a_line(project: Path) -> None:
    asked = study(project, platforms=["a800"], models=["llama2-7b", "llama2-13b"], tables=["table_III"], figures=[])
    lines = plan_text(plan_table(asked, Store(project / "results/store")), asked.catalog).splitlines()
    assert "4 x will not fit: ddp, llama2-13b Naive, F, R, F+R: states alone take 121 GiB per GPU" in lines
    assert "times=true predicts how long they take" in lines


def test_what_will_not_fit_has_a_line_per_framework_and_model(project: Path) -> None:
    asked = study(project, platforms=["a800"], models=["llama2-70b"], tables=["table_IX", "table_III"], figures=[])
    plan = plan_table(asked, Store(project / "results/store"))
    assert [line for line in plan_text(plan, asked.catalog).splitlines() if "will not fit: " in line] == [
        "4 x will not fit: ddp, llama2-70b Naive, F, R, F+R: states alone take 642 GiB per GPU",
        "25 x will not fit: deepspeed, llama2-70b Z2+O, Z3, F+Z2+O, F+Z3 and 21 more: "
        "states alone take 128 to 241 GiB per GPU",
    ]
    assert plan["states_gib"].notna().sum() == 29


def test_the_plan_predicts_memory_throughput_and_energy_of_servers(project: Path) -> None:
    shutil.copytree(PROJECT / "config/references/h200", project / "config/references/h200")
    asked = study(project, platforms=["h200"], models=["llama2-7b"], tables=["table_arrival"], figures=[])
    publish_references(project)
    planned = plan_table(asked, Store(project / "results/store"), measured_times(asked, project))
    row = planned[planned["framework"] == "sglang"].iloc[0]
    assert 0 < row["memory_low_gib"] < row["memory_gib"] < row["memory_high_gib"]
    assert 0 < row["energy_low_j"] < row["energy_j"] < row["energy_high_j"]
    assert row["tokens_per_s"] > 0
    assert "sglang on h200, llama2-7b: " in plan_text(planned, asked.catalog)
    unpredicted = planned[planned["framework"] == "transformers"].iloc[0]
    assert pd.isna(unpredicted["memory_gib"])
    assert pd.isna(unpredicted["tokens_per_s"])


def test_the_plan_predicts_times_where_they_are_asked_for(project: Path) -> None:
    only = {"platforms": ["h200-x2", "a800"], "models": ["llama2-7b"], "tables": ["table_III"], "figures": []}
    asked = study(project, **only)
    store = Store(project / "results/store")
    without = plan_table(asked, store)
    assert not set(TIMES) & set(without.columns)
    assert "tokens/s" not in plan_text(without, asked.catalog)
    shutil.copytree(PROJECT / "config/references/h200", project / "config/references/h200")
    asked = study(project, **only)
    publish_references(project)
    planned = plan_table(asked, store, measured_times(asked, project))
    plain = planned[(planned["framework"] == "deepspeed") & (planned["method"] == "Z3")]
    on_h200, on_a800 = (plain[plain["platform"] == platform].iloc[0] for platform in ("h200-x2", "a800"))
    for row in (on_h200, on_a800):
        assert 0 < row["step_low_s"] < row["predicted_step_s"] < row["step_high_s"]
        parts = ("compute_s", "exposed_communication_s", "optimizer_s", "offload_s", "launch_s")
        assert sum(row[part] for part in parts) == pytest.approx(row["predicted_step_s"])
    assert "compute: operator measured on this GPU" in on_h200["time_origins"]
    assert "measured cells of other machines with NVIDIA H200" in on_h200["corrected_by"]
    assert 0 < on_h200["energy_low_j"] < on_h200["energy_j"] < on_h200["energy_high_j"]
    assert "compute: datasheet" in on_a800["time_origins"]
    assert pd.isna(on_a800["energy_j"]), "no result has its power limit"
    assert "deepspeed on h200-x2, llama2-7b: " in plan_text(planned, asked.catalog)


def test_the_figure_has_every_measured_cell_with_its_interval(tmp_path: Path) -> None:
    zero, zero3 = (pretrain_spec(H200, zero_stage=stage) for stage in (2, 3))
    cells = [
        published_cell(tmp_path, measured(zero, 0.0005), platform="h200", method="Z2"),
        published_cell(tmp_path, measured(zero3, -0.25), platform="h200", method="Z3"),
        published_cell(tmp_path, ran_out(pretrain_spec(H200)), platform="h200"),
    ]
    predicted = manifest(PREDICTION, cells, {"kind": PREDICTION})
    (tmp_path / "table.csv").write_text(build_prediction(predicted, tmp_path).csv)
    described = describe_prediction(predicted, read_tidy(tmp_path / "table.csv"))
    points = [row for row in drawn.data(described) if "says" in row]
    assert {mark["method"]: mark["says"]["Error"] for mark in points} == {
        "Z2": "0.1 % too much", "Z3": "25.0 % too little",
    }  # fmt: skip
    assert all(mark["low"] < mark["predicted"] < mark["high"] for mark in points)
    save(described, tmp_path / "figure.svg")
    assert "Peak memory" in (tmp_path / "figure.svg").read_text()


def test_the_figure_says_so_where_nothing_fitted(tmp_path: Path) -> None:
    cells = [published_cell(tmp_path, ran_out(pretrain_spec(H200)), platform="h200")]
    predicted = manifest(PREDICTION, cells, {"kind": PREDICTION})
    (tmp_path / "table.csv").write_text(build_prediction(predicted, tmp_path).csv)
    save(describe_prediction(predicted, read_tidy(tmp_path / "table.csv")), tmp_path / "figure.svg")
    assert "No predicted cell has a number." in (tmp_path / "figure.svg").read_text()
