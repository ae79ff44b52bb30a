"""How busy the processes of the load generator are: a watcher that notes their CPU seconds."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

Seen = list[tuple[float, float]]
"""(UNIX time, CPU seconds so far), ascending."""


@dataclass
class ClientLoad:
    """CPU seconds of each process over time."""

    seen: dict[int, Seen] = field(default_factory=dict)

    def look(self, pids: Sequence[int]) -> None:
        """Note the CPU seconds of each process."""
        for pid in pids:
            try:
                used = psutil.Process(pid).cpu_times()
            except psutil.NoSuchProcess:
                continue
            self.seen.setdefault(pid, []).append((time.time(), used.user + used.system))

    def busiest(self, start: float, end: float) -> float:
        """CPU seconds per second of the busiest process between two UNIX times; 0 if nothing was seen."""
        if end <= start:
            return 0.0
        return max(((_at(seen, end) - _at(seen, start)) / (end - start) for seen in self.seen.values()), default=0.0)


def _at(seen: Seen, when: float) -> float:
    """CPU seconds at a time: on the line between the looks around it, the nearest look outside of them."""
    before = [look for look in seen if look[0] <= when]
    after = [look for look in seen if look[0] > when]
    if not before:
        return after[0][1]
    if not after:
        return before[-1][1]
    (t0, used0), (t1, used1) = before[-1], after[0]
    return used0 + (used1 - used0) * (when - t0) / (t1 - t0)
