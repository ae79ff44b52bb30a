"""Servers that answer badly or never, or do not start: nothing waits for them, and nothing of them stays."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

import factories as make
from dissect.base.outcome import Status
from dissect.cells.site import ServingSite
from dissect.machine.node import Node
from dissect.stages.serving import startup
from dissect.stages.serving.engine import load_engine
from dissect.stages.serving.server import HOST, Kept, Server, get
from dissect.stages.serving.watch import Ended, Watch, death

TESTS = Path(__file__).parents[1]
SCRIPTS = TESTS.parent / "scripts"


@contextmanager
def answering(reply: bytes | None) -> Iterator[str]:
    """URL of a server that sends these bytes to every request; none at all if there are none."""
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        listening.listen()
        open_ones: list[socket.socket] = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    one, _ = listening.accept()
                    one.recv(65536)
                    if reply is None:
                        open_ones.append(one)
                    else:
                        one.sendall(reply)
                        one.close()

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://{HOST}:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        for one in open_ones:
            one.close()


WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BAD = {
    "cut off": WHOLE[:-1],
    "no HTTP": b"words\r\n\r\n",
    "a refusal": b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
    "nothing": b"",
    "half a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
}


def test_a_whole_report_is_read() -> None:
    with answering(WHOLE) as url:
        assert get(url, "/metrics") == "ok"


@pytest.mark.parametrize("reply", BAD.values(), ids=BAD)
def test_a_report_that_is_answered_badly_is_none(reply: bytes) -> None:
    """It is asked for once the load is measured, which a failure would lose."""
    with answering(reply) as url:
        assert get(url, "/metrics") is None


UNANSWERED = """
import sys, time
from pathlib import Path
import factories as make
from dissect.cells.site import ServingSite
from dissect.machine.node import Node
from dissect.stages.serving import startup
from dissect.stages.serving.engine import load_engine
from dissect.stages.serving.ready_server import ReadyServer
from dissect.stages.serving.server import RunningServer
from dissect.stages.serving.watch import Ended, Watch

step, url = sys.argv[1:]
spec, here = make.serve_spec(make.hardware(n_gpus=1, device="cpu")), Path("none")
engine, watch = load_engine(spec), Watch(spec, Node("none", None))
watch.deadline = time.monotonic() + 1
try:
    if step == "start":
        site = ServingSite(checkpoints="c", keep_checkpoints=True, url=url)
        with startup.started(spec, engine, site, here, here / "log", watch):
            print("it answered")
    else:
        server = RunningServer([], {}, here / "log", url=url)
        startup.warm_up(ReadyServer(spec, engine, here, server, here, watch, 0.0), ["w1", "w2"])
except Ended as how:
    print(how.reason)
"""


@pytest.mark.parametrize("step", ["start", "warm-up"])
def test_nobody_waits_for_a_server_behind_a_url_that_never_answers(step: str) -> None:
    """Neither at the limit nor at the end of the process: its requests may take an hour."""
    with answering(None) as url:
        found = subprocess.run(
            [sys.executable, "-c", UNANSWERED, step, url], env={**os.environ, "PYTHONPATH": f"{SCRIPTS}:{TESTS}"},
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
    assert found.stdout.startswith("the budget was spent in phase")


def test_commands_of_the_farewell_run_though_a_program_does_not_start(tmp_path: Path) -> None:
    farewell = [["no-such-program-either"], ["touch", str(tmp_path / "gone")]]
    with Kept(["no-such-program"], os.environ, tmp_path / "log", farewell) as program:
        while program.exit_code is None:
            time.sleep(0.05)
    assert "No such file or directory: 'no-such-program'" in program.said()
    assert (tmp_path / "gone").exists()


@pytest.mark.parametrize(("command", "error"), [(None, ValueError), ("no-such-program", Ended)])
def test_no_folder_stays_of_a_server_that_cannot_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str | None, error: type[Exception]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(made_in := tmp_path / "tmp"))
    made_in.mkdir()
    spec = make.serve_spec(make.hardware(n_gpus=1, device="cpu"))
    site, watch = ServingSite(checkpoints="c", keep_checkpoints=True, command=command), Watch(spec, Node("none", None))
    with (
        pytest.raises(error),
        startup.started(spec, load_engine(spec), site, tmp_path, tmp_path / "log", watch),
    ):
        pytest.fail("it answered")
    assert not list(made_in.iterdir())


KILL = "import os, signal; os.kill(os.getpid(), signal.SIG{})"


@pytest.mark.parametrize(
    ("program", "status", "by_load"),
    [
        ("exit('AssertionError')", Status.FAILED, True),
        (KILL.format("SEGV"), Status.FAILED, True),
        ("exit('torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB')", Status.OOM, True),
        ("exit(0)", Status.FAILED, False),
        (KILL.format("TERM"), Status.FAILED, False),
        (KILL.format("KILL"), Status.FAILED, False),
        ("exit('OSError: [Errno 28] No space left on device')", Status.FAILED, False),
        ("exit('CUDA error: an illegal memory access was encountered')", Status.FAILED, False),
    ],
)
def test_a_load_explains_the_end_of_a_server_unless_something_else_does(
    tmp_path: Path, program: str, status: Status, by_load: bool
) -> None:
    with Server([sys.executable, "-c", program], {}, tmp_path / "log") as server:
        while server.exit_code is None:
            time.sleep(0.05)
        how = death(load_engine(make.serve_spec()), server)
    assert (how.status, how.by_load) == (status, by_load), how.reason


def test_a_load_explains_no_end_of_the_keeper(tmp_path: Path) -> None:
    with Server([sys.executable, "-c", "import time; time.sleep(60)"], {}, tmp_path / "log") as server:
        os.kill(server.pids()[0], signal.SIGKILL)
        while server.exit_code is None:
            time.sleep(0.05)
        assert not death(load_engine(make.serve_spec()), server).by_load


UNCAUGHT = 'Traceback (most recent call last):\n  File "<frozen runpy>", line 8, in _run_module_as_main\nKeyError: 7\n'


@pytest.mark.parametrize(
    ("said", "by_load"),
    [
        ("Application startup complete\n", True),
        (UNCAUGHT, True),
        ("CUDA error: an illegal memory access was encountered\n", False),
    ],
)
def test_a_load_explains_that_a_server_answers_no_more_unless_its_device_fails(
    tmp_path: Path, said: str, by_load: bool
) -> None:
    (log := tmp_path / "log").write_text(said)
    how = death(load_engine(make.serve_spec()), Server([], {}, log), "runs, but ended no request for 121 s")
    assert (how.status, how.by_load) == (Status.FAILED, by_load)
