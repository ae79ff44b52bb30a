"""The one place that decides whether a value or ratio of cells lies between bounds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dissect.statistics.between_starts import BetweenStarts
from dissect.statistics.contrast import contrast
from dissect.statistics.log_estimate import LogEstimate, family_level
from dissect.statistics.numbers import Verdict
from dissect.statistics.run_values import RunValue
from dissect.statistics.summarise import summarise


@dataclass(frozen=True)
class Bounded:
    """A value of a cell, or the ratio of ÷ to of two cells, that is expected between two bounds."""

    of: Sequence[RunValue]
    to: Sequence[RunValue] | None = None
    """None: the value of ``of`` itself is bounded."""
    least: float | None = None
    """Lower bound, in the unit of the value or as a ratio; None: there is none."""
    most: float | None = None
    """Upper bound; None: there is none."""
    between: BetweenStarts | None = None
    """How starts of the cells' class differ, if that is known."""


@dataclass(frozen=True)
class BoundVerdict:
    """Whether a value or ratio lies between its bounds."""

    verdict: Verdict
    """Holds: the whole interval lies between the bounds; does not hold: it lies beyond one; else cannot tell."""
    value: float
    low: float | None
    high: float | None
    confidence: float | None
    """With which the interval covers: 0.95 for one question, more in a family. The verdict is what this one says."""


def check_bounds(asked: Bounded) -> BoundVerdict:
    """Whether a value or ratio lies between its bounds; cannot tell where it has no interval.

    Raises:
        ValueError: a side has no runs.
    """
    [verdict] = check_all([asked])
    return verdict


def check_all(asked: Sequence[Bounded]) -> list[BoundVerdict]:
    """Verdicts on all bounds of one answer or table: at most 5 % of those decided are expected to be wrong.

    All intervals have one level, 1 - 5 % · decided / asked (Benjamini and Yekutieli, 2005), and the verdicts are what
    these intervals say.

    Raises:
        ValueError: a side has no runs.
    """
    found = [_value(one) for one in asked]
    chances = [_chances(one, estimate) for one, (_, estimate) in zip(asked, found, strict=True)]
    level = family_level([min(pair) for pair in chances if pair])
    return [_verdict(value, estimate, pair, level) for (value, estimate), pair in zip(found, chances, strict=True)]


def _value(asked: Bounded) -> tuple[float, LogEstimate | None]:
    if asked.to is None:
        summary = summarise(asked.of)
        return summary.value, summary.estimate
    ratio = contrast(asked.to, asked.of, asked.between)
    return ratio.ratio, ratio.estimate


def _chances(asked: Bounded, estimate: LogEstimate | None) -> tuple[float, float] | None:
    """Smallest levels at which the interval lies between the bounds, and beyond one of them."""
    low = 0.0 if asked.least is None else asked.least
    high = math.inf if asked.most is None else asked.most
    return (estimate.p_inside(low, high), estimate.p_outside(low, high)) if estimate else None


def _verdict(
    value: float, estimate: LogEstimate | None, chances: tuple[float, float] | None, level: float
) -> BoundVerdict:
    if not (estimate and chances):
        return BoundVerdict(Verdict.UNCLEAR, value, None, None, None)
    inside, outside = (chance <= level for chance in chances)
    verdict = Verdict.HOLDS if inside else Verdict.FAILS if outside else Verdict.UNCLEAR
    ends = estimate.interval(level)
    return BoundVerdict(verdict, value, ends.low, ends.high, 1 - level)
