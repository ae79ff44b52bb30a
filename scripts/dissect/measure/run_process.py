"""The measuring program, started once per run from another program."""

import os
import shlex
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import FrameType

from dissect.cells.cell import Cell
from dissect.ranks.bound import die_with
from dissect.results.result import Round


class RunProcess:
    """Starts the measuring program run by run; it ends with this process, which ends when asked to by SIGTERM."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._process: subprocess.Popen[bytes] | None = None
        signal.signal(signal.SIGTERM, self._end)

    def measure(self, cell: Cell, of: Round) -> bool:
        """Measure one run of a cell; returns whether it ended with an outcome."""
        program = [*shlex.split(cell.launcher), "scripts/measure.py", "--launcher", cell.launcher]
        what = ["--spec", cell.canonical or "", "--publish", cell.path or "", "--store", str(self._store)]
        of_run = ["--runs", str(cell.runs), "--once", "--round", of.model_dump_json()]
        self._process = subprocess.Popen([*program, *what, *of_run], preexec_fn=partial(die_with, os.getpid()))
        return self._process.wait() == 0

    def _end(self, number: int, _: FrameType | None) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
        sys.stdout.flush()
        os._exit(128 + number)
