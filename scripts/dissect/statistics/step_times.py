"""Distribution-free statistics of step times."""

import math
import statistics
from collections.abc import Sequence

from dissect.statistics.estimate import Estimate

CONFIDENCE = 0.95
MIN_SAMPLES = 6
"""Fewest samples whose range covers the median with 95 % confidence: 1 - 2 / 2^n >= 0.95."""
SETTLED_TOLERANCE = 0.10
UNSTABLE_CV = 0.20
"""Coefficient of variation above which a number is flagged as unstable."""


def estimate(samples: Sequence[float]) -> Estimate:
    """Median and mean with the exact 95 % interval of the median, in the samples' unit.

    The interval is from the k-th smallest to the k-th largest sample, with the largest k that covers the median with at
    least 95 % probability under the binomial distribution, for independent samples. Below ``MIN_SAMPLES`` no k does:
    the interval is then the range, which covers less.

    Raises:
        ValueError: there are no samples.
    """
    if not samples:
        raise ValueError("no samples to estimate from")
    ordered = sorted(samples)
    rank = interval_rank(len(ordered))
    return Estimate(
        median=statistics.median(ordered),
        low=ordered[rank - 1],
        high=ordered[-rank],
        mean=statistics.fmean(ordered),
        n=len(ordered),
    )


def interval_rank(n: int) -> int:
    """Largest k >= 1 for which (k-th smallest, k-th largest) of ``n`` samples covers the median with 95 %; else 1.

    The interval misses the median when fewer than k samples fall on one side of it: 2 P(Binomial(n, 1/2) < k). Own
    code, as the environments of the cells have no SciPy; ``quantiles.interval_ranks`` is the same for any quantile.
    """
    rank, tail = 1, 1
    while True:
        tail += math.comb(n, rank)
        # In integers, so that it is exact: 2 * tail / 2^n <= 1 - 0.95.
        if 2 * tail * 100 > (100 - round(CONFIDENCE * 100)) * 2**n:
            return rank
        rank += 1


def coefficient_of_variation(samples: Sequence[float]) -> float:
    """Sample standard deviation over the mean; 0 for a single sample.

    Raises:
        ValueError: there are no samples.
    """
    if not samples:
        raise ValueError("no samples to take the variation of")
    return statistics.stdev(samples) / statistics.fmean(samples) if len(samples) > 1 else 0.0


def settled(times: Sequence[float], span: int = 2) -> bool:
    """Whether a warm-up is over: the mean of the last ``span`` steps is within 10 % of that of as many before.

    Two-sided, so that neither a step that still gets faster nor a device that slows down counts as settled.
    """
    if len(times) < 2 * span:
        return False
    before, last = statistics.fmean(times[-2 * span : -span]), statistics.fmean(times[-span:])
    return abs(last - before) <= SETTLED_TOLERANCE * before
