"""The timed loop that all operators share: samples of many calls, until their median is known well enough.

A sample is the mean of so many calls that the clock's resolution does not count. On GPUs the calls wait in the queue
behind a kernel that spins, and run back to back once it ends: Python, which takes longer to queue a small product than
the GPU to compute it, has no part in the time. The calls take turns on copies of their operands.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from dissect.cells.spec import Sampling
from dissect.machine.clock import Call, Clock
from dissect.ranks.steps import REASONS, TEARDOWN_S, warmup_verdict, window_verdict

MIN_SAMPLE_S = 0.005
"""A sample has so many calls that it lasts at least this long."""
MAX_CALLS = 64
"""Calls of a sample at most: their kernels fit the queue of a GPU: CUDA's takes about a thousand."""


class OverBudgetError(RuntimeError):
    """What is left of the cell's budget is too little for the fewest samples."""


class Ranks:
    """A rank that works alone; ``dissect.stages.operators.collectives`` has the one whose ranks must agree."""

    def agree(self, number: int) -> int:
        """Rank 0's number, on all ranks."""
        return number


@dataclass(frozen=True)
class Work:
    """What is timed: one call per copy of the operands, and how."""

    calls: Sequence[Call]
    clock: Clock
    lead: Call = lambda: None
    """Runs before each sample, untimed: what lines the ranks up."""


class TimedLoop:
    """Warm-up and measured window of one point; ``seconds_left`` is that of the whole cell."""

    def __init__(self, sampling: Sampling, ranks: Ranks, seconds_left: Callable[[], float]) -> None:
        self._sampling, self._ranks, self._seconds_left = sampling, ranks, seconds_left

    def measure(self, work: Work, points_left: int) -> dict[str, Any]:
        """The fields of ``PointReport`` that say how the time was found; ``points_left`` share what is left.

        Raises ``OverBudgetError`` before the parent would have to end the cell.
        """
        self._check_budget(work)
        turns = cycle(work.calls)
        n_calls = self._calls_per_sample(work, turns)
        end = self._seconds_left() * (1 - 1 / points_left)

        def series(verdict: Callable[[list[float], Sampling, float], str | None]) -> tuple[list[float], str]:
            times: list[float] = []
            while True:
                times.append(work.clock.seconds(list(islice(turns, n_calls)), work.lead))
                reason = verdict(times, self._sampling, self._seconds_left() - end)
                code = self._ranks.agree(-1 if reason is None else REASONS.index(reason))
                if code >= 0:
                    return times, REASONS[code]

        _, ended_by = series(warmup_verdict)
        times, reason = series(window_verdict)
        return {
            "samples_s": [seconds / n_calls for seconds in times],
            "calls_per_sample": n_calls,
            "buffer_sets": len(work.calls),
            "warmup_settled": ended_by == "settled",
            "stopped_by": reason,
        }

    def _check_budget(self, work: Work) -> None:
        """The first call pays for what is loaded or chosen at first use, the second tells how long one takes."""
        samples = self._sampling.warmup_min_steps + self._sampling.min_steps
        for least in (1, samples):
            seconds = work.clock.seconds(work.calls[:1], work.lead)
            left = self._seconds_left() - TEARDOWN_S
            if self._ranks.agree(int(least * seconds > left)):
                raise OverBudgetError(f"a call takes {seconds:.3g} s, too long for {samples} in the {left:.0f} s left")
        work.clock.seconds(work.calls[1:], work.lead)

    def _calls_per_sample(self, work: Work, turns: Iterator[Call]) -> int:
        """More and more, until a sample is long enough."""
        n_calls = 1
        while True:
            # The shorter of two: a sample that something disturbed must not make all others too short.
            seconds = min(work.clock.seconds(list(islice(turns, n_calls)), work.lead) for _ in range(2))
            wanted = min(MAX_CALLS, max(n_calls, math.ceil(n_calls * MIN_SAMPLE_S / max(seconds, 1e-9))))
            wanted = self._ranks.agree(wanted)
            if wanted <= n_calls * 1.2:
                return wanted
            n_calls = wanted
