"""What planning calls for each cell: numbers of calls do not grow with the study. `make bench` measures the time."""

import pstats
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bench.projects import METHODS, cells_project
from clones import ROOT

FEW, MANY = 2, 6
"""Batch sizes of the study, each with every method."""
SEARCHES = """\
import atexit, gc
from snakemake.cli import main
atexit.register(lambda: print(*(each["collections"] for each in gc.get_stats()), gc.isenabled()))
main()
"""
"""Snakemake's entry point; prints the searches for garbage in each generation, and whether there would be more."""


def calls(batches: int, *arguments: str) -> Counter[str]:
    """Function -> number of its calls in a dry run that plans every cell of a study."""
    with cells_project(batches * METHODS) as folder:
        profile = folder / "calls"
        program = [sys.executable, "-m", "cProfile", "-o", str(profile), "-m", "snakemake", "--cores", "1", "-n"]
        subprocess.run([*program, *arguments], cwd=folder, check=True, capture_output=True)
        found: Counter[str] = Counter()
        for (file, _, name), (_, number, *_) in pstats.Stats(str(profile)).stats.items():  # type: ignore[attr-defined]
            found[f"{Path(file).stem}.{name}"] += number
        return found


def per_cell(*arguments: str) -> dict[str, float]:
    """Function -> number of its calls that each further cell adds."""
    few, many = calls(FEW, *arguments), calls(MANY, *arguments)
    return {name: (many[name] - few[name]) / (METHODS * (MANY - FEW)) for name in many}


@pytest.mark.slow
def test_each_cell_is_resolved_once_and_asks_no_batch_system() -> None:
    added = per_cell()
    assert added["training_cells.training_cell"] == 1, "reference results need no specs"
    sets = [path for path in (ROOT / "config/references").iterdir() if path.is_dir()]
    assert added["training_cells.training_head"] <= 1 + len(sets), "once, and once for each set that has its method"
    assert added["claimed.reads"] == 1
    assert added["study._manifest_cell"] < 1.5, "once for its table, once more if a claim reads it"
    assert added["claims.fits"] < 10, "selections of other methods are not looked at"
    assert added.get("resources.resources_of", 0) == 0
    asked = {name: number for name, number in added.items() if name.startswith("common.") and number}
    assert asked == {"common.cell_of": 3, "common.spec_of": 1, "common.launcher_of": 1, "common.runs_of": 1}
    assert added["resources.evaluate"] == 3 + 1, "those of the rule, their threads and Snakemake's tmpdir"


@pytest.mark.slow
def test_each_request_to_a_batch_system_is_made_once_per_cell() -> None:
    added = per_cell("--jobs", "1")
    assert added["resources.resources_of"] == 1


def searches(batches: int, *arguments: str) -> tuple[int, bool]:
    """Searches for garbage in a run on a study with so many batch sizes, and whether there would be more at its end."""
    with cells_project(batches * METHODS) as folder:
        command = [sys.executable, "-c", SEARCHES, "--cores", "1", *arguments]
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    *numbers, is_enabled = done.stdout.split()[-4:]
    return sum(map(int, numbers)), is_enabled == "True"


@pytest.mark.slow
def test_planning_searches_no_garbage_and_a_run_does() -> None:
    few, searches_on = searches(FEW, "-n")
    many, _ = searches(MANY, "-n")
    assert many - few < 2, "only what comes before the Snakefile makes any"
    assert not searches_on
    assert searches(FEW, "plan")[1], "what answers a question may take long"


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--no-hooks"]], ids=["", "no hooks"])
def test_a_run_searches_for_garbage_as_it_may_last_for_days(options: list[str]) -> None:
    assert searches(FEW, "results/tables/table_prediction.csv", *options)[1]
