"""Distribution-free tests of whether two sets of independent samples differ.

They use order statistics: the number of n samples below a quantile follows Binomial(n, share) for any distribution.
Intervals are combined bound against bound, as in ``dissect.statistics.numbers``.
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
    """Samples of one run, and the quantile that is compared."""

    ordered: tuple[float, ...]
    """Samples in ascending order."""
    share: float = 0.5

    @property
    def low(self) -> float:
        """Lower bound of the 95 % interval of the quantile; 0 where no sample is certain to be below it."""
        rank, _ = interval_ranks(len(self.ordered), self.share)
        return self.ordered[rank - 1] if rank else 0.0

    @property
    def high(self) -> float:
        """Upper bound of the 95 % interval of the quantile; infinite where no sample is certain to be above it."""
        _, rank = interval_ranks(len(self.ordered), self.share)
        return self.ordered[rank - 1] if rank <= len(self.ordered) else math.inf


def hull(value: float, runs: Sequence[Sample]) -> Number:
    """A value with the interval that encloses the intervals of all runs."""
    return Number(value, min(run.low for run in runs), max(run.high for run in runs))


def p_above(right: Sequence[Sample], left: Sequence[Sample], factor: float) -> float:
    """Upper bound of the p-value of the hypothesis that the right quantile is at most ``factor`` times the left one.

    The smallest level at which the lower bound on the right is above ``factor`` times the upper bound on the left: if
    the hypothesis is true, one of the two one-sided intervals missed its quantile, so the chance is at most the sum of
    their tails. Of several runs the least certain pair decides: repeated measurements are never pooled.
    """
    return max(_p_above(of, to, factor) for of, to in product(right, left))


def p_difference(right: Sequence[Sample], left: Sequence[Sample], margin: float) -> float:
    """Upper bound of the p-value of the hypothesis that the two quantiles differ by at most the margin."""
    factor = 1 + margin
    return min(1.0, 2 * min(p_above(right, left, factor), p_above(left, right, factor)))


def p_equivalence(right: Sequence[Sample], left: Sequence[Sample], margin: float) -> float:
    """Upper bound of the p-value of the hypothesis that the two differ by the margin or more: two one-sided tests."""
    factor = 1 / (1 + margin)
    return max(p_above(right, left, factor), p_above(left, right, factor))


def _p_above(right: Sample, left: Sample, factor: float) -> float:
    lows, highs = np.array(right.ordered), factor * np.array(left.ordered)
    # Rank l on the right is above the scaled ranks up to u on the left: the largest u is the most certain one.
    beaten = np.searchsorted(highs, lows, side="left")
    below, above = _below(len(lows), right.share), _above(len(highs), left.share)
    tails = [max(float(below[rank]), float(above[u - 1])) for rank, u in enumerate(beaten) if u]
    return min(1.0, 2 * min(tails, default=1.0))


@cache
def _below(n: int, share: float) -> Floats:
    """Chances [n] that the l-th smallest sample is above the quantile, P(X < l), for ranks l from 1 to n."""
    return np.asarray(scipy.stats.binom.cdf(np.arange(n), n, share))


@cache
def _above(n: int, share: float) -> Floats:
    """Chances [n] that the u-th smallest sample is below the quantile, P(X >= u), for ranks u from 1 to n."""
    return np.asarray(scipy.stats.binom.sf(np.arange(n), n, share))
