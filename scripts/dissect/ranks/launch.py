"""Forked ranks: one fresh process per rank and attempt, out of a parent that imported the libraries once.

Forking costs 0.05 s where a new interpreter pays 4 to 5 s of imports again. It needs a parent that never initialised
a GPU and runs no threads. torch's elastic launcher was tried in its place: its agent takes 0.3 s more, burns 1.3 s of
CPU on a failing rank and waits up to 30 s for ranks that hang in a collective. A cell of several nodes has one such
parent on each: ``dissect.ranks.nodes``.
"""

import faulthandler
import multiprocessing
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from ctypes import c_double, c_int
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import PositiveInt, ValidationError

from dissect.base.outcome import Phase, Status
from dissect.ranks.messages import PHASES, RankContext, RankEntry, RankReport, describe
from dissect.ranks.parent_death import die_with
from dissect.results.atomic import exit_code_of, write_atomically

_FORK = multiprocessing.get_context("fork")
_TEARDOWN_S = 0.1
"""Between two looks at a rank that closed its pipes already, while the kernel frees its memory (a GPU's: seconds)."""


@dataclass(frozen=True)
class Rendezvous:
    """Where the ranks of one node stand in the group of all, and where that meets."""

    world_size: int
    first_rank: int
    address: str
    """Address of rank 0's node, as seen from this one."""
    port: int


@dataclass(frozen=True)
class Launch:
    """What to start: ``entry`` is called once in each of ``n_ranks`` processes of this node."""

    entry: RankEntry
    n_ranks: int
    workdir: Path
    """Empty folder for the ranks' reports."""
    deadline: float
    """Time at which the budget is spent, CLOCK_MONOTONIC."""
    probe_steps: PositiveInt | None = None
    rendezvous: Rendezvous | None = None
    """Place in a group of several nodes; None on a single node."""


@dataclass
class RankGroup:
    """The live ranks of one attempt; leaving its ``with`` block ends every one of them."""

    launch: Launch
    processes: list[ForkProcess] = field(default_factory=list)
    phases: list[c_int] = field(default_factory=list)
    deadline: c_double = field(init=False)
    """Time at which the budget is spent, CLOCK_MONOTONIC, as the ranks see it as well."""

    def __post_init__(self) -> None:
        self.deadline = _FORK.RawValue(c_double, self.launch.deadline)

    def __enter__(self) -> Self:
        meeting = self.launch.rendezvous or meet_here(self.launch.n_ranks)
        environment = {
            "WORLD_SIZE": str(meeting.world_size),
            "LOCAL_WORLD_SIZE": str(self.launch.n_ranks),
            "MASTER_ADDR": meeting.address,
            "MASTER_PORT": str(meeting.port),
        }
        for local_rank, rank in enumerate(self.ranks):
            phase = _FORK.RawValue(c_int, PHASES.index(Phase.BUILD))
            context = RankContext(self.launch.workdir, phase, self.deadline, self.launch.probe_steps)
            environment |= {"RANK": str(rank), "LOCAL_RANK": str(local_rank)}
            process = _FORK.Process(
                target=_run_rank, args=(self.launch.entry, context, dict(environment), os.getpid()), name=f"rank-{rank}"
            )
            process.start()
            self.processes.append(process)
            self.phases.append(phase)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def ranks(self) -> range:
        """Numbers of this node's ranks."""
        first = self.launch.rendezvous.first_rank if self.launch.rendezvous else 0
        return range(first, first + self.launch.n_ranks)

    def live(self) -> dict[int, int]:
        """Rank -> process id of the ranks that have not ended."""
        return {
            rank: process.pid
            for rank, process in zip(self.ranks, self.processes, strict=False)
            if process.exitcode is None and process.pid is not None
        }

    def wait(self, timeout_s: float) -> None:
        """Sleep until a live rank ends, at most so long."""
        if wait([process.sentinel for process in self.processes if process.exitcode is None], timeout_s):
            time.sleep(_TEARDOWN_S)

    def kill(self) -> None:
        """End the live ranks, whatever they hang in, with the processes that they started."""
        for pid in self.live().values():
            for end in (os.killpg, os.kill):  # the group is not there yet in a rank that was forked this instant
                with suppress(ProcessLookupError):
                    end(pid, signal.SIGKILL)
        for process in self.processes:
            process.join()

    def exit_codes(self) -> dict[int, int | None]:
        """Exit code of a rank: None while it lives, negative for the signal that ended it."""
        return {rank: process.exitcode for rank, process in zip(self.ranks, self.processes, strict=True)}

    def phase(self, rank: int) -> Phase:
        """Phase that the rank is in, or was in last."""
        return PHASES[self.phases[self.ranks.index(rank)].value]

    def report(self, rank: int) -> RankReport | None:
        """The rank's report, or None if it left none."""
        try:
            return RankReport.model_validate_json(_report_path(self.launch.workdir, rank).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None


def _report_path(workdir: Path, rank: int) -> Path:
    return workdir / f"rank-{rank}.json"


def meet_here(world_size: int) -> Rendezvous:
    """A meeting on this node, which has the first ranks."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Rendezvous(world_size, 0, "127.0.0.1", probe.getsockname()[1])


def _run_rank(entry: RankEntry, context: RankContext, environment: Mapping[str, str], parent: int) -> None:
    """The life of a rank: its report is all that it leaves; the process ends without the libraries' slow farewell."""
    die_with(parent)
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ.update(environment)
    faulthandler.enable()
    rank = int(environment["RANK"])
    try:
        report = entry(context)
    except BaseException as error:
        traceback.print_exc()
        report = RankReport(rank=rank, status=Status.FAILED, phase=context.current, reason=describe(error))
    code = 0 if report.status is Status.OK else 1
    try:
        write_atomically(_report_path(context.workdir, rank), report.model_dump_json().encode())
    except OSError as error:
        code = exit_code_of(error)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the log may lie on the same full disk
            stream.flush()
    os._exit(code)
