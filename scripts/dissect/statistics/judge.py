"""The one place that decides whether two cells differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from dissect.statistics.between_starts import BetweenStarts
from dissect.statistics.contrast import Contrast, contrast
from dissect.statistics.log_estimate import family_level
from dissect.statistics.run_values import RunValue

MARGIN = 0.05
"""Largest relative difference that counts as none."""

RunPair = tuple[Sequence[RunValue], Sequence[RunValue]]
"""The runs of the left and of the right side."""


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

    @property
    def ratio(self) -> float:
        """Right over left."""
        return self.contrast.ratio

    @property
    def reason(self) -> str:
        """Why there is no interval; empty if there is one."""
        return self.contrast.reason


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
    [judgement] = judge_all([(left, right)], margin, [between])
    return judgement


def judge_all(
    pairs: Sequence[RunPair], margin: float = MARGIN, between: Sequence[BetweenStarts | None] | None = None
) -> list[Judgement]:
    """Verdicts on all ratios of one answer or table; ``between`` has one entry per pair.

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
    found = [contrast(*pair, of) for pair, of in zip(pairs, between or [None] * len(pairs), strict=True)]
    estimates = [one.estimate for one in found if one.estimate]
    equal = [estimate.p_inside(1 / (1 + margin), 1 + margin) for estimate in estimates]
    level_equal = family_level(equal)
    # What is decided to be no difference is never called one: its test counts as one that found nothing.
    different = [
        1.0 if p_equal <= level_equal else estimate.p_outside(1, 1)
        for estimate, p_equal in zip(estimates, equal, strict=True)
    ]
    levels = level_equal, family_level(different)
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
