"""GPUs are lent to one cell at a time, and come back however a cell ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dissect.machine import lease
from dissect.machine.lease import Neighbours, leased, own_gpus
from factories import hardware

NAMES = ["GPU-a", "GPU-b", "GPU-c", "GPU-d"]
HOLDER = """
import os, sys, time
from pathlib import Path
from dissect.machine.lease import leased
folder, count, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
with leased({names}, count, folder) as places:
    in_use = folder / "in_use"
    in_use.mkdir(exist_ok=True)
    marks = [in_use / str(place) for place in places]
    for mark in marks:
        mark.touch(exist_ok=False)  # fails where somebody else has this one
    if seconds > 10 and os.fork() == 0:  # as a rank that outlives its parent
        time.sleep(seconds)
    print(*places, flush=True)
    time.sleep(seconds)
    for mark in marks:
        mark.unlink()
"""


def hold(folder: Path, count: int, seconds: float) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HOLDER.format(names=NAMES), str(folder), str(count), str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(Path(lease.__file__).parents[2])}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)


def test_the_first_that_are_free_are_lent(tmp_path: Path) -> None:
    with leased(NAMES, 1, tmp_path) as first, leased(NAMES, 2, tmp_path) as second:
        assert (first, second) == ([0], [1, 2])
    with leased(NAMES, 4, tmp_path) as every:
        assert every == [0, 1, 2, 3]


def test_a_machine_with_fewer_lends_what_it_has(tmp_path: Path) -> None:
    with leased(NAMES[:1], 4, tmp_path) as places:
        assert places == [0]
    with leased([], 1, tmp_path) as none:
        assert none == []


def test_no_two_hold_the_same(tmp_path: Path) -> None:
    holders = [hold(tmp_path, count, 0.1) for count in (1, 4, 2, 3, 1, 4, 2, 2)]
    assert [holder.wait(60) for holder in holders] == [0] * len(holders)
    sizes = [len((holder.stdout.read() if holder.stdout else "").split()) for holder in holders]
    assert sizes == [1, 4, 2, 3, 1, 4, 2, 2]


def test_gpus_of_other_cells_are_counted_own_and_free_ones_are_not(tmp_path: Path) -> None:
    with leased(NAMES, 4, tmp_path):
        pass  # all have been lent before
    other = hold(tmp_path, 2, 300)
    assert other.stdout
    assert other.stdout.readline() == "0 1\n"
    with leased(NAMES, 1, tmp_path) as own:
        watcher = Neighbours([NAMES[place] for place in own], tmp_path)
        start = time.monotonic()
        watcher.look([])
        middle = time.monotonic()
        os.killpg(other.pid, signal.SIGKILL)
        other.wait()
        while (tmp_path / "in_use").exists() and watcher.seen[-1][1]:  # its rank ends a moment later
            watcher.look([])
    assert watcher.most(start, middle) == 2
    assert watcher.most(watcher.seen[-1][0], time.monotonic()) == 0


def test_they_come_back_once_every_rank_is_gone(tmp_path: Path) -> None:
    holder = hold(tmp_path, 4, 300)
    assert holder.stdout
    assert holder.stdout.readline() == "0 1 2 3\n"
    holder.kill()
    holder.wait()
    waiting = hold(tmp_path / ".", 1, 0.0)
    time.sleep(1)
    assert waiting.poll() is None, "the rank still runs"
    os.killpg(holder.pid, signal.SIGKILL)
    for mark in (tmp_path / "in_use").iterdir():
        mark.unlink()
    assert waiting.wait(60) == 0


def test_a_cell_on_the_cpu_takes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with own_gpus(hardware(device="cpu")):
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
