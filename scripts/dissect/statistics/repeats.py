"""How well the statistics of runs hold on measured ones: coverage of predictions, and verdicts of a cell on itself."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dissect.statistics.between_starts import BetweenStarts, pool_starts, variance_within
from dissect.statistics.judge import RatioVerdict, judge
from dissect.statistics.run_values import RunValue, by_start
from dissect.statistics.shares import StartTrial
from dissect.statistics.summarise import predict

SIDE = 3
"""Runs of each side of a pair that compares a cell with itself; two where a start has fewer than six runs."""


@dataclass(frozen=True)
class Repeats:
    """What many runs of one cell tell of its intervals and verdicts."""

    runs: int
    starts: int
    sd_within: float | None
    """Standard deviation of the logarithm of runs of one start; None where no start has two."""
    df_within: int
    sd_between: float | None
    """Standard deviation of the logarithm of starts' means; None with fewer than two starts."""
    df_between: float
    known_start: tuple[StartTrial, ...]
    """Whether each run lies in the 95 % prediction interval from the other runs, on a start that these know."""
    new_start: tuple[StartTrial, ...]
    """Whether each run lies in the one from all other starts, on a start that was left out as a whole."""
    differences: tuple[StartTrial, ...]
    """Whether each pair of disjoint sets of runs of this same cell and start was called different."""


def repeats(cells: Sequence[Sequence[RunValue]]) -> list[Repeats]:
    """Leave out each run, then each start, and compare disjoint sets of runs, of each cell of one class.

    A start that was left out is predicted as tables do it: with the variance pooled over the class, without this start.
    """
    starts = dict.fromkeys(run.start for runs in cells for run in runs)
    between = {start: pool_starts(_others(runs, start) for runs in cells) for start in starts}
    return [_repeats(runs, between) for runs in cells]


def _repeats(runs: Sequence[RunValue], between: dict[str | None, BetweenStarts | None]) -> Repeats:
    groups, pooled = by_start(runs), pool_starts([runs])
    within, df = variance_within(groups)
    known = [(run, [other for other in runs if other is not run]) for run in runs if len(groups[run.start]) > 1]
    return Repeats(
        runs=len(runs),
        starts=len(groups),
        sd_within=math.sqrt(within) if df else None,
        df_within=df,
        sd_between=pooled.sd if pooled else None,
        df_between=pooled.df if pooled else 0,
        known_start=tuple(_inside((run, others, None) for run, others in known)),
        new_start=tuple(_inside((run, _others(runs, run.start), between[run.start]) for run in runs)),
        differences=tuple(StartTrial(pair[0].start, _differ(pair)) for pair in _pairs(runs)),
    )


def _others(runs: Sequence[RunValue], start: str | None) -> list[RunValue]:
    return [run for run in runs if run.start != start]


def _inside(asked: Iterable[tuple[RunValue, Sequence[RunValue], BetweenStarts | None]]) -> Iterable[StartTrial]:
    """Whether runs lie in the prediction intervals from others; nothing of those for which these predict nothing."""
    for run, others, between in asked:
        interval = predict(others, run.start, between) if others else None
        if interval:
            yield StartTrial(run.start, interval.low <= run.value <= interval.high)


def _differ(runs: Sequence[RunValue]) -> bool:
    """Whether every other run is called different from the runs between; rounds are shared by none of them."""
    return judge(runs[::2], runs[1::2]).verdict in (RatioVerdict.ABOVE, RatioVerdict.BELOW)


def _pairs(runs: Sequence[RunValue]) -> Iterable[Sequence[RunValue]]:
    """Sets of runs of one start, in the order of measuring; what is left over makes no pair."""
    for start in dict.fromkeys(run.start for run in runs):
        own = [run for run in runs if run.start == start]
        size = 2 * min(SIDE, max(2, len(own) // 2))
        yield from (own[first : first + size] for first in range(0, len(own) - size + 1, size))
