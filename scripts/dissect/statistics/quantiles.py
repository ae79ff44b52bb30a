"""Quantiles of samples with intervals that assume no distribution."""

import math
from collections.abc import Sequence

TAIL = 0.025
"""On each side: the interval covers with 95 %."""


def quantile(ordered: Sequence[float], share: float) -> float:
    """Smallest sample that at least ``share`` of all samples do not exceed: where the drawn distribution gets there.

    ``ordered`` ascends. Raises ``ValueError`` without samples or for a share outside of (0, 1].
    """
    if not ordered or not 0 < share <= 1:
        raise ValueError(f"no quantile {share} of {len(ordered)} samples")
    return ordered[math.ceil(share * len(ordered) - 1e-9) - 1]


def quantile_interval(ordered: Sequence[float], share: float) -> tuple[float, float]:
    """Order statistics that enclose the quantile with 95 % under the binomial distribution, as far as there are any.

    How many of n independent samples lie at or below the quantile follows Binomial(n, share), whatever they are
    distributed like. With few samples a far quantile has no such upper sample: the largest one stands in, and the
    interval covers less.
    """
    n = len(ordered)
    low, high = _ranks(n, share)
    return ordered[max(low, 1) - 1], ordered[min(high, n) - 1]


def _ranks(n: int, share: float) -> tuple[int, int]:
    """Largest l with P(X < l) <= 2.5 % (0 if none), smallest u with P(X >= u) <= 2.5 % (n + 1 if none)."""
    below = [0.0]
    for k in range(n + 1):
        below.append(below[-1] + _binomial(n, k, share))
    low = max(rank for rank in range(n + 1) if below[rank] <= TAIL)
    high = min((rank for rank in range(1, n + 1) if 1 - below[rank] <= TAIL), default=n + 1)
    return low, high


def _binomial(n: int, k: int, share: float) -> float:
    """P(X = k), by logarithms: the coefficients outgrow a float."""
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + k * math.log(share) + (n - k) * math.log1p(-share))
