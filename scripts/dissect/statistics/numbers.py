"""Numbers with their intervals, and what two of them say together.

Intervals are combined end against end, the widest that the two allow: a ratio is above 1 exactly when the intervals do
not overlap, and nothing holds by the luck of two medians.
"""

import math
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What became of a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNCLEAR = "cannot tell"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Number:
    """A value with the ends of its 95 % interval; without one, both ends are the value."""

    value: float
    low: float
    high: float

    def show(self, unit: str) -> str:
        """With three significant digits or more, and the interval if there is one."""
        decimals = significant_decimals(self.value, 3)
        value, low, high = (f"{number:,.{decimals}f}" for number in (self.value, self.low, self.high))
        interval = f" [{low}–{high}]" if self.low != self.high else ""
        return f"{value}{interval} {unit}".rstrip()


def significant_decimals(value: float, digits: int = 4) -> int:
    """Decimals that print ``value`` with so many significant digits, never fewer than its integer part has."""
    return max(0, digits - 1 - int(f"{value:e}".partition("e")[2]))


def ratio(of: Number, to: Number) -> Number:
    """``of`` over ``to``, both at least 0; without bound above where ``to`` may be 0."""
    return Number(_quotient(of.value, to.value), _quotient(of.low, to.high), _quotient(of.high, to.low))


def change(of: Number, to: Number) -> Number:
    """How far ``of`` is above ``to``, in percent of ``to``."""
    share = ratio(of, to)
    return Number(100 * (share.value - 1), 100 * (share.low - 1), 100 * (share.high - 1))


def difference(of: Number, to: Number) -> Number:
    """``of`` minus ``to``."""
    return Number(of.value - to.value, of.low - to.high, of.high - to.low)


def within(number: Number, low: float | None, high: float | None) -> Verdict:
    """Whether the whole interval lies between two ends; None is no end."""
    bottom, top = -math.inf if low is None else low, math.inf if high is None else high
    if bottom <= number.low and number.high <= top:
        return Verdict.HOLDS
    return Verdict.FAILS if number.high < bottom or number.low > top else Verdict.UNCLEAR


def above(more: Number, less: Number) -> Verdict:
    """Whether one number is larger: the intervals must not overlap."""
    if more.low > less.high:
        return Verdict.HOLDS
    return Verdict.FAILS if more.high < less.low else Verdict.UNCLEAR


def together(verdicts: list[Verdict]) -> Verdict:
    """Of a claim that is checked case by case: all that are measured must hold."""
    for verdict in (Verdict.FAILS, Verdict.UNCLEAR, Verdict.HOLDS):
        if verdict in verdicts:
            return verdict
    return Verdict.NOT_MEASURED


def _quotient(above: float, below: float) -> float:
    return above / below if below > 0 else math.inf
