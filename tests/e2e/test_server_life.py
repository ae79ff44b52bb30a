"""The life of a server as real processes: readiness, death, taken ports, stubbornness, and no orphan whoever dies."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import psutil
import pytest

import factories as make
from dissect.base.outcome import Phase, Status
from dissect.cells.site import ServingSite
from dissect.cells.spec import ServeSpec
from dissect.machine.node import Node
from dissect.stages.serving import startup
from dissect.stages.serving.engine import load_engine, version_in
from dissect.stages.serving.ready_server import ReadyServer
from dissect.stages.serving.server import GRACE_S, HOST, Server, free_ports
from dissect.stages.serving.watch import Ended, Watch, death
from faulty_server import LATE_S

pytestmark = pytest.mark.e2e
FAULTY = Path(__file__).parents[1] / "faulty_server.py"


def spec_of(ready_s: float = 60.0, budget_s: float = 120.0, engine: str = "vllm") -> ServeSpec:
    cpu = make.hardware(n_gpus=1, device="cpu")
    spec = make.serve_spec(cpu, engine=engine, requests=4, input_tokens=8, output_tokens=4)
    sampling = spec.sampling.model_copy(update={"ready_s": ready_s, "budget_s": budget_s})
    return spec.model_copy(update={"sampling": sampling})


class Bench:
    """Starts a faulty server the way a cell does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "server.log"

    def started(self, fault: str, spec: ServeSpec | None = None, log: str = "server.log"):
        spec = spec or spec_of()
        command = f"env PYTHONPATH={FAULTY.parent} {sys.executable} -m faulty_server --fault {fault}"
        site = ServingSite(checkpoints="c", keep_checkpoints=True, command=command)
        watch = Watch(spec, Node("none", None))
        watch.start_budget()
        return startup.started(spec, load_engine(spec), site, self.folder, self.folder / log, watch)

    def left(self) -> list[psutil.Process]:
        return [p for p in psutil.process_iter(["cmdline"]) if str(self.folder) in " ".join(p.info["cmdline"] or [])]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    assert made.left() == [], "no process of a server outlives its test"


def test_ready_once_a_completion_came_back(bench):
    with bench.started("none") as (server, ready_s):
        assert server.exit_code is None
        assert 0 < ready_s < 60
        assert len(server.pids()) == 2
        assert len(server.roots()) == 1
        answer = startup.complete(server.url, {"model": "m", "prompt": "w1 w2", "max_tokens": 3}, 10)
        assert answer["usage"]["completion_tokens"] == 3
        ready = ReadyServer(spec_of(), load_engine(spec_of()), bench.folder, server, bench.folder, None, ready_s)
        assert version_in(ready.configuration(), ready.engine) == "1.0"
        asked = time.monotonic()
    assert server.exit_code == 128 + signal.SIGTERM
    assert time.monotonic() - asked < GRACE_S, "SIGTERM ended it, it was not killed after all"


def test_a_port_that_somebody_took_meanwhile_is_left_to_him(bench, monkeypatch):
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        taken = other.getsockname()[1]
        ports = iter([[taken, 1, 2], free_ports(3)])
        monkeypatch.setattr(startup, "free_ports", lambda _: next(ports))
        with bench.started("none", spec_of(ready_s=10.0)) as (server, _):  # for so long the other keeps it waiting
            assert server.url != f"http://{HOST}:{taken}"
            assert "already in use" not in server.said()


def test_a_port_that_somebody_took_is_left_to_him_though_workers_stay(bench, monkeypatch):
    """The program of the server fails at the port, and its interpreter waits for the processes that it started."""
    monkeypatch.setattr(startup, "_LINGERS_S", 1.0)
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        ports = iter([[other.getsockname()[1], 1, 2], free_ports(3)])
        monkeypatch.setattr(startup, "free_ports", lambda _: next(ports))
        with bench.started("workers_stay", spec_of(ready_s=10.0)) as (server, _):
            assert server.url != f"http://{HOST}:{other.getsockname()[1]}"


def test_another_server_at_the_port_is_not_taken_for_ones_own(bench, monkeypatch):
    """It answers long before this one has loaded its model and finds the port taken."""
    with bench.started("none") as (other, _):
        taken = int(other.url.rsplit(":", 1)[1])
        ports = iter([[taken, 1, 2], free_ports(3)])
        monkeypatch.setattr(startup, "free_ports", lambda _: next(ports))
        with bench.started("late", log="second.log") as (server, ready_s):
            assert server.url != other.url
            assert ready_s > LATE_S
            assert server.has_its_port()
            assert other.has_its_port()


@pytest.mark.parametrize("_", range(3))
def test_two_cells_start_the_same_engine_at_the_same_moment(bench, monkeypatch, _):
    """Both choose the same ports first; TGI has fixed places for its socket, its metrics and its tokenizer."""
    same, both = free_ports(3), Barrier(2)
    chosen = iter([same, same])
    monkeypatch.setattr(startup, "free_ports", lambda count: next(chosen, None) or free_ports(count))

    def cell(number: int) -> str:
        with bench.started("none", spec_of(engine="tgi"), f"{number}.log") as (server, _):
            both.wait(60)
            answers = [startup.complete(server.url, {"prompt": "w1", "max_tokens": 3}, 10) for _ in range(5)]
            assert {answer["usage"]["completion_tokens"] for answer in answers} == {3}
            assert server.has_its_port()
            assert {path.name for path in server.folder.iterdir()} == {"out", "shard"}
            both.wait(60)
        assert not server.folder.exists()
        return server.url

    with ThreadPoolExecutor(2) as pool:
        urls = list(pool.map(cell, range(2)))
    assert len(set(urls)) == 2
    assert f"http://{HOST}:{same[0]}" in urls


def test_a_server_inherits_no_variable_that_could_be_an_option(bench, monkeypatch):
    for name in ("QUANTIZE", "MASTER_ADDR", "CUDA_GRAPHS", "PYTHONPATH", "PORT"):
        monkeypatch.setenv(name, "anything")
    monkeypatch.setenv("HF_HOME", "/models")
    with bench.started("none", spec_of(engine="tgi")) as (server, _):
        found = [psutil.Process(pid).environ() for pid in server.pids()[1:]]
    assert all(each["HF_HOME"] == "/models" and each["PREFILL_CHUNKING"] == "0" for each in found)
    assert not {"QUANTIZE", "MASTER_ADDR", "CUDA_GRAPHS", "PORT"} & {name for each in found for name in each}


def ended(bench: Bench, fault: str, spec: ServeSpec | None = None) -> Ended:
    with pytest.raises(Ended) as caught, bench.started(fault, spec):
        raise AssertionError("it was not ready")
    return caught.value


def test_one_that_dies_at_once_is_a_failure_with_its_last_words(bench):
    how = ended(bench, "dies_at_start")
    assert (how.status, how.phase) == (Status.FAILED, Phase.LOAD)
    assert "with exit code 2" in how.reason
    assert how.reason.endswith("ValueError: no such model")


def test_one_whose_program_failed_is_a_failure_though_its_workers_stay(bench, monkeypatch):
    """As LightLLM without hypercorn: its interpreter waits for the processes that it started."""
    monkeypatch.setattr(startup, "_LINGERS_S", 1.0)
    how = ended(bench, "raises_and_stays")
    assert (how.status, how.phase) == (Status.FAILED, Phase.LOAD)
    assert "failed, but some of its processes still run" in how.reason
    assert how.reason.endswith("FileNotFoundError: no program hypercorn")


@pytest.mark.parametrize("fault", ["oom_at_start", "oom_lingers"])
def test_one_without_memory_says_in_which_phase(bench, monkeypatch, fault):
    monkeypatch.setattr(startup, "_LINGERS_S", 1.0)
    how = ended(bench, fault)
    assert (how.status, how.phase) == (Status.OOM, Phase.KV_CACHE)
    assert "CUDA out of memory" in how.reason


def test_one_that_never_answers_right_is_a_timeout(bench):
    how = ended(bench, "deaf", spec_of(ready_s=2.0))
    assert (how.status, how.phase) == (Status.TIMEOUT, Phase.LOAD)
    assert "not ready within 2 s; its last answer: HTTP Error 503" in how.reason


def test_the_budget_ends_the_wait(bench):
    how = ended(bench, "deaf", spec_of(budget_s=1.0))
    assert how.status is Status.TIMEOUT
    assert "the budget was spent" in how.reason


def test_host_memory_beyond_the_declared_is_out_of_memory(bench):
    spec = spec_of()
    spec = spec.model_copy(update={"hardware": spec.hardware.model_copy(update={"host_memory_bytes": 2**20})})
    how = ended(bench, "deaf", spec)
    assert (how.status, how.phase) == (Status.OOM, Phase.HOST)
    assert "0.00 GiB are declared" in how.reason


@pytest.mark.parametrize("fault", ["stubborn", "offspring"])
def test_one_that_does_not_want_to_end_is_ended(bench, monkeypatch, fault):
    monkeypatch.setattr("dissect.stages.serving.server.GRACE_S", 1.0)
    with bench.started(fault) as (server, _):
        processes = [psutil.Process(pid) for pid in server.pids()]
        assert len(processes) == (3 if fault == "offspring" else 2)
    assert not any(process.is_running() for process in processes)


def test_death_in_between_tells_out_of_memory_from_the_rest(tmp_path):
    log = tmp_path / "log"
    server = Server([], {}, log)
    log.write_text("GPU KV cache size: 1 tokens\nApplication startup complete\nkilled\n")
    assert death(load_engine(spec_of()), server).phase is Phase.SERVE
    log.write_text("GPU KV cache size: 1 tokens\nCUDA out of memory\n")
    assert (death(load_engine(spec_of()), server).status, death(load_engine(spec_of()), server).phase) == (
        Status.OOM, Phase.GRAPH_CAPTURE,
    )  # fmt: skip
    log.write_text("CUDA error: an illegal memory access was encountered\nFor debugging consider this\nbye\n")
    how = death(load_engine(spec_of()), server)
    assert how.status is Status.FAILED
    assert how.reason.endswith(f"last error of {log}: CUDA error: an illegal memory access was encountered")


@pytest.mark.parametrize("victim", ["owner", "keeper"])
def test_nothing_is_left_when_owner_or_keeper_is_killed(bench, victim):
    port = free_ports(1)[0]
    script = textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        from dissect.stages.serving import server
        from dissect.stages.serving.server import Server
        server.GRACE_S = 1.0
        command = [sys.executable, {str(FAULTY)!r}, "--fault", {"offspring" if victim == "owner" else "none"!r}, "--port", "{port}", {str(bench.folder)!r}]
        with Server(command, {{}}, Path({str(bench.log)!r})) as started:
            deadline = time.monotonic() + 60
            while len(started.pids()) < {3 if victim == "owner" else 2} and time.monotonic() < deadline:
                time.sleep(0.05)
            print(*started.pids(), flush=True)
            time.sleep(600)
    """)  # noqa: E501
    owner = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(FAULTY.parents[1] / "scripts")},
    )  # fmt: skip
    assert owner.stdout is not None
    processes = [psutil.Process(int(pid)) for pid in owner.stdout.readline().split()]
    assert len(processes) >= 2
    (owner if victim == "owner" else processes[0]).send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes):
        assert time.monotonic() < deadline, "a process of the server is left"
        time.sleep(0.05)
    owner.kill()
    owner.wait()
