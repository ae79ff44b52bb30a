"""Further runs in a plan: where none are counted, since ``remeasure`` launches none."""

from pathlib import Path

import pandas as pd
import pytest

from dissect.answers import planning
from dissect.base.outcome import Phase, Status
from dissect.cells.any_spec import parse_spec
from dissect.cells.study import load_study
from dissect.results.store import Store
from factories import ended_result

SMALLER = "batch 1 of the same cell already ran out of memory"


@pytest.mark.parametrize(
    ("of", "status", "phase", "reason"),
    [
        ("rtx3090/llama2-7b/deepspeed/Z3/s350-bmax-n8", Status.SKIPPED_OOM, None, SMALLER),
        ("rtx3090/llama2-7b/deepspeed/BS/s350-b1-n8", Status.OOM, Phase.BUILD, "states alone take"),
    ],
)
def test_cells_that_certainly_run_out_of_memory_are_not_to_run(
    project: Path, of: str, status: Status, phase: Phase | None, reason: str
) -> None:
    asked = {"suite": "full", "select": f"pretrain/{of}"}
    cell = load_study(project, asked).selected[0]
    result = ended_result(parse_spec(cell.canonical or ""), status, phase, SMALLER)
    Store(project / "results/store").entry(result.key).write_run(result, [])
    given = {**asked, "more": 4}
    text = planning.answer(load_study(project, given), project, given)
    assert text.startswith("1 cells, 0 to run, 4 further runs of each\n")
    assert f"1 x will not fit: deepspeed, llama2-7b {cell.method}: {reason}" in text
    assert "GPU hours" not in text
    [row] = pd.read_csv(project / "results/plan.csv").fillna(0).to_dict("records")
    assert (row["status"], row["gpu_hours"]) == ("will not fit", 0)
    planning.answer(load_study(project, asked), project, asked)
    [row] = pd.read_csv(project / "results/plan.csv").to_dict("records")
    assert row["status"] == "cached", "its outcome is an answer"
