"""``snakemake progress`` beside a run: what it says, and that the run does not notice."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clones import Clone, stubbed_clone
from dissect.results.activity import Activity, activity_of
from dissect.results.store import Store

SLOW = "pretrain/cpu/llama-tiny/deepspeed/Z2/s128-b1-n2"


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """Table III alone, with one cell that takes as long as the test wants."""
    clone = stubbed_clone(tmp_path / "clone")
    clone.edit("config/config.yaml", "tables: all", "tables: [table_III]")
    clone.edit("config/config.yaml", "figures: all", "figures: []")
    clone.snakemake("-n", "all")
    manifest = (clone.folder / "results/manifests/table_III.json").read_text()
    (key,) = {line.split("/")[-1].split(".json")[0] for line in manifest.splitlines() if f"{SLOW}/" in line}
    (clone.folder / "slow_keys.txt").write_text(key)
    return clone


@pytest.fixture
def run(clone: Clone) -> Iterator[subprocess.Popen[str]]:
    """A run in the same folder, in a session of its own."""
    command = [sys.executable, "-m", "snakemake", "--profile", "profiles/cpu", "all"]
    with subprocess.Popen(
        command, cwd=clone.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def slow_activity(clone: Clone) -> Activity | None:
    key = (clone.folder / "slow_keys.txt").read_text()
    return activity_of(Store(clone.folder / "results/store").entry(key))


def wait_for(what: Callable[[], object]) -> None:
    while not what():
        time.sleep(0.1)


def files(clone: Clone) -> dict[str, int]:
    """All but what each run of Snakemake logs, with their times."""
    found = [path for path in clone.folder.rglob("*") if path.is_file() and ".snakemake/log/" not in str(path)]
    return {str(path): path.stat().st_mtime_ns for path in found}


def test_a_second_terminal_sees_the_run_and_leaves_it_alone(clone: Clone, run: subprocess.Popen[str]) -> None:
    wait_for(lambda: slow_activity(clone))
    before = files(clone)
    assert any("/.snakemake/locks/" in path for path in before)
    shown = clone.snakemake("progress").output
    assert f"{SLOW}  starting, for " in shown
    assert "1 running" in shown
    assert "SNAKEMAKE" not in shown, "the answer is all that it prints"
    assert files(clone) == before
    refused = clone.snakemake("all", expect=1).output
    assert "Directory cannot be locked" in refused

    (clone.folder / "slow_keys.txt").unlink()
    output, _ = run.communicate()
    assert run.returncode == 0, output
    assert "1 running" not in clone.snakemake("progress").output
    assert clone.snakemake("progress", profile=None).output.rstrip().endswith("everything is measured")
    assert clone.snakemake("all").jobs == []


def test_what_was_killed_is_interrupted_not_running(clone: Clone, run: subprocess.Popen[str]) -> None:
    wait_for(lambda: slow_activity(clone))
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
    clone.snakemake("all", "--rerun-incomplete")
    assert "interrupted" not in clone.snakemake("progress").output


def test_select_narrows_it_and_a_wrong_one_is_one_sentence(clone: Clone) -> None:
    narrow = clone.snakemake("progress", "--config", "select=pretrain/cpu/*/deepspeed/Z2*/*").output
    assert "2 cells: 2 waiting" in narrow
    assert "llm-dissect: --config select:" in clone.snakemake("progress", "--config", "select=x", expect=1).output


def test_it_is_a_rule_by_name(clone: Clone) -> None:
    assert "progress" in clone.snakemake("--list-rules", profile=None).output.splitlines()
