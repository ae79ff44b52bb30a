"""Quantiles of samples with intervals that assume no distribution.

The number of n independent samples at or below a quantile follows Binomial(n, share), for any distribution. Programs
that present results use this module; the environments of cells have no SciPy (``statistics.step_times``).
"""

import math
from collections.abc import Sequence
from functools import cache

from dissect.statistics import lazy_scipy as scipy

TAIL = 0.025
"""Probability on each side of an interval, which covers with 95 %."""


def quantile(ordered: Sequence[float], share: float) -> float:
    """Quantile of samples: the smallest sample that at least ``share`` of all samples do not exceed.

    ``ordered`` ascends. NumPy's method ``inverted_cdf`` takes the next sample where the product is rounded up, as for
    0.14 of 50.

    Raises:
        ValueError: no samples, or a share outside of (0, 1].
    """
    if not ordered or not 0 < share <= 1:
        raise ValueError(f"no quantile {share} of {len(ordered)} samples")
    return ordered[math.ceil(share * len(ordered) - 1e-9) - 1]


def quantile_interval(ordered: Sequence[float], share: float) -> tuple[float, float]:
    """Bounds of the 95 % interval of a quantile, which are two of the samples; ``ordered`` ascends.

    With few samples an extreme quantile has no such bound: the smallest or largest sample replaces it, and the interval
    covers less.
    """
    n = len(ordered)
    low, high = interval_ranks(n, share)
    return ordered[max(low, 1) - 1], ordered[min(high, n) - 1]


@cache
def interval_ranks(n: int, share: float) -> tuple[int, int]:
    """Ranks, from 1, of the samples that bound the quantile with 95 %; 0 and n + 1 where no sample does.

    Of ``n`` samples: the largest l with P(X < l) <= 2.5 % and the smallest u with P(X >= u) <= 2.5 %.
    """
    below = scipy.stats.binom(n, share)
    return int(below.ppf(TAIL)), int(below.isf(TAIL)) + 1
