"""Quantiles of samples with intervals that assume no distribution.

How many of n independent samples lie at or below a quantile follows Binomial(n, share), whatever they are distributed
like. For the programs that present results: the environments of the cells have no SciPy (``statistics.samples``).
"""

import math
from collections.abc import Sequence
from functools import cache

import scipy

TAIL = 0.025
"""On each side: an interval covers with 95 %."""


def quantile(ordered: Sequence[float], share: float) -> float:
    """Smallest sample that at least ``share`` of all samples do not exceed: where the drawn distribution gets there.

    ``ordered`` ascends. NumPy's method ``inverted_cdf`` takes the next sample where the product is rounded up, as for
    0.14 of 50.

    Raises:
        ValueError: no samples, or a share outside of (0, 1].
    """
    if not ordered or not 0 < share <= 1:
        raise ValueError(f"no quantile {share} of {len(ordered)} samples")
    return ordered[math.ceil(share * len(ordered) - 1e-9) - 1]


def quantile_interval(ordered: Sequence[float], share: float) -> tuple[float, float]:
    """Order statistics that enclose the quantile with 95 %, as far as there are any; ``ordered`` ascends.

    With few samples a far quantile has no such upper sample: the largest one stands in, and the interval covers less.
    """
    n = len(ordered)
    low, high = interval_ranks(n, share)
    return ordered[max(low, 1) - 1], ordered[min(high, n) - 1]


@cache
def interval_ranks(n: int, share: float) -> tuple[int, int]:
    """Ranks, from 1, of the samples that enclose the quantile with 95 %; 0 and n + 1 where no sample does.

    Of ``n`` samples: the largest l with P(X < l) <= 2.5 % and the smallest u with P(X >= u) <= 2.5 %.
    """
    below = scipy.stats.binom(n, share)
    return int(below.ppf(TAIL)), int(below.isf(TAIL)) + 1
