"""How well the statistics of runs hold on measured ones: coverage of predictions, and verdicts of a cell on itself."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dissect.statistics.between_starts import pool_starts, variance_within
from dissect.statistics.judge import RatioVerdict, judge
from dissect.statistics.run_values import RunValue, by_start
from dissect.statistics.summarise import predict

SIDE = 3
"""Runs of each side of a pair that compares a cell with itself."""


@dataclass(frozen=True)
class Repeats:
    """What many runs of one cell tell of its intervals and verdicts."""

    runs: int
    starts: int
    sd_within: float | None
    """Standard deviation of the logarithm of runs of one start."""
    sd_between: float | None
    """Standard deviation of the logarithm of starts' means; None with fewer than two starts."""
    covered: int
    """Runs inside the 95 % prediction interval from the other runs, on a start that these know."""
    predicted: int
    """Runs for which there was such an interval."""
    covered_new: int
    """The same for runs of a start that was left out as a whole."""
    predicted_new: int
    called_different: int
    """Pairs of disjoint sets of runs of this same cell that were called different."""
    pairs: int


def repeats(runs: Sequence[RunValue]) -> Repeats:
    """Leave out each run, then each start, and compare disjoint sets of consecutive runs of one start."""
    within, df = variance_within(by_start(runs))
    between = pool_starts([runs])
    known = [run for run in runs if sum(other.start == run.start for other in runs) > 1]
    same = [inside(run, [other for other in runs if other is not run], run.start) for run in known]
    new = [inside(run, [other for other in runs if other.start != run.start], run.start) for run in runs]
    pairs = [different(pair) for pair in _pairs(runs)]
    return Repeats(
        runs=len(runs),
        starts=len({run.start for run in runs}),
        sd_within=math.sqrt(within) if df else None,
        sd_between=between.sd if between else None,
        covered=sum(filter(None, same)),
        predicted=len([each for each in same if each is not None]),
        covered_new=sum(filter(None, new)),
        predicted_new=len([each for each in new if each is not None]),
        called_different=sum(pairs),
        pairs=len(pairs),
    )


def inside(run: RunValue, others: Sequence[RunValue], start: str | None) -> bool | None:
    """Whether a run lies in the prediction interval from others; None where these predict nothing."""
    interval = predict(others, start) if others else None
    return None if interval is None else interval.low <= run.value <= interval.high


def different(runs: Sequence[RunValue]) -> bool:
    """Whether every other run is called different from the runs between; rounds are shared by none of them."""
    return judge(runs[::2], runs[1::2]).verdict in (RatioVerdict.ABOVE, RatioVerdict.BELOW)


def _pairs(runs: Sequence[RunValue]) -> list[Sequence[RunValue]]:
    """Sets of runs of one start, in the order of measuring; what is left over makes no pair."""
    own = [[run for run in runs if run.start == start] for start in dict.fromkeys(run.start for run in runs)]
    size = 2 * SIDE
    return [of[first : first + size] for of in own for first in range(0, len(of) - size + 1, size)]
