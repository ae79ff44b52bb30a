"""The benchmark of repeatability, which really measures two operators in rounds on this CPU."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clones import ROOT, Clone, new_clone
from dissect.present.repeatability import from_rows

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CELLS = "operators/cpu/-/memcpy/host_to_host/fp32-b1-n1", "operators/cpu/-/gemm/square/fp32-b1-n1"


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    if not list(ROOT.glob(".envs/train-*/.complete")):
        pytest.skip("the train environment is not built: `make envs`")
    made = new_clone(tmp_path / "clone")
    for shared in (".envs", ".cache", ".venv"):
        (ROOT / shared).mkdir(exist_ok=True)
        (made.folder / shared).symlink_to(ROOT / shared)
    return made


def bench(clone: Clone) -> str:
    command = [sys.executable, "-m", "bench", "repeatability", "--cells", ",".join(CELLS), "--runs", "2"]
    environment = {**os.environ, "PYTHONPATH": f"scripts:{ROOT / 'tests'}"}
    return subprocess.run(
        command, cwd=clone.folder, env=environment, text=True, capture_output=True, check=True, timeout=300
    ).stdout


def test_another_call_adds_runs_in_shared_rounds(clone: Clone) -> None:
    assert "round 2, 2 of 2: " in bench(clone)
    bench(clone)
    with (clone.folder / "results/bench/repeatability_runs.csv").open() as file:
        copies, products = from_rows(csv.DictReader(file))
    assert (copies.cell, products.cell) == CELLS
    assert len({run.start for run in [*copies.runs, *products.runs]}) == 1
    rounds = [run.round for run in copies.runs]
    assert len(set(rounds)) == 4
    assert sorted(map(str, rounds)) == sorted(str(run.round) for run in products.runs)
    with (clone.folder / "results/bench/repeatability.csv").open() as file:
        of_copies, _, every = csv.DictReader(file)
    assert (of_copies["runs"], of_copies["known_start_trials"], of_copies["differences_trials"]) == ("4", "4", "1")
    assert (every["cell"], every["runs"], every["known_start_trials"]) == ("all cells", "8", "8")
