"""The one place that decides whether two cells differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import NamedTuple, Optional

from dissect.statistics.between_starts import BetweenStarts
from dissect.statistics.contrast import Contrast, contrast
from dissect.statistics.log_estimate import family_level
from dissect.statistics.run_values import RunValue
from dissect.statistics.two_looks import look_twice

MARGIN = 0.05
"""Largest relative difference that counts as none."""


class RunPair(NamedTuple):
    """The runs of the left and of the right side."""

    left: Sequence[RunValue]
    right: Sequence[RunValue]
    between: BetweenStarts | None = None
    """How starts of their class differ, if that is known."""


class RatioVerdict(StrEnum):
    """Verdict on the ratio right ÷ left; whether above is faster or slower depends on the quantity."""

    ABOVE = "above"
    BELOW = "below"
    SAME = "no difference"
    UNCLEAR = "cannot tell"


@dataclass(frozen=True)
class Judgement:
    """The verdict on a ratio, with what it rests on."""

    verdict: RatioVerdict
    contrast: Contrast
    """Runs, starts and rounds of both sides, what the ratio holds for, and why there is no interval."""
    margin: float
    low: float | None
    """Lower end of the ratio's interval; None where the runs tell nothing of its error."""
    high: float | None
    """Upper end of the ratio's interval."""
    confidence: float | None
    """With which the interval covers: 0.95 for one ratio, more in a family. The verdict is what this interval says."""
    p_different: float | None
    """Smallest level at which the interval excludes 1, for this ratio alone."""
    p_equal: float | None
    """Smallest level at which the interval lies within the margin, for this ratio alone."""
    detectable: float | None
    """The ratio (or its inverse) that would have been told from 1 with 80 % power, at the level of the family."""
    before: Optional["Judgement"] = None
    """That of the first look, which cannot tell, if this one is of the second."""

    @property
    def ratio(self) -> float:
        """Right over left."""
        return self.contrast.ratio

    @property
    def told(self) -> bool:
        """Whether there is a verdict."""
        return self.verdict is not RatioVerdict.UNCLEAR


def judge(
    left: Sequence[RunValue],
    right: Sequence[RunValue],
    margin: float = MARGIN,
    between: BetweenStarts | None = None,
) -> Judgement:
    """The verdict on the ratio right ÷ left of two cells; ``between`` tells how starts of their class differ.

    Raises:
        ValueError: a side has no runs, or the margin is not positive.
    """
    [judgement] = judge_all([RunPair(left, right, between)], margin)
    return judgement


def judge_all(
    pairs: Sequence[RunPair], margin: float = MARGIN, second: Sequence[RunPair | None] = ()
) -> list[Judgement]:
    """Verdicts on all ratios of one answer or table.

    ``second`` has for each pair the same cells in another number, or None: where the first cannot tell, the verdict is
    that of the second if that can (``two_looks``).

    At most 5 % of the ratios called above or below are expected to be wrongly so, and of those called no difference
    (Benjamini and Hochberg, 1995, for each of the two). If no ratio differs, the chance that any of the family is
    called different is at most 5 %. The interval of a ratio has the level of its kind of verdict, or the stricter one
    where the verdict is that it cannot be told or another one would follow. So "no difference" lies within the margin,
    above and below exclude 1, "cannot tell" does neither.

    Where the best of several cells is named after looking at them, the family is that of all their pairs.

    Raises:
        ValueError: a side has no runs, or the margin is not positive.
    """
    if not margin > 0:
        raise ValueError(f"the margin is {margin}; it must be above 0")
    return look_twice(partial(_judge_family, margin), pairs, second)


def _judge_family(margin: float, pairs: Sequence[RunPair], level: float, is_open: Sequence[bool]) -> list[Judgement]:
    found = [contrast(*pair) for pair in pairs]
    estimates = [(one.estimate, asked) for one, asked in zip(found, is_open, strict=True) if one.estimate]
    equal = [of.p_inside(1 / (1 + margin), 1 + margin) if asked else 1.0 for of, asked in estimates]
    level_equal = family_level(equal, level)
    # What is decided to be no difference is never called one: its test counts as one that found nothing.
    different = [
        1.0 if p_equal <= level_equal or not asked else of.p_outside(1, 1)
        for (of, asked), p_equal in zip(estimates, equal, strict=True)
    ]
    levels = level_equal, family_level(different, level)
    return [_judgement(one, margin, *levels) for one in found]


def _judgement(of: Contrast, margin: float, level_equal: float, level_different: float) -> Judgement:
    estimate = of.estimate
    if not estimate:
        return Judgement(RatioVerdict.UNCLEAR, of, margin, None, None, None, None, None, None)
    p_equal, p_different = estimate.p_inside(1 / (1 + margin), 1 + margin), estimate.p_outside(1, 1)
    # A level at which the interval does not lie within the margin, unless the verdict is that it does.
    level = level_equal if p_equal <= max(level_equal, level_different) else level_different
    if p_equal <= level:
        verdict = RatioVerdict.SAME
    elif p_different <= level:
        verdict = RatioVerdict.ABOVE if of.ratio > 1 else RatioVerdict.BELOW
    else:
        verdict, level = RatioVerdict.UNCLEAR, min(level_equal, level_different)
    ends, detectable = estimate.interval(level), estimate.detectable(level_different)
    return Judgement(verdict, of, margin, ends.low, ends.high, 1 - level, p_different, p_equal, detectable)
