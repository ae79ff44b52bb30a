"""The measuring program, run by run: each run has its own process, a new one or one forked from a fork server's."""

import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from dissect.cells.any_spec import parse_spec
from dissect.cells.cell import CELLS_DIR, Cell
from dissect.cells.spec import Spec
from dissect.measure.child import ENDING
from dissect.measure.fork_client import ForkServer, ServerLost
from dissect.measure.preload import imports_of
from dissect.ranks.parent_death import die_with
from dissect.results.result import Round

SERVERS = 6
"""Fork servers that are kept at a time: each holds about 400 MB. The one that waits for the longest time goes first."""
LOSSES = 2
"""Failures of one kind of fork server after which its runs get new processes."""

Kind = tuple[object, ...]


class RunProcess:
    """Starts the measuring program run by run. A signal that asks this process to end goes on to it, and ends both.

    Finished cells are published below the folder ``published``. Leaving its ``with`` block ends the fork servers.
    """

    def __init__(self, store: Path, again: bool = False, fork: bool = False, published: Path = Path(CELLS_DIR)) -> None:
        self._options = ["--store", str(store), *(["--again"] if again else [])]
        self._fork = fork
        self._published = published
        self._servers: dict[Kind, ForkServer] = {}
        self._losses = Counter[Kind]()
        self._process: subprocess.Popen[bytes] | None = None
        self._asked: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers.values():
            server.close()

    def measure(self, cell: Cell, of: Round) -> bool:
        """Measure one run of a cell; returns whether it ended with an outcome. Exits if a signal asked to."""
        publish = self._published / cell.id / f"{cell.key}.json"
        what = ["--launcher", cell.launcher, "--spec", cell.canonical or "", "--publish", str(publish)]
        asked = ["--runs", str(cell.runs), "--round", of.model_dump_json()]
        program = [*shlex.split(cell.launcher), "scripts/measure.py"]
        return self.run(program, parse_spec(cell.canonical or ""), [*what, *self._options, *asked]) == 0

    def run(self, program: Sequence[str], spec: Spec, arguments: Sequence[str]) -> int:
        """Exit status of the measuring program with these arguments, for one run. Exits if a signal asked to."""
        arguments = [*arguments, "--once"]
        for number in ENDING:
            if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                signal.signal(number, self._hand_on)
        imports = imports_of(spec) if self._fork else None
        status = self._forked((*program, *imports), program, arguments) if imports else None
        return self._fresh(program, arguments) if status is None else status

    def _fresh(self, program: Sequence[str], arguments: Sequence[str]) -> int:
        """Exit status of one run in a new process."""
        self._process = subprocess.Popen([*program, *arguments], preexec_fn=partial(die_with, os.getpid()))
        status = self._process.wait()
        self._ended()
        return status

    def _forked(self, kind: Kind, program: Sequence[str], arguments: Sequence[str]) -> int | None:
        """Exit status of one run in a forked process; None if the fork server is lost."""
        if self._losses[kind] >= LOSSES:
            return None
        server = self._servers.pop(kind, None)
        if server is None:
            if len(self._servers) >= SERVERS:
                self._servers.pop(next(iter(self._servers))).close()
            server = ForkServer(program)
        self._servers[kind] = server  # the last in order: used last
        self._process = server.process
        try:
            status = server.measure(arguments)
        except ServerLost as error:
            self._servers.pop(kind).close()
            self._ended()
            self._losses[kind] += 1
            print(f"fork server lost: {error}; this run gets a new process", file=sys.stderr, flush=True)
            return None
        self._ended()
        return status

    def _ended(self) -> None:
        self._process = None
        if self._asked is not None:
            sys.exit(128 + self._asked)

    def _hand_on(self, number: int, _: FrameType | None) -> None:
        """Wait for nothing here: the handler may have interrupted the waiting, whose lock it would wait for."""
        self._asked = number
        if self._process is None:
            sys.exit(128 + number)
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)
