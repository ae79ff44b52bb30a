"""The measuring program, started once per run from another program."""

import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType

from dissect.cells.cell import Cell
from dissect.ranks.bound import die_with
from dissect.results.result import Round


class RunProcess:
    """Starts the measuring program run by run. A signal that asks this process to end goes on to it, and ends both."""

    def __init__(self, store: Path, again: bool = False) -> None:
        self._options = ["--store", str(store), *(["--again"] if again else [])]
        self._process: subprocess.Popen[bytes] | None = None
        self._asked: int | None = None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                signal.signal(number, self._hand_on)

    def measure(self, cell: Cell, of: Round) -> bool:
        """Measure one run of a cell; returns whether it ended with an outcome. Exits if a signal asked to."""
        program = [*shlex.split(cell.launcher), "scripts/measure.py", "--launcher", cell.launcher]
        what = ["--spec", cell.canonical or "", "--publish", cell.path or "", *self._options]
        of_run = ["--runs", str(cell.runs), "--once", "--round", of.model_dump_json()]
        self._process = subprocess.Popen([*program, *what, *of_run], preexec_fn=partial(die_with, os.getpid()))
        status = self._process.wait()
        self._process = None
        if self._asked is not None:
            sys.exit(128 + self._asked)
        return status == 0

    def _hand_on(self, number: int, _: FrameType | None) -> None:
        """Wait for nothing here: the handler may have interrupted the waiting, whose lock it would wait for."""
        self._asked = number
        if self._process is None:
            sys.exit(128 + number)
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)
