"""Numbers with intervals, and comparisons of two of them.

Intervals are combined bound against bound, to the widest possible one: a ratio is above 1 exactly when the intervals
do not overlap, so no verdict depends on two medians alone.
"""

import math
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Verdict on a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNCLEAR = "cannot tell"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Number:
    """A value with the bounds of its 95 % interval; without an interval both bounds are the value."""

    value: float
    low: float
    high: float

    def show(self, unit: str) -> str:
        """The number as text with its interval and unit, with at least three significant digits."""
        decimals = significant_decimals(self.value, 3)
        value, low, high = (f"{number:,.{decimals}f}" for number in (self.value, self.low, self.high))
        interval = f" [{low}–{high}]" if self.low != self.high else ""
        return f"{value}{interval} {unit}".rstrip()


def significant_decimals(value: float, digits: int = 4) -> int:
    """Number of decimals that print ``value`` with at least ``digits`` significant digits."""
    return max(0, digits - 1 - int(f"{value:e}".partition("e")[2]))


def ratio(of: Number, to: Number) -> Number:
    """Ratio of / to of two numbers of at least 0; unbounded above where ``to`` may be 0."""
    return Number(_quotient(of.value, to.value), _quotient(of.low, to.high), _quotient(of.high, to.low))


def change(of: Number, to: Number) -> Number:
    """Relative change (of - to) / to, in percent."""
    share = ratio(of, to)
    return Number(100 * (share.value - 1), 100 * (share.low - 1), 100 * (share.high - 1))


def difference(of: Number, to: Number) -> Number:
    """Difference of - to."""
    return Number(of.value - to.value, of.low - to.high, of.high - to.low)


def within(number: Number, low: float | None, high: float | None) -> Verdict:
    """Verdict on whether the whole interval is between two bounds; None is no bound."""
    bottom, top = -math.inf if low is None else low, math.inf if high is None else high
    if bottom <= number.low and number.high <= top:
        return Verdict.HOLDS
    return Verdict.FAILS if number.high < bottom or number.low > top else Verdict.UNCLEAR


def above(more: Number, less: Number) -> Verdict:
    """Verdict on whether ``more`` is larger than ``less``: the intervals must not overlap."""
    if more.low > less.high:
        return Verdict.HOLDS
    return Verdict.FAILS if more.high < less.low else Verdict.UNCLEAR


def together(verdicts: list[Verdict]) -> Verdict:
    """Verdict on a claim that is checked case by case: all measured cases must hold."""
    for verdict in (Verdict.FAILS, Verdict.UNCLEAR, Verdict.HOLDS):
        if verdict in verdicts:
            return verdict
    return Verdict.NOT_MEASURED


def _quotient(above: float, below: float) -> float:
    return above / below if below > 0 else math.inf
