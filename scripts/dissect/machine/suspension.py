"""Times in which this process was stopped with its whole job: ``scontrol suspend``, or a preemption that suspends."""

import os
import signal
import time
from types import FrameType, TracebackType
from typing import Self

Interval = tuple[float, float]
"""(start, end), CLOCK_MONOTONIC."""
GAP_S = 3.0
"""Seconds of rest beyond which a process of a Slurm job was suspended, also without a signal."""


class Suspensions:
    """Notices in its ``with`` block that the process was stopped and continued, to half a second.

    Look twice a second, from the main thread. With ``proctrack/cgroup`` Slurm freezes a job, and only the job's script
    gets SIGCONT: there a suspension shows as a gap between :meth:`rest` and the next look.
    """

    def __init__(self) -> None:
        self.intervals: list[Interval] = []
        self._looked_at = time.monotonic()
        self._continued_at: float | None = None
        self._rests_at: tuple[float, float] | None = None

    def __enter__(self) -> Self:
        self._looked_at, self._before = time.monotonic(), signal.signal(signal.SIGCONT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGCONT, self._before)

    def rest(self) -> None:
        """Note that the next look comes within a second, so that a long gap is a suspension."""
        self._rests_at = time.monotonic(), time.thread_time()

    def look(self) -> float:
        """Seconds of a suspension since the last look, an upper bound; 0 without one."""
        since, self._looked_at = self._looked_at, time.monotonic()
        rests_at, self._rests_at = self._rests_at, None
        until, self._continued_at = self._continued_at, None
        if until is None and rests_at and "SLURM_JOB_ID" in os.environ:
            since, until = rests_at[0], self._looked_at
            worked_s = time.thread_time() - rests_at[1]
            if until - since - worked_s < GAP_S:
                return 0.0
        if until is None:
            return 0.0
        self.intervals.append((since, until))
        return until - since

    def _note(self, _: int, __: FrameType | None) -> None:
        self._continued_at = time.monotonic()


def overlaps(intervals: list[Interval], start: float, end: float) -> bool:
    """Whether one of the intervals has a part between two moments."""
    return any(since < end and until > start for since, until in intervals)
