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
from numpy.typing import NDArray

from dissect.statistics.numbers import Number

TAIL = 0.025
"""On each side of an interval: it covers with 95 %."""

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
        rank = int(np.searchsorted(_below(len(self.ordered), self.share), TAIL, side="right"))
        return self.ordered[rank - 1] if rank else 0.0

    @property
    def high(self) -> float:
        """Upper end; without bound where no sample is certain to lie above it."""
        tails = _above(len(self.ordered), self.share)
        certain = np.flatnonzero(tails <= TAIL)
        return self.ordered[int(certain[0])] if certain.size else math.inf


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


def adjusted(chances: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjustment (1995): the share of false findings among those up to 0.05 is at most 5 %."""
    count = len(chances)
    order = sorted(range(count), key=lambda index: chances[index], reverse=True)
    result, smallest = [1.0] * count, 1.0
    for place, index in enumerate(order):
        smallest = min(smallest, chances[index] * count / (count - place))
        result[index] = smallest
    return result


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
    return np.cumsum(_binomial(n, share))[:n]


@cache
def _above(n: int, share: float) -> Floats:
    """For each rank u from 1 to n the chance that the u-th smallest sample lies below the quantile: P(X >= u)."""
    tail: Floats = np.cumsum(_binomial(n, share)[::-1])[::-1][1:]
    return tail


@cache
def _binomial(n: int, share: float) -> Floats:
    """P(X = k) for k from 0 to n, by logarithms: the coefficients outgrow a float."""
    ks = range(n + 1)
    ways = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in ks]
    powers = [k * math.log(share) + (n - k) * math.log1p(-share) for k in ks]
    chances: Floats = np.exp(np.array(ways) + np.array(powers))
    return chances
