"""The process that starts the measuring program: a signal ends both, and neither waits for the other for ever."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from dissect.cells.spec import canonical_spec
from factories import inspect_spec

ROOT = Path(__file__).parents[2]
STARTS = """
    import os, sys
    from pathlib import Path
    from dissect.cells.cell import Cell
    from dissect.measure.run_process import RunProcess
    from dissect.results.result import Round

    python = f"{sys.executable} child.py"
    cell = Cell("s", "p", "m", "f", "x", "w", 1, None, None, launcher=python, canonical=sys.argv[1], key="k")
    print(RunProcess(Path("store")).measure(cell, Round(id="r", number=1, position=1)), flush=True)
"""
WAITS = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


def heed_hangups() -> None:
    """Under nohup these tests ignore them, and so would what they start."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextmanager
def started(folder: Path, child: str) -> Iterator[subprocess.Popen[str]]:
    (folder / "child.py").write_text(child)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STARTS), canonical_spec(inspect_spec())], cwd=folder, text=True,
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")}, process_group=0,
        preexec_fn=heed_hangups,
    )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_ends_both(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path, WAITS) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.send_signal(number)
        code = process.wait(10)
        assert code == (-number if number == signal.SIGKILL else 128 + number)
        assert is_gone(child)


@pytest.mark.parametrize(("child", "said"), [("raise SystemExit(0)", "True"), ("raise SystemExit(1)", "False")])
def test_it_says_whether_the_run_ended_well(tmp_path: Path, child: str, said: str) -> None:
    with started(tmp_path, child) as process:
        assert process.communicate(timeout=30)[0].split() == [said]
