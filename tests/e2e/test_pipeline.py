"""The whole pipeline with real DeepSpeed on two processes, and a kill half way."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from clones import ROOT, Clone, new_clone
from dissect.base.outcome import Status
from dissect.metrics.training import TrainingMetrics
from dissect.results.cell_runs import read_runs

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

QUICK = "{'pretrain/cpu/*/*/*/*': {sampling: {min_steps: 6, max_steps: 6, warmup_max_steps: 4, budget_s: 200}}}"
BOTH = ",".join(f"pretrain/cpu/*/{method}/s128-b1-n2" for method in ("ddp/Naive", "deepspeed/Z2"))
OFFLOADED = "pretrain/cpu/*/deepspeed/Z2+O/s128-b1-n2"
CELLS = ["cells", "--config", f"select=[{BOTH}]", f"overrides={QUICK}"]


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    if not list(ROOT.glob(".envs/train-*/.complete")):
        pytest.skip("the train environment is not built: `make envs`")
    made = new_clone(tmp_path / "clone")
    made.edit(
        "config/experiments/table_III.yaml",
        "ddp: [Naive, F+R], deepspeed: [Z2, Z2+O, Z3+O, Q]",
        "ddp: [Naive], deepspeed: [Z2]",
    )
    for shared in (".envs", ".cache", ".venv"):
        (ROOT / shared).mkdir(exist_ok=True)
        (made.folder / shared).symlink_to(ROOT / shared)
    return made


def measuring(folder: Path) -> list[psutil.Process]:
    """Every process that measures for a clone: the parent first, then its ranks."""
    parents = [p for p in psutil.process_iter(["cmdline", "cwd"]) if _measures(p, folder)]
    return parents[:1] + [child for parent in parents[:1] for child in parent.children(recursive=True)]


def _measures(process: psutil.Process, folder: Path) -> bool:
    command = process.info["cmdline"] or []
    return process.info["cwd"] == str(folder) and command[1:2] == ["scripts/measure.py"] and process.ppid() != 0


def wait_for_ranks(folder: Path) -> list[psutil.Process]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        # Imports start short-lived processes too: what they look for is on the machine or not.
        if list(folder.glob("results/store/*/ranks")) and len(found := measuring(folder)) >= 3:
            return found
        time.sleep(0.1)
    raise AssertionError("no ranks were started")


def test_a_kill_half_way_loses_nothing_and_the_next_run_finishes(clone: Clone) -> None:
    command = [sys.executable, "-m", "snakemake", "--profile", "profiles/cpu", *CELLS]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    run = subprocess.Popen(
        command, cwd=clone.folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    processes = wait_for_ranks(clone.folder)
    key = next((clone.folder / "results/store").iterdir())
    progress = ["progress", *CELLS[1:]]
    for process in processes:  # that it is still at work when it is looked at
        process.suspend()
    shown = clone.snakemake(*progress).output
    for process in processes:
        process.resume()
    assert "2 cells: 1 running, 1 waiting" in shown
    assert "/s128-b1-n2  ranks at work, for " in shown
    os.kill(processes[0].pid, signal.SIGKILL)
    output, _ = run.communicate(timeout=200)
    assert run.returncode == 1, output
    assert not list(key.rglob("result.json"))
    assert not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    shown = clone.snakemake(*progress).output
    assert "2 cells: 1 done, 1 interrupted" in shown
    assert "1 cell not predicted, at most 3 min by their budgets" in shown, "the other is of another framework"
    measured_before = {path.parts[-4] for path in clone.folder.glob("results/store/*/runs/*/result.json")}

    clone.snakemake(*CELLS)
    assert clone.snakemake(*progress).output.rstrip().endswith("everything is measured")
    results = {path.stem: read_runs(path).newest for path in clone.folder.glob("results/cells/pretrain/**/*.json")}
    assert len(results) == 2
    assert {result.status for result in results.values()} == {Status.OK}
    assert all(isinstance(result.metrics, TrainingMetrics) for result in results.values())
    logs = {key: (clone.folder / f"results/store/{key}/log.txt").read_text() for key in results}
    assert [key for key in results if logs[key].count("=== attempt") != 1] == [key.name for key in [key]]
    assert measured_before < set(results)


def test_a_table_from_real_cells(clone: Clone) -> None:
    clone.snakemake("results/tables/table_III.csv", "--config", f"overrides={QUICK}")
    with (clone.folder / "results/tables/table_III.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"Naive", "Z2"}
    for row in rows.values():
        assert row["status"] == "ok"
        assert float(row["tokens_per_s"]) > 0
        assert row["attention_kernel"] == "eager"
        assert row["trainable_parameters"] == "7358720"
    # Nothing is left to do, and nothing is measured twice.
    assert clone.snakemake("results/tables/table_III.csv", "--config", f"overrides={QUICK}").jobs == []


def test_a_folder_whose_name_has_a_space_compiles_the_cpu_optimizer(clone: Clone, tmp_path: Path) -> None:
    """In a cache of its own, since torch writes the paths of the environment into what it compiles."""
    spaced = clone.copy(tmp_path / "a clone", without=(".cache",))
    spaced.snakemake("cells", "--config", f"select={OFFLOADED}", "suite=full", "runs=1", f"overrides={QUICK}")
    assert read_runs(spaced.cell_file("/Z2+O/")).status is Status.OK
