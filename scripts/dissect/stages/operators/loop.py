"""The timed loop that all operators share: samples of many calls, until their median is precise enough.

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
"""Least duration of a sample in seconds; a sample has as many calls as that takes."""
MAX_CALLS = 64
"""Most calls of a sample: their kernels fit the queue of a GPU, which is about a thousand for CUDA."""


class OverBudgetError(RuntimeError):
    """The cell's remaining budget is too small for the fewest samples."""


class Ranks:
    """A rank that works alone; ``GroupRanks`` of ``dissect.stages.operators.collectives`` agree with one another."""

    def agree(self, number: int) -> int:
        """Rank 0's number on all ranks."""
        return number


@dataclass(frozen=True)
class Work:
    """The calls to time, one per copy of the operands, and the clock to time them with."""

    calls: Sequence[Call]
    clock: Clock
    lead: Call = lambda: None
    """Call before each sample, untimed, that lines the ranks up."""


class TimedLoop:
    """Warm-up and measured window of one point; ``seconds_left`` is the remaining budget of the whole cell."""

    def __init__(self, sampling: Sampling, ranks: Ranks, seconds_left: Callable[[], float]) -> None:
        self._sampling, self._ranks, self._seconds_left = sampling, ranks, seconds_left

    def measure(self, work: Work, points_left: int) -> dict[str, Any]:
        """The timing fields of ``PointReport``; the remaining budget is split among ``points_left``.

        Raises:
            OverBudgetError: the budget is too small; raised before the parent would have to end the cell.
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
        """Run the first calls: one for what is loaded or chosen at first use, one for how long a call takes.

        Raises:
            OverBudgetError: the budget is too small for the fewest samples.
        """
        samples = self._sampling.warmup_min_steps + self._sampling.min_steps
        for least in (1, samples):
            seconds = work.clock.seconds(work.calls[:1], work.lead)
            left = self._seconds_left() - TEARDOWN_S
            if self._ranks.agree(int(least * seconds > left)):
                needed = f"a call takes {seconds:.3g} s, too long for {samples} calls"
                raise OverBudgetError(f"{needed} in the {left:.0f} s left")
        work.clock.seconds(work.calls[1:], work.lead)

    def _calls_per_sample(self, work: Work, turns: Iterator[Call]) -> int:
        """Increase the number of calls until a sample is long enough."""
        n_calls = 1
        while True:
            # The shorter of two: a sample that something disturbed must not make all others too short.
            seconds = min(work.clock.seconds(list(islice(turns, n_calls)), work.lead) for _ in range(2))
            wanted = min(MAX_CALLS, max(n_calls, math.ceil(n_calls * MIN_SAMPLE_S / max(seconds, 1e-9))))
            wanted = self._ranks.agree(wanted)
            if wanted <= n_calls * 1.2:
                return wanted
            n_calls = wanted
