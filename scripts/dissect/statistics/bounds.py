"""The one place that decides whether a value or ratio of cells lies between bounds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from dissect.statistics.between_starts import BetweenStarts
from dissect.statistics.contrast import Contrast, contrast
from dissect.statistics.log_estimate import LogEstimate, family_level
from dissect.statistics.numbers import Verdict
from dissect.statistics.run_values import RunValue
from dissect.statistics.summarise import Summary, summarise
from dissect.statistics.two_looks import look_twice


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
    """Lower end of the interval; None where there is none."""
    high: float | None
    """Upper end of the interval."""
    confidence: float | None
    """With which the interval covers: 0.95 for one question, more in a family. The verdict is what this one says."""
    detectable: float | None
    """Ratio to a bound from which on the value is told from it with 80 % power, at the level of the family."""
    rests_on: Summary | Contrast
    """Runs and starts of the value, or of both sides of the ratio, and what they hold for."""
    before: Optional["BoundVerdict"] = None
    """That of the first look, which cannot tell, if this one is of the second."""

    @property
    def told(self) -> bool:
        """Whether it is decided."""
        return self.verdict is not Verdict.UNCLEAR


def check_all(asked: Sequence[Bounded], second: Sequence[Bounded | None] = ()) -> list[BoundVerdict]:
    """Verdicts on all bounds of one answer or table: at most 5 % of those decided are expected to be wrong.

    ``second`` has for each question the same of another number, or None: where the first cannot tell, the verdict is
    that of the second if that can (``two_looks``). All intervals of one look have one level, 1 - 5 % · decided / asked
    (Benjamini and Yekutieli, 2005), and the verdicts are what these intervals say.

    Raises:
        ValueError: a side has no runs.
    """
    return look_twice(_check_family, asked, second)


def _check_family(asked: Sequence[Bounded], level: float, is_open: Sequence[bool]) -> list[BoundVerdict]:
    found = [contrast(one.to, one.of, one.between) if one.to is not None else summarise(one.of) for one in asked]
    chances = [_chances(one, number.estimate) for one, number in zip(asked, found, strict=True)]
    smallest = [min(pair) if each else 1.0 for pair, each in zip(chances, is_open, strict=True) if pair]
    level = family_level(smallest, level)
    return [_verdict(number, pair, level) for number, pair in zip(found, chances, strict=True)]


def _chances(asked: Bounded, estimate: LogEstimate | None) -> tuple[float, float] | None:
    """Smallest levels at which the interval lies between the bounds, and beyond one of them."""
    low = 0.0 if asked.least is None else asked.least
    high = math.inf if asked.most is None else asked.most
    return (estimate.p_inside(low, high), estimate.p_outside(low, high)) if estimate else None


def _verdict(found: Summary | Contrast, chances: tuple[float, float] | None, level: float) -> BoundVerdict:
    value, estimate = found.ratio if isinstance(found, Contrast) else found.value, found.estimate
    if not (estimate and chances):
        return BoundVerdict(Verdict.UNCLEAR, value, None, None, None, None, found)
    inside, outside = (chance <= level for chance in chances)
    verdict = Verdict.HOLDS if inside else Verdict.FAILS if outside else Verdict.UNCLEAR
    ends = estimate.interval(level)
    return BoundVerdict(verdict, value, ends.low, ends.high, 1 - level, estimate.detectable(level), found)
