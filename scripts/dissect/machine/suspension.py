"""Times in which this process was stopped with its whole job: ``scontrol suspend``, or a preemption that suspends."""

import signal
import time
from types import FrameType, TracebackType
from typing import Self

Interval = tuple[float, float]
"""(start, end), CLOCK_MONOTONIC."""


class Suspensions:
    """Notices in its ``with`` block that the process was stopped and continued (SIGCONT), to half a second.

    Look twice a second, from the main thread.
    """

    def __init__(self) -> None:
        self.intervals: list[Interval] = []
        self._looked_at = time.monotonic()
        self._continued_at: float | None = None

    def __enter__(self) -> Self:
        self._looked_at, self._before = time.monotonic(), signal.signal(signal.SIGCONT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGCONT, self._before)

    def look(self) -> float:
        """Seconds of a suspension since the last look, an upper bound; 0 without one."""
        since, self._looked_at = self._looked_at, time.monotonic()
        if self._continued_at is None:
            return 0.0
        self.intervals.append((since, self._continued_at))
        self._continued_at = None
        return self.intervals[-1][1] - since

    def _note(self, _: int, __: FrameType | None) -> None:
        self._continued_at = time.monotonic()


def overlaps(intervals: list[Interval], start: float, end: float) -> bool:
    """Whether one of the intervals has a part between two moments."""
    return any(since < end and until > start for since, until in intervals)
