"""The rate that holds in a plan: what is predicted of a search, and what the same cell measured."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import recommend_cases
from dissect.cells.any_spec import parse_spec
from dissect.cells.cell_id import CellId
from dissect.cells.spec import ServeSpec
from dissect.cells.study import load_study
from dissect.present.plan import plan_table, plan_text
from dissect.present.plan_rates import COLUMNS, measured_rates, rate_lines
from dissect.present.run_times import measured_times
from dissect.present.tables.rate_views import search_of
from dissect.results.cell_runs import read_runs
from dissect.results.reference_sets import publish_references
from dissect.results.store import Store
from factories import in_rounds, ok_result, search_metrics

PROJECT = Path(__file__).parents[2]
CELL = "serve/h200/llama2-7b/vllm/tuned/r1000-i512-o128-holds99-ttft2-tpot0.2-n1"
ONLY = {"platforms": ["h200"], "suite": "full", "select": CELL, "runs": 3}


def planned(project: Path, **command_line: Any) -> tuple[pd.DataFrame, list[str]]:
    asked = load_study(project, command_line)
    plan = plan_table(asked, Store(project / "results/store"), measured_times(asked, project))
    return plan, plan_text(plan, asked.catalog).splitlines()


@pytest.fixture
def searched(project: Path) -> Path:
    """A project with the shipped search of one cell."""
    cell = Path("config/references/h200-servers", CELL)
    shutil.copytree(PROJECT / cell, project / cell)
    publish_references(project)
    return project


def test_the_rate_that_holds_is_predicted_where_it_is_asked_for(project: Path) -> None:
    path = project / "config/experiments/table_rate.yaml"
    path.write_text(path.read_text().replace("probe_s: 20", "highest: 2"))
    asked = {"platforms": ["a800"], "tables": ["table_rate"], "suite": "smoke"}
    plan, text = planned(project, rates=True, **asked)
    known = plan[plan["predicted_rate_per_s"].notna()]
    assert {"vllm", "sglang"} == set(known["framework"])
    assert (known["rate_low_per_s"] <= known["predicted_rate_per_s"]).all()
    assert known["rate_from"].str.startswith("kernels: datasheet").all()
    assert sum(" requests/s (predicted)" in line for line in text) == len(known)
    assert "predicted_rate_per_s" not in planned(project, times=True, **asked)[0]


def test_the_measured_rate_stands_beside_the_predicted_one(searched: Path) -> None:
    [file] = (PROJECT / "config/references/h200-servers" / CELL).glob("*.json")
    [run] = read_runs(file).runs
    found = search_of(run)
    assert found
    plan, text = planned(searched, rates=True, **ONLY)
    [row] = plan.to_dict("records")
    assert (row["status"], row["measured_rate_per_s"], row["measured_in"]) == ("to run", found.rate, "h200-servers")
    [line] = [line for line in text if line.startswith(CELL)]
    assert line.endswith(f" requests/s (predicted), {found.rate:.1f} requests/s (measured, reference h200-servers)")
    assert not any("requests/s" in line for line in planned(searched, times=True, **ONLY)[1])


def test_a_search_of_the_other_suite_is_another_one(searched: Path) -> None:
    """Both have one id, but ``smoke`` tries fewer rates, each in a shorter time."""
    [row] = planned(searched, rates=True, **{**ONLY, "suite": "smoke"})[0].to_dict("records")
    assert row["predicted_rate_per_s"] > 0
    assert pd.isna(row["measured_rate_per_s"])


def test_results_of_this_clone_come_before_references(searched: Path) -> None:
    cell = load_study(searched, ONLY).selected[0]
    spec = parse_spec(cell.canonical or "")
    assert isinstance(spec, ServeSpec)
    for run in in_rounds([ok_result(spec, search_metrics(spec, 30.0))] * 3):
        Store(searched / "results/store").entry(run.key).write_run(run, [])
    plan, text = planned(searched, rates=True, **ONLY)
    [row] = plan.to_dict("records")
    assert (row["status"], row["measured_in"]) == ("cached", "results")
    assert row["predicted_rate_per_s"] > 0, "of what is measured too: both are asked for"
    assert row["measured_rate_per_s"] <= 30.0
    [line] = [line for line in text if line.startswith(CELL)]
    assert f" (predicted), {row['measured_rate_per_s']:.1f} " in line
    assert line.endswith(" requests/s (measured)")


def test_a_search_that_found_only_bounds_has_these(tmp_path: Path) -> None:
    record = recommend_cases.searched(tmp_path, "vllm", 1e6, 0.8)
    [((cell, _), rate)] = measured_rates([record, recommend_cases.serving(tmp_path, "vllm", 2.0)]).items()
    plan = pd.DataFrame([{**CellId.parse(cell)._asdict(), **rate}], columns=[*CellId._fields, *COLUMNS], dtype=object)
    assert [*rate_lines(plan)] == [f"{cell}: {rate['rate_bound']} requests/s (measured)"]
    assert str(rate["rate_bound"]).startswith("≥ ")
