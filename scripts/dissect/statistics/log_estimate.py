"""Estimates on the log scale with their t intervals, and the level at which a family of verdicts is decided."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dissect.statistics import lazy_scipy as scipy

LEVEL = 0.05
"""Expected share of false verdicts among those of one answer or table; an interval of its own covers with 95 %."""
POWER = 0.8


@dataclass(frozen=True)
class Interval:
    """Both ends of an interval, in the unit of the value."""

    low: float
    high: float


@dataclass(frozen=True)
class LogEstimate:
    """The logarithm of a value or ratio, with its standard error and the degrees of freedom of that error."""

    mean: float
    se: float
    df: float

    @property
    def value(self) -> float:
        """The value itself."""
        return _exp(self.mean)

    @property
    def inverse(self) -> "LogEstimate":
        """That of the inverse ratio."""
        return LogEstimate(-self.mean, self.se, self.df)

    def interval(self, level: float = LEVEL) -> Interval:
        """The interval that covers with 1 - level (Student, 1908)."""
        half = self.se * _critical(self.df, level)
        return Interval(_exp(self.mean - half), _exp(self.mean + half))

    def p_above(self, bound: float) -> float:
        """Smallest level at which the whole interval lies above the bound; 1 where the value does not."""
        return min(1.0, 2 * float(scipy.special.stdtr(self.df, (_log(bound) - self.mean) / self.se)))

    def p_below(self, bound: float) -> float:
        """Smallest level at which the whole interval lies below the bound; 1 where the value does not."""
        return min(1.0, 2 * float(scipy.special.stdtr(self.df, (self.mean - _log(bound)) / self.se)))

    def p_inside(self, low: float, high: float) -> float:
        """Smallest level at which the whole interval lies between two bounds: two one-sided tests (Schuirmann, 1987).

        Twice the larger of their p-values: it is at most 5 % exactly when the 95 % interval lies between the bounds.
        """
        return max(self.p_above(low), self.p_below(high))

    def p_outside(self, low: float, high: float) -> float:
        """Smallest level at which the whole interval lies beyond one of two bounds."""
        return min(self.p_below(low), self.p_above(high))

    def detectable(self, level: float = LEVEL) -> float:
        """The ratio (or its inverse) of which 1 - level intervals exclude 1 in 80 of 100 cases: noncentral t."""
        # Beyond a million degrees of freedom t is normal; the inverse of the noncentral t takes no infinite ones.
        df = min(self.df, 1e6)
        critical = _critical(df, level)
        # Where the inverse would not converge, only the uncertainty of the variance counts, with its chi-squared.
        far = critical > 1000
        shift = (
            critical * math.sqrt(scipy.special.chdtri(df, 1 - POWER) / df)
            if far
            else scipy.special.nctdtrinc(df, 1 - POWER, critical)
        )
        return _exp(self.se * float(shift))


def minus(of: LogEstimate, to: LogEstimate, *variances: tuple[float, float]) -> LogEstimate:
    """The ratio of two independent estimates (Welch, 1947), with further variances and their degrees of freedom."""
    return LogEstimate(of.mean - to.mean, *total([(of.se**2, of.df), (to.se**2, to.df), *variances]))


def total(variances: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Standard error and degrees of freedom of a sum of variances, each with its own (Satterthwaite, 1946).

    A variance of one degree of freedom may be far too small by chance, which Satterthwaite's formula takes for
    certainty: then there is one degree in all.
    """
    variance = math.fsum(v for v, _ in variances)
    if any(df == 1 for _, df in variances):
        return math.sqrt(variance), 1.0
    return math.sqrt(variance), variance * variance / math.fsum(v * v / df for v, df in variances)


def family_level(p_values: Sequence[float], level: float = LEVEL) -> float:
    """The level of every test and interval of a family (Benjamini and Hochberg, 1995; Benjamini and Yekutieli, 2005).

    With r of m tests decided it is ``level`` · r / m, at least ``level`` / m. A p-value is at most that exactly when
    Benjamini and Hochberg's procedure decides its test, so intervals of this level agree with all verdicts.
    """
    if not p_values:
        return level
    m = len(p_values)
    decided = [rank for rank, p in enumerate(sorted(p_values), 1) if p * m <= level * rank]
    return level * max(decided, default=1) / m


def _critical(df: float, level: float) -> float:
    return float(scipy.special.stdtrit(df, 1 - level / 2))


def _log(bound: float) -> float:
    return math.log(bound) if bound > 0 else -math.inf


def _exp(number: float) -> float:
    return math.exp(number) if number < 700 else math.inf
