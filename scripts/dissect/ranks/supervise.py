"""Watches the ranks of one attempt from their parent, twice a second, and says how the attempt ended.

One loop in the main thread, no thread of its own: the parent stays safe to fork, and between two looks it sleeps.
"""

import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from dissect.base.outcome import Phase, Status
from dissect.base.units import GIB
from dissect.machine.suspension import Interval, Suspensions
from dissect.ranks.launch import Launch, RankGroup
from dissect.ranks.messages import RankReport
from dissect.results.atomic import why_unwritten

if TYPE_CHECKING:
    import psutil

INTERVAL_S = 0.5
GRACE_S = 2.0
"""What the other ranks get to report for themselves once one has ended badly."""


class Watcher(Protocol):
    """A watcher of the machine while the ranks run."""

    def look(self, pids: Sequence[int]) -> None:
        """Called every half second with the live ranks."""

    def close(self) -> None:
        """Called once the ranks have ended."""


@dataclass(frozen=True)
class Ending:
    """How an attempt ended; ``reports`` has one per rank, in order, when the status is ``ok``."""

    status: Status
    phase: Phase | None
    reason: str | None
    reports: list[RankReport]


@dataclass(frozen=True)
class RankEnd:
    """What is known of one rank after the attempt."""

    rank: int
    report: RankReport | None
    exit_code: int | None
    """None: it was alive when the supervisor ended the attempt."""
    phase: Phase
    ended_at: float = 0.0
    """Seconds since the ranks of its node were started, at the same moment on all nodes: no clock is compared."""


@dataclass(frozen=True)
class NodeEnd:
    """How an attempt ended on one node."""

    ends: list[RankEnd] = field(default_factory=list)
    stopped: Ending | None = None
    """Set where a limit of the spec ended it."""
    lost: str | None = None
    """Set where nobody was left to tell, in one sentence."""
    suspensions: list[Interval] = field(default_factory=list)
    """When its processes were suspended, CLOCK_MONOTONIC of the node."""


class OtherNodes:
    """The rest of an attempt that spans nodes; of one on a single node there is none."""

    def running(self) -> bool:
        """Whether another node is still running."""
        return False

    def failed(self) -> bool:
        """Whether another node ended with an error."""
        return False

    def ends(self) -> list[NodeEnd]:
        """How each node ended; waits for those that are about to end."""
        return []


ALONE = OtherNodes()


def supervise(
    launch: Launch, host_memory_bytes: int, watchers: Sequence[Watcher], others: OtherNodes = ALONE
) -> NodeEnd:
    """Run the ranks to their end, or to the end of the budget or of the host memory that the spec declares.

    Other nodes are waited for; what becomes of them has to be asked there. Time in which the job is suspended does not
    count to the budget.
    """
    start = time.monotonic()
    with RankGroup(launch) as group, Suspensions() as suspensions:
        order: dict[int, float] = {}
        stopped = None
        give_up = float("inf")
        suspensions.rest()
        while (group.live() or others.running()) and stopped is None and time.monotonic() < give_up:
            group.wait(INTERVAL_S)
            if _note_ended(group, order, start) or others.failed():
                give_up = min(give_up, time.monotonic() + GRACE_S)
            live = group.live()
            for watcher in watchers:
                watcher.look(list(live.values()))
            group.deadline.value += suspensions.look()  # right before the limits, wherever in the loop it came
            suspensions.rest()
            if live or others.running():
                stopped = _over_limit(group, live, host_memory_bytes)
        exit_codes = group.exit_codes()
        group.kill()
        order |= {rank: time.monotonic() - start for rank in exit_codes if rank not in order}
        ends = [RankEnd(rank, group.report(rank), exit_codes[rank], group.phase(rank), order[rank]) for rank in order]
    for watcher in watchers:
        watcher.close()
    return NodeEnd(ends, stopped, suspensions=suspensions.intervals)


def _note_ended(group: RankGroup, order: dict[int, float], start: float) -> bool:
    """Add the ranks that ended since the last look, in seconds since ``start``; True if one of them ended badly."""
    ended = {rank: code for rank, code in group.exit_codes().items() if code is not None and rank not in order}
    order |= dict.fromkeys(ended, time.monotonic() - start)
    return any(code != 0 for code in ended.values())


def _over_limit(group: RankGroup, live: Mapping[int, int], host_memory_bytes: int) -> Ending | None:
    phase = group.phase(min(live, default=group.ranks[0]))
    if time.monotonic() > group.deadline.value:
        return Ending(Status.TIMEOUT, phase, f"the budget was spent in phase {phase}", [])
    used = tree_memory(list(live.values()), host_memory_bytes)
    if used > host_memory_bytes:
        reason = f"the ranks used {used / GIB:.2f} GiB of host memory, {host_memory_bytes / GIB:.2f} GiB are declared"
        return Ending(Status.OOM, Phase.HOST, f"{reason} (in phase {phase})", [])
    return None


def tree_memory(pids: Sequence[int], enough: int) -> int:
    """Bytes of host memory held by these processes and all below them.

    The sum of proportional set sizes; where the cheap sum of resident sets (never smaller) stays below ``enough``,
    that sum: the kernel walks a process's page tables for the former, which would disturb what is measured.
    """
    import psutil

    def total(measure: str) -> int:
        size = 0
        for process in _trees(pids):
            try:
                size += getattr(process.memory_full_info() if measure == "pss" else process.memory_info(), measure)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue  # it ended since
        return size

    resident = total("rss")
    return resident if resident <= enough else total("pss")


def _trees(pids: Sequence[int]) -> "list[psutil.Process]":
    import psutil

    found = []
    for pid in pids:
        try:
            process = psutil.Process(pid)
            found += [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
    return found


def conclude(nodes: Sequence[NodeEnd]) -> Ending:
    """One ending out of the nodes': a limit that one of them enforced explains what the ranks of all report."""
    stopped = next((node.stopped for node in nodes if node.stopped), None)
    ending = stopped or conclude_ranks(
        sorted((end for node in nodes for end in node.ends), key=lambda end: end.ended_at)
    )
    lost = next((node.lost for node in nodes if node.lost), None)
    return Ending(Status.FAILED, None, lost, []) if lost and ending.status in (Status.OK, Status.FAILED) else ending


def conclude_ranks(ends: Sequence[RankEnd]) -> Ending:
    """One ending out of the ranks', given in the order in which they ended.

    Out of memory on any rank explains whatever the others report, then ``invalid``, then ``timeout``; ``ok`` needs
    all of them. Else it is ``failed``: a signal or a full disk explains more than an exception, that more than a
    missing report.
    """
    for status in (Status.OOM, Status.INVALID, Status.TIMEOUT):
        for end in ends:
            if end.report is not None and end.report.status is status:
                return Ending(status, end.report.phase, end.report.reason, [])
    reports = [end.report for end in ends if end.report is not None]
    if len(reports) == len(ends) and all(report.status is Status.OK for report in reports):
        return Ending(Status.OK, None, None, sorted(reports, key=lambda report: report.rank))
    telling = min(ends, key=_silence)
    return Ending(Status.FAILED, telling.phase, _why(telling), [])


def _silence(end: RankEnd) -> int:
    """0 for the rank that tells most about a failure."""
    if (end.exit_code is not None and end.exit_code < 0) or _unwritten(end):
        return 0
    if end.report is not None:
        return 3 if end.report.status is Status.OK else 1
    return 2


def _unwritten(end: RankEnd) -> str | None:
    return why_unwritten(end.exit_code, f"rank-{end.rank}.json") if end.report is None else None


def _why(end: RankEnd) -> str:
    if end.exit_code is not None and end.exit_code < 0:
        name = signal.Signals(-end.exit_code).name
        hint = ", by the kernel (out of memory?) or another process" if name == "SIGKILL" else ""
        return f"rank {end.rank} was killed by {name}{hint}"
    if sentence := _unwritten(end):
        return f"rank {end.rank}: {sentence}"
    if end.report is not None and end.report.reason:
        return f"rank {end.rank}: {end.report.reason}"
    return f"rank {end.rank} exited without a report (exit code {end.exit_code})"


def window_of(reports: Sequence[RankReport]) -> tuple[float, float]:
    """Start and end of the measured window over all ranks, seconds of CLOCK_MONOTONIC."""
    return min(report.window_start for report in reports), max(report.window_end for report in reports)
