"""GPUs are lent to one cell at a time, and come back however a cell ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dissect.base.outcome import Status
from dissect.cells.spec import Software
from dissect.machine import lease
from dissect.machine.lease import Lent, Neighbours, leased, own_gpus, own_host
from dissect.measure import life, preload
from dissect.ranks.measurement import Measurement
from dissect.results.store import Store
from factories import hardware, operator_spec, serve_spec

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
    assert watcher.most(watcher.seen[-1].at, time.monotonic()) == 0


def test_a_window_between_two_looks_has_the_neighbours_of_the_nearest(tmp_path: Path) -> None:
    watcher = Neighbours([], tmp_path, [Lent(1.0, 0), Lent(1.5, 2), Lent(2.0, 0)])
    assert watcher.most(1.55, 1.7) == 2
    assert watcher.most(1.8, 1.9) == 0
    assert Neighbours([], tmp_path).most(1.0, 2.0) == 0


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


HOST = """
import sys, time
from pathlib import Path
from dissect.machine.lease import host_lock
folder, alone, seconds = Path(sys.argv[1]), sys.argv[2] == "alone", float(sys.argv[3])
with host_lock(folder / "host", alone):
    mark = folder / ("server" if alone else "cells")
    mark.mkdir(exist_ok=not alone)  # fails where a second server is there
    assert not alone or not (folder / "cells").exists(), "a server beside another cell"
    assert alone or not (folder / "server").exists(), "another cell beside a server"
    print("here", flush=True)
    time.sleep(seconds)
    if alone:
        mark.rmdir()
"""


def on_host(folder: Path, how: str, seconds: float) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(Path(lease.__file__).parents[2])}
    command = [sys.executable, "-c", HOST, str(folder), how, str(seconds)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_servers_take_turns_on_a_host(tmp_path: Path) -> None:
    servers = [on_host(tmp_path, "alone", 0.2) for _ in range(4)]
    assert [server.wait(60) for server in servers] == [0] * 4


def test_a_server_waits_for_other_cells_and_they_for_it(tmp_path: Path) -> None:
    first, second = (on_host(tmp_path, "beside", 300) for _ in range(2))
    assert [cell.stdout.readline() for cell in (first, second) if cell.stdout] == ["here\n"] * 2, "side by side"
    server = on_host(tmp_path, "alone", 300)
    time.sleep(1)
    assert server.poll() is None
    for cell in (first, second):
        cell.kill()
        cell.wait()
    (tmp_path / "cells").rmdir()
    assert server.stdout
    assert server.stdout.readline() == "here\n"
    third = on_host(tmp_path, "beside", 0.0)
    time.sleep(1)
    assert third.poll() is None
    server.kill()
    server.wait()
    (tmp_path / "server").rmdir()
    assert third.wait(60) == 0


def test_only_cells_that_may_use_all_cores_of_gpus_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[str, bool]] = []

    @contextmanager
    def note(path: Path, alone: bool) -> Iterator[None]:
        taken.append((path.name, alone))
        yield

    monkeypatch.setattr(lease, "host_lock", note)
    monkeypatch.setattr(lease, "FOLDER", tmp_path / "gpus")
    cores = len(os.sched_getaffinity(0))
    for device, machine in (("cuda", cores), ("cpu", cores), ("cuda", cores + 1)):
        monkeypatch.setattr(os, "cpu_count", lambda machine=machine: machine)
        with own_host(device, alone=True):
            pass
    assert taken == [("gpus-host", True)]


def test_servers_are_the_cells_that_have_a_host_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[str, bool]] = []

    @contextmanager
    def note(device: str, alone: bool) -> Iterator[None]:
        taken.append((device, alone))
        yield

    monkeypatch.setattr(lease, "own_host", note)
    monkeypatch.setattr(preload, "set_environment", lambda _: None)
    monkeypatch.setattr(life, "_run", lambda *_: Measurement(Status.OK))
    store = Store(tmp_path)
    server, matrix = serve_spec().model_copy(update={"client": Software()}), operator_spec("square")
    for spec in (server, matrix.model_copy(update={"software": Software()})):
        life._decide_or_run(spec, store, store.entry("0" * 12), "python")
    assert taken == [("cuda", True), ("cuda", False)]


def test_a_cell_on_the_cpu_takes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with own_gpus(hardware(device="cpu")):
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
