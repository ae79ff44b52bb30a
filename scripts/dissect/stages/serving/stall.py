"""Stalls: the server's processes run on, but no request ends any more."""

import math
import time
from dataclasses import dataclass

from dissect.cells.spec import ServeWorkload
from dissect.stages.serving.engine import Engine
from dissect.stages.serving.server import Server
from dissect.stages.serving.watch import Ended, Watch, death, device_error

LEAST_S = 120.0
"""Shortest silence that is a stall: five times the longest in the shipped cells on H200, 22.6 s until 70B ended one."""
AFTER_ERROR_S = 60.0
"""The same after an error of a device in the log: no engine recovers from one, but it may end by itself."""


def longest_silence_s(load: ServeWorkload, warmup_s: float) -> float:
    """Longest time in seconds for which a server at work may end no request of a load.

    Requests wait for each other, but not longer than if they came in groups as small as the warm-up, which took
    ``warmup_s`` on this server with answers as long as these; one answer takes up to that long too. Where requests
    arrive over time, none may be there: of a thousand such loads one has a longer gap between two.
    """
    rate = load.arrival.rate or (load.arrival.search and load.arrival.search.lowest)
    gap_s = math.log(1000 * load.requests) / rate if rate else 0.0
    return max(LEAST_S, warmup_s * max(1.0, load.requests / load.warmup_requests)) + gap_s


@dataclass
class Silence:
    """The time since the last request ended, without that in which the cell was suspended.

    A server that has ended all ``requests`` is not silent: the load generator writes its records then.
    """

    watch: Watch
    longest_s: float = math.inf
    requests: float = math.inf
    earlier: str | None = None
    """The last error of a device in the log before these requests, which the server has survived."""
    _ended: int | None = None
    _since: float = 0.0

    def stalled(self, engine: Engine, server: Server, ended: int | None) -> Ended | None:
        """How the cell ends if the server has stalled; ``ended`` requests have ended so far, None if it is unknown."""
        now = time.monotonic() - self.watch.suspended_s
        if ended is None or ended != self._ended or ended >= self.requests:
            self._ended, self._since = ended, now
        lasts_s = now - self._since
        if lasts_s <= AFTER_ERROR_S or (
            lasts_s <= self.longest_s and device_error(server.said()) in (None, self.earlier)
        ):
            return None
        return death(engine, server, f"runs, but ended no request for {lasts_s:.0f} s")
