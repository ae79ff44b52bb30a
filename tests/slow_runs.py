"""A run of Snakemake in which one cell takes as long as a test wants."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from clones import Clone, stubbed_clone
from dissect.results.activity import Activity, activity_of
from dissect.results.store import Store

SLOW = "pretrain/cpu/llama-tiny/deepspeed/Z2/s128-b1-n2"


def clone_with_a_slow_cell(folder: Path) -> Clone:
    """Table III alone, in which the cell SLOW ends when ``slow_keys.txt`` is gone."""
    clone = stubbed_clone(folder)
    clone.edit("config/config.yaml", "tables: all", "tables: [table_III]")
    clone.edit("config/config.yaml", "figures: all", "figures: []")
    clone.snakemake("-n", "all")
    manifest = (clone.folder / "results/manifests/table_III.json").read_text()
    (key,) = {line.split("/")[-1].split(".json")[0] for line in manifest.splitlines() if f"{SLOW}/" in line}
    (clone.folder / "slow_keys.txt").write_text(key)
    return clone


@contextmanager
def running(clone: Clone, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """``snakemake <arguments>`` in a session of its own, once it measures the slow cell."""
    command = [sys.executable, "-m", "snakemake", "--profile", "profiles/cpu", *arguments]
    with subprocess.Popen(
        command, cwd=clone.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            wait_for(lambda: slow_activity(clone))
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def slow_activity(clone: Clone) -> Activity | None:
    """Who measures the slow cell."""
    key = (clone.folder / "slow_keys.txt").read_text()
    return activity_of(Store(clone.folder / "results/store").entry(key))


def wait_for(what: Callable[[], object]) -> None:
    """Return once this is true."""
    while not what():
        time.sleep(0.1)
