"""Watches server, load generator and machine from the measuring process, twice a second, and enforces limits."""

import logging
import math
import re
import signal
import time
from dataclasses import dataclass, field

from dissect.base.outcome import Phase, Status
from dissect.base.units import GIB
from dissect.cells.spec import ServeSpec
from dissect.machine.clientload import ClientLoad
from dissect.machine.node import Node
from dissect.machine.node_monitor import NodeMonitor, monitor_of
from dissect.machine.out_of_memory import IN_A_LOG
from dissect.machine.suspension import Suspensions
from dissect.machine.vendor import vendor_of, vendors
from dissect.ranks.supervise import INTERVAL_S, tree_memory
from dissect.stages.serving.engine import UNCAUGHT, Engine, memory_phase, phase_of
from dissect.stages.serving.server import Server, tail

_DEVICE_ERROR = re.compile("|".join(vendor.errors for vendor in vendors().values() if vendor.errors))
_FULL_DISK = re.compile("No space left on device|Disk quota exceeded")
_ON_REQUEST = {0, *(128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGTERM))}
"""Exit codes of a server that others end: it ends in order, or by one of their signals."""
_LOG = logging.getLogger(__name__)


class Ended(Exception):
    """The cell ended before it had its numbers; ``by_load`` where the load that a server had explains it."""

    def __init__(self, status: Status, phase: Phase, reason: str, by_load: bool = False) -> None:
        super().__init__(reason)
        self.status, self.phase, self.reason, self.by_load = status, phase, reason, by_load


@dataclass
class Watch:
    """Watchers of a running server and the limits that the spec sets."""

    spec: ServeSpec
    node: Node
    deadline: float = math.inf
    """Time at which the budget is spent, CLOCK_MONOTONIC; a suspension moves it on."""
    suspensions: Suspensions = field(default_factory=Suspensions)
    """Notices them in its ``with`` block."""
    suspended_s: float = 0.0
    """Seconds in which the cell was suspended so far."""
    warmup_s: float = 0.0
    """Seconds in which the server answered the warm-up's requests."""
    start: float = field(default_factory=time.monotonic)
    client: ClientLoad = field(default_factory=ClientLoad)
    peak_rss_bytes: int = 0
    machine: NodeMonitor = field(init=False)

    def __post_init__(self) -> None:
        self.machine = monitor_of(self.node, self.spec.hardware)

    def start_budget(self) -> None:
        """Count the cell's budget from here."""
        self.suspensions.look()
        self.deadline = time.monotonic() + self.spec.sampling.budget_s

    def pause(self, server: Server, client_pids: list[int], phase: Phase) -> None:
        """Sleep until the next look, then look.

        Raises:
            Ended: a limit is passed.
        """
        self.suspensions.rest()
        time.sleep(INTERVAL_S)
        self.look(server, client_pids)
        limit = self.spec.hardware.host_memory_bytes
        used = tree_memory(server.roots(), limit)
        self.peak_rss_bytes = max(self.peak_rss_bytes, used)
        if used > limit:
            sentence = f"the server used {used / GIB:.2f} GiB of host memory, {limit / GIB:.2f} GiB are declared"
            raise Ended(Status.OOM, Phase.HOST, f"{sentence} (in phase {phase})", by_load=True)
        suspended_s = self.suspensions.look()
        self.deadline += suspended_s
        self.suspended_s += suspended_s
        if time.monotonic() > self.deadline:
            raise Ended(Status.TIMEOUT, phase, f"the budget was spent in phase {phase}")

    def look(self, server: Server, client_pids: list[int]) -> None:
        """Take a reading of every watcher."""
        pids = [*server.pids(), *client_pids]
        self.client.look(client_pids)
        for watcher in self.machine.watchers:
            watcher.look(pids)

    def close(self) -> None:
        """Close the driver; the readings stay."""
        for watcher in self.machine.watchers:
            watcher.close()

    def peak_bytes(self) -> tuple[int, str]:
        """(Most bytes that the server held, source of that number)."""
        peak = self.machine.gpu.peak_bytes() if self.machine.gpu else None
        return (peak, vendor_of(self.spec.hardware).driver.lower()) if peak else (self.peak_rss_bytes, "rss")


def device_error(log: str) -> str | None:
    """The last line of a log that tells of an error of a device, or None."""
    found = [*_DEVICE_ERROR.finditer(log)]
    if not found:
        return None
    # Matching whole lines takes quadratic time in the length of a line.
    start, end = log.rfind("\n", 0, found[-1].start()) + 1, log.find("\n", found[-1].end())
    return log[start : end if end >= 0 else None]


def death(engine: Engine, server: Server, how: str | None = None) -> Ended:
    """Why a server ended, or is of no more use (``how``): its log says out of memory, or it is a failure.

    The sentence has the last error of a device in its log, else the last line. The load explains a failure that no such
    error, no full disk and nobody else does.
    """
    log = server.said()
    phase = memory_phase(log, engine)
    if phase is not None:
        found = next((line for line in log.splitlines() if IN_A_LOG.search(line)), "according to its log")
        return Ended(Status.OOM, phase, f"the server ran out of memory: {' '.join(found.split())[:300]}", by_load=True)
    phase = phase_of(log, engine)
    error, last = device_error(log), next((line for line in reversed(log.splitlines()) if line.strip()), "(empty)")
    if server.exit_code is None and (uncaught := UNCAUGHT.search(log)):
        how = how or "failed, but some of its processes still run"
        error = error or uncaught["error"]
    end = tail(log)
    if error and error not in end:  # other processes of the server may write on for a minute
        _LOG.info("what led to the last error of %s:\n%s", server.log, tail(log.rpartition(error)[0] + error))
    _LOG.info("the end of %s:\n%s", server.log, end)
    how = how or f"ended with exit code {server.exit_code}"
    words = f"last {'error' if error else 'line'} of {server.log}: {' '.join((error or last).split())[:300]}"
    by_load = not (device_error(log) or _FULL_DISK.search(log) or _ended_by_others(server.exit_code))
    return Ended(Status.FAILED, phase, f"the server {how}; {words}", by_load)


def _ended_by_others(exit_code: int | None) -> bool:
    """Whether somebody else may have ended a server, or its keeper, whose own exit code is then below zero."""
    return exit_code is not None and (exit_code < 0 or exit_code in _ON_REQUEST)
