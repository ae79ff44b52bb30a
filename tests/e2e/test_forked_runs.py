"""Runs forked from a common process, with a runner that needs no torch: what they share, and what a kill leaves."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from dissect.cells.spec import Software, canonical_spec
from dissect.results.store import Store
from factories import GIB, hardware, pretrain_spec

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
MEASURES = """
    import os, sys, time
    from pathlib import Path
    from dissect.cells.any_spec import parse_spec
    from dissect.cells.cell import Cell, spec_and_key
    from dissect.measure import run_process
    from dissect.results.result import Round

    python, runs, *specs = sys.argv[1:]
    run_process.SERVERS = int(os.environ.get("SERVERS", run_process.SERVERS))
    with run_process.RunProcess(Path("store"), fork=True) as process:
        for number in range(1, int(runs) + 1):
            for spec in specs:
                canonical, key = spec_and_key(parse_spec(spec))
                cell = Cell("s", "p", "m", "f", "x", "w", 1, None, None, python, canonical=canonical, key=key,
                            reference=f"cells/{key}.json", runs=number)
                print(process.measure(cell, Round(id="r", number=number, position=1)), flush=True)
                while Path("wait").exists():
                    time.sleep(0.02)
"""


@dataclass
class Bench:
    """A folder with a copy of the project's code, in which a process measures runs."""

    folder: Path

    def spec(self, **environment: str) -> str:
        on = hardware(device="cpu", n_gpus=2).model_copy(
            update={"environment": {"OMP_NUM_THREADS": "1"} | environment, "device_memory_bytes": 900 * GIB}
        )
        return canonical_spec(pretrain_spec(on).model_copy(update={"software": Software()}))

    def start(self, runs: int, *specs: str) -> subprocess.Popen[str]:
        python = f"{sys.executable} {self.folder / 'tests/measure_tiny.py'}"
        environment = {"PYTHONPATH": str(self.folder / "scripts"), "TINY_MARKS": str(self.folder / "marks")}
        return subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(MEASURES), python, str(runs), *specs], cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environment}, process_group=0,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )  # fmt: skip

    def measure(self, runs: int, *specs: str) -> tuple[list[str], str]:
        """What each run said, and the messages."""
        out, messages = self.start(runs, *specs).communicate(timeout=120)
        return verdicts(out), messages

    def count(self, spec: str) -> int:
        return Store(self.folder / "store").entry(self.key(spec)).count()

    def key(self, spec: str) -> str:
        return next(path.name for path in (self.folder / "store").iterdir() if (path / "spec.json").read_text() == spec)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    (tmp_path / "marks").mkdir()
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests").mkdir()
    for name in ("measure_tiny.py", "tiny_runner.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    yield Bench(tmp_path)
    left = [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]
    for process in left:
        process.kill()
    assert left == [], "no process outlives its test"


def verdicts(out: str) -> list[str]:
    """What the caller said of each run; runs in new processes say something of their own."""
    return [line for line in out.splitlines() if line in ("True", "False")]


def until(true: Callable[[], bool], why: str) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, why
        time.sleep(0.02)


def servers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children()


def below(process: subprocess.Popen[str], bench: Bench) -> list[psutil.Process]:
    """Server, run and both ranks, once the ranks train."""

    def trains() -> bool:
        logs = list((bench.folder / "store").glob("*/log.txt"))
        return any(log.read_text().count("runs batch") >= 2 for log in logs)

    until(trains, "the ranks did not start")
    found = psutil.Process(process.pid).children(recursive=True)
    assert len(found) == 4
    return found


def are_gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def test_runs_are_forked_from_one_process_and_share_no_other(bench: Bench) -> None:
    spec = bench.spec()
    said, messages = bench.measure(3, spec)
    assert said == ["True"] * 3, messages
    assert bench.count(spec) == 3
    assert len(list((bench.folder / "marks").iterdir())) == 3, "each run had a process of its own"
    assert "lost" not in messages


def test_each_environment_has_a_server_of_its_own(bench: Bench) -> None:
    one, other = bench.spec(), bench.spec(TINY_STEPS="6")
    (bench.folder / "wait").touch()
    process = bench.start(2, one, other)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    assert len(servers(process)) == 1
    (bench.folder / "wait").unlink()
    process.communicate(timeout=60)
    assert (bench.count(one), bench.count(other)) == (2, 2)
    found = [run.metrics.step_time_s.n for run in Store(bench.folder / "store").entry(bench.key(other)).runs()]
    assert found == [6, 6]


def test_the_server_that_waits_longest_goes_first(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVERS", "1")
    (bench.folder / "wait").touch()
    process = bench.start(1, bench.spec(), bench.spec(TINY_STEPS="6"))
    assert process.stdout is not None
    process.stdout.readline()
    (first,) = servers(process)
    (bench.folder / "wait").unlink()
    until(lambda: are_gone([first]), "the server stays")
    out, messages = process.communicate(timeout=60)
    assert verdicts(out) == ["True"]
    assert "lost" not in messages


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_to_the_caller_ends_all(bench: Bench, number: signal.Signals) -> None:
    process = bench.start(1, bench.spec(TINY_STEP_S="60"))
    found = below(process, bench)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    until(lambda: are_gone(found), "a process outlives the caller")


def test_a_server_that_waits_ends_with_a_killed_caller(bench: Bench) -> None:
    (bench.folder / "wait").touch()
    process = bench.start(1, bench.spec())
    assert process.stdout is not None
    process.stdout.readline()
    (server,) = servers(process)
    process.kill()
    process.communicate()
    until(lambda: are_gone([server]), "the server outlives the caller")


def test_a_run_whose_server_is_killed_gets_a_new_process(bench: Bench) -> None:
    spec = bench.spec(TINY_STEP_S="0.5")
    process = bench.start(1, spec)
    server, *others = below(process, bench)
    server.kill()
    out, messages = process.communicate(timeout=60)
    assert verdicts(out) == ["True"]
    assert "fork server lost: it ended (SIGKILL); this run gets a new process" in messages
    assert are_gone(others)
    assert bench.count(spec) == 1


def test_a_killed_run_fails_and_the_next_is_measured(bench: Bench) -> None:
    spec = bench.spec(TINY_STEP_S="0.3")
    process = bench.start(2, spec)
    _, run, *ranks = below(process, bench)
    run.kill()
    out, messages = process.communicate(timeout=60)
    assert verdicts(out) == ["False", "True"]
    assert "lost" not in messages
    assert are_gone(ranks)
    assert bench.count(spec) == 1


def test_no_run_is_forked_from_a_server_whose_code_changed(bench: Bench) -> None:
    (bench.folder / "wait").touch()
    process = bench.start(3, bench.spec())
    assert process.stdout is not None
    process.stdout.readline()
    with (bench.folder / "scripts/dissect/measure/life.py").open("a") as file:
        file.write("# a change\n")
    (bench.folder / "wait").unlink()
    out, messages = process.communicate(timeout=60)
    assert verdicts(out) == ["True"] * 2
    assert messages.count("fork server lost: the code or its libraries changed") == 1


def test_no_run_is_forked_beside_threads(bench: Bench) -> None:
    spec = bench.spec(TINY_THREAD="1")
    said, messages = bench.measure(3, spec)
    assert said == ["True"] * 3
    assert messages.count("fork server lost: 1 threads run beside the main one: python") == 2, "then it is given up"
    assert bench.count(spec) == 3
