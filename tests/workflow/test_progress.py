"""``snakemake progress`` beside a run: what it says, and that the run does not notice."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from clones import Clone
from slow_runs import SLOW, clone_with_a_slow_cell, running, slow_activity, wait_for


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """Table III alone, with one cell that takes as long as the test wants."""
    return clone_with_a_slow_cell(tmp_path / "clone")


@pytest.fixture
def run(clone: Clone) -> Iterator["subprocess.Popen[str]"]:
    """A run in the same folder."""
    with running(clone, "all") as process:
        yield process


def files(clone: Clone) -> dict[str, int]:
    """All but what each run of Snakemake logs, with their times."""
    found = [path for path in clone.folder.rglob("*") if path.is_file() and ".snakemake/log/" not in str(path)]
    return {str(path): path.stat().st_mtime_ns for path in found}


def test_a_second_terminal_sees_the_run_and_leaves_it_alone(clone: Clone, run: subprocess.Popen[str]) -> None:
    before = files(clone)
    assert any("/.snakemake/locks/" in path for path in before)
    shown = clone.snakemake("progress").output
    assert f"{SLOW}  starting, for " in shown
    assert "1 running" in shown
    assert "SNAKEMAKE" not in shown, "the answer is all that it prints"
    assert files(clone) == before
    refused = clone.snakemake("all", expect=1).output
    assert "another snakemake is active in this folder and makes some of the same files" in refused

    (clone.folder / "slow_keys.txt").unlink()
    output, _ = run.communicate()
    assert run.returncode == 0, output
    assert "1 running" not in clone.snakemake("progress").output
    assert clone.snakemake("progress", profile=None).output.rstrip().endswith("everything is measured")
    assert clone.snakemake("all").jobs == []


def test_what_was_killed_is_interrupted_not_running(clone: Clone, run: subprocess.Popen[str]) -> None:
    activity = slow_activity(clone)
    assert activity is not None
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    with pytest.raises(ProcessLookupError):
        wait_for(lambda: os.kill(activity.pid, 0))
    shown = clone.snakemake("progress").output
    assert f"{SLOW}  attempt 1, begun " in shown
    assert "running" not in shown
    (clone.folder / "slow_keys.txt").unlink()
    clone.snakemake("--unlock", "all")
    clone.snakemake("all")
    assert "interrupted" not in clone.snakemake("progress").output


def test_select_narrows_it_and_a_wrong_one_is_one_sentence(clone: Clone) -> None:
    narrow = clone.snakemake("progress", "--config", "select=pretrain/cpu/*/deepspeed/Z2*/*").output
    assert "2 cells: 2 waiting" in narrow
    assert "llm-dissect: --config select:" in clone.snakemake("progress", "--config", "select=x", expect=1).output


def test_it_is_a_rule_by_name(clone: Clone) -> None:
    assert "progress" in clone.snakemake("--list-rules", profile=None).output.splitlines()
