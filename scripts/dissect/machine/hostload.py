"""How busy others kept the cores while the ranks ran: the CPU's counterpart of other processes on a GPU."""

import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

OTHERS_LIMIT = 0.10
"""Share of the cores above which the load of others is flagged."""


@dataclass(frozen=True)
class Busy:
    """CPU seconds since boot at one moment, of the whole machine and of the measuring processes."""

    at: float
    machine_s: float
    own_s: float


@dataclass
class HostLoad:
    """A watcher that notes the CPU time of the machine and of the measurement."""

    seen: list[Busy] = field(default_factory=list)

    def look(self, pids: Sequence[int]) -> None:
        """Note the CPU times now."""
        import psutil

        times = psutil.cpu_times()
        machine = times.user + times.nice + times.system + times.irq + times.softirq
        self.seen.append(Busy(time.monotonic(), machine, _own_seconds(pids)))

    def close(self) -> None:
        """Do nothing: this watcher holds no resource."""

    def others(self, start: float, end: float) -> tuple[str, bool]:
        """The load of others in the window, in words, and whether it is above the limit."""
        share = others_share(self.seen, start, end, cores())
        if share is None:
            return "not seen: the ranks ended before the second look at the CPU times", False
        return f"others used {share:.1%} of {cores()} CPU cores during the window", share > OTHERS_LIMIT


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def others_share(seen: Sequence[Busy], start: float, end: float, n_cores: int) -> float | None:
    """Load of other processes as a share of ``n_cores``, between the looks that most tightly enclose the window."""
    if len(seen) < 2:
        return None
    first = max((busy for busy in seen[:-1] if busy.at <= start), key=lambda busy: busy.at, default=seen[0])
    last = min(
        (busy for busy in seen if busy.at >= end and busy.at > first.at), key=lambda busy: busy.at, default=seen[-1]
    )
    others = (last.machine_s - first.machine_s) - (last.own_s - first.own_s)
    return max(0.0, others) / ((last.at - first.at) * n_cores)


def _own_seconds(pids: Sequence[int]) -> float:
    """CPU time of this process, of the ranks that live and of those that ended."""
    import psutil

    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = time.process_time() + ended.ru_utime + ended.ru_stime
    for pid in pids:
        try:
            used = psutil.Process(pid).cpu_times()
        except psutil.NoSuchProcess:
            continue
        own += used.user + used.system + used.children_user + used.children_system
    return own
