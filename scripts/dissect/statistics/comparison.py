"""Whether two sets of samples differ, with nothing assumed of their distribution but independence.

All of it rests on order statistics: how many of n samples lie below a quantile follows Binomial(n, share), whatever
they are distributed like. Intervals are combined end against end, as ``dissect.statistics.numbers`` does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import scipy
from numpy.typing import NDArray

from dissect.statistics.numbers import Number
from dissect.statistics.quantiles import interval_ranks

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Samples of one run, and the quantile of them that counts."""

    ordered: tuple[float, ...]
    """Ascending."""
    share: float = 0.5

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval of the quantile; 0 where no sample is certain to lie below it."""
        rank, _ = interval_ranks(len(self.ordered), self.share)
        return self.ordered[rank - 1] if rank else 0.0

    @property
    def high(self) -> float:
        """Upper end; without bound where no sample is certain to lie above it."""
        _, rank = interval_ranks(len(self.ordered), self.share)
        return self.ordered[rank - 1] if rank <= len(self.ordered) else math.inf


def hull(value: float, runs: Sequence[Sample]) -> Number:
    """A value with the interval that encloses those of all runs."""
    return Number(value, min(run.low for run in runs), max(run.high for run in runs))


def p_above(right: Sequence[Sample], left: Sequence[Sample], factor: float) -> float:
    """Bound on the chance of such samples if the right quantile were at most ``factor`` times the left one.

    The smallest level at which the lower end on the right lies above ``factor`` times the upper end on the left: if
    the hypothesis is true, one of the two one-sided intervals must have missed its quantile, so the chance is at most
    the sum of their tails. Of several runs the least certain pair counts: repeated measurements widen, they never pool.
    """
    return max(_p_above(of, to, factor) for of, to in product(right, left))


def p_difference(right: Sequence[Sample], left: Sequence[Sample], margin: float) -> float:
    """Bound on the chance if the two were within the margin of each other, for a difference in either direction."""
    factor = 1 + margin
    return min(1.0, 2 * min(p_above(right, left, factor), p_above(left, right, factor)))


def p_equivalence(right: Sequence[Sample], left: Sequence[Sample], margin: float) -> float:
    """Bound on the chance if the two were a margin or more apart: two one-sided tests, of which the worse counts."""
    factor = 1 / (1 + margin)
    return max(p_above(right, left, factor), p_above(left, right, factor))


def _p_above(right: Sample, left: Sample, factor: float) -> float:
    lows, highs = np.array(right.ordered), factor * np.array(left.ordered)
    # Rank l on the right lies above the scaled ranks up to u on the left: the largest u is the most certain one.
    beaten = np.searchsorted(highs, lows, side="left")
    below, above = _below(len(lows), right.share), _above(len(highs), left.share)
    tails = [max(float(below[rank]), float(above[u - 1])) for rank, u in enumerate(beaten) if u]
    return min(1.0, 2 * min(tails, default=1.0))


@cache
def _below(n: int, share: float) -> Floats:
    """For each rank l from 1 to n the chance that the l-th smallest sample lies above the quantile: P(X < l)."""
    return np.asarray(scipy.stats.binom.cdf(np.arange(n), n, share))


@cache
def _above(n: int, share: float) -> Floats:
    """For each rank u from 1 to n the chance that the u-th smallest sample lies below the quantile: P(X >= u)."""
    return np.asarray(scipy.stats.binom.sf(np.arange(n), n, share))
