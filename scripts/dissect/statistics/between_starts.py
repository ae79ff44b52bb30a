"""How runs differ within a start and between starts, as variances of logarithms."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from dissect.statistics.log_estimate import LogEstimate
from dissect.statistics.run_values import Groups, RunValue, by_start

RESOLUTION = 0.001
"""Standard deviation of runs below which none is believed: 0.1 %, by which the steadiest cells on GPUs repeat.

Memory may be equal to the byte in all runs, and two runs may agree by chance: no interval gets zero width by that.
"""
MIN_STARTS = 3
"""Fewest starts of one cell that tell of starts in general."""


@dataclass(frozen=True)
class BetweenStarts:
    """How far starts differ, pooled over cells of one class on one kind of GPU."""

    variance: float
    """Variance of the logarithm of a start's mean."""
    df: float
    """Degrees of freedom: those of the starts, however many cells were measured on them."""
    n_starts: int
    n_cells: int
    """Cells with at least two known starts."""

    @property
    def sd(self) -> float:
        """Standard deviation: about the share by which a start differs from the mean of starts."""
        return math.sqrt(self.variance)


def pool_starts(cells: Iterable[Sequence[RunValue]]) -> BetweenStarts | None:
    """Pool the variance between starts over cells of one class; None where no cell was measured on two known starts.

    The variance of a cell's start means includes what is left of the runs' own noise in a mean. That part is not taken
    off: the pooled variance errs to the wide side and is never negative.

    Cells on the same starts are not independent, as a slow host slows them all. So the degrees of freedom are counted
    as if the starts' effects were the same for all cells: starts less the groups that cells link them to.
    """
    groups: list[set[str]] = []
    squares, weights, n_cells = 0.0, 0, 0
    for runs in cells:
        means = {start: fmean(logs) for start, logs in by_start(runs).items() if start is not None}
        if len(means) < 2:
            continue
        n_cells += 1
        squares += variance(means.values()) * (len(means) - 1)
        weights += len(means) - 1
        linked = [group for group in groups if group & means.keys()]
        groups = [group for group in groups if group not in linked] + [means.keys() | set().union(*linked)]
    if not n_cells:
        return None
    n_starts = sum(map(len, groups))
    return BetweenStarts(squares / weights, n_starts - len(groups), n_starts, n_cells)


def are_many(groups: Groups) -> bool:
    """Whether there are enough known starts to tell of starts in general."""
    return None not in groups and len(groups) >= MIN_STARTS


def variance_within(groups: Groups) -> tuple[float, int]:
    """Variance of runs of one start, pooled over the starts, and its degrees of freedom; the first is nan without any.

    At least ``RESOLUTION`` squared.
    """
    df = sum(len(logs) - 1 for logs in groups.values())
    squares = sum(variance(logs) * (len(logs) - 1) for logs in groups.values() if len(logs) > 1)
    return (max(squares / df, RESOLUTION**2) if df else math.nan), df


def variance_of_starts(groups: Groups) -> float:
    """Variance of the starts' means of logarithms, at least what ``RESOLUTION`` leaves in them.

    It includes the part of the runs' variance that is left in a mean.
    """
    least = RESOLUTION**2 * share_of_runs(groups) * len(groups)
    return max(variance([fmean(logs) for logs in groups.values()]), least)


def mean_of(groups: Groups) -> float:
    """Mean of the logarithms, in which each start counts once."""
    return fmean(fmean(logs) for logs in groups.values())


def share_of_runs(groups: Groups) -> float:
    """The part of the variance of runs that is left in the mean of the starts' means: 1 / n for n runs of one start."""
    return sum(1 / len(logs) for logs in groups.values()) / len(groups) ** 2


def estimate_these(groups: Groups) -> LogEstimate | None:
    """The mean on just these starts; None where no start has two runs."""
    within, df = variance_within(groups)
    return LogEstimate(mean_of(groups), math.sqrt(within * share_of_runs(groups)), df) if df else None


def estimate_starts(groups: Groups) -> LogEstimate:
    """The mean over starts in general, of which these are a sample; they must be ``are_many``."""
    return LogEstimate(mean_of(groups), math.sqrt(variance_of_starts(groups) / len(groups)), len(groups) - 1)


def estimate_of(groups: Groups) -> LogEstimate | None:
    """The mean with the widest scope that the starts allow."""
    return estimate_starts(groups) if are_many(groups) else estimate_these(groups)
