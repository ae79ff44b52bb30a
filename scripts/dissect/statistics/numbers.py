"""Numbers with intervals, and comparisons of two of them.

Numbers whose runs are known compare by ``dissect.statistics.bounds``. Others, such as the difference of two
efficiencies, combine their intervals bound against bound, to the widest possible one.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Verdict on a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNCLEAR = "cannot tell"
    NOT_MEASURED = "not measured"


FAR = 1000
"""Times the number itself."""


@dataclass(frozen=True)
class Number:
    """A value with the bounds of its interval; None where it has no interval."""

    value: float
    low: float | None = None
    high: float | None = None

    def show(self, unit: str, bound: float | None = None) -> str:
        """The number as text with interval and unit: three significant digits, more where the interval is narrow.

        There are as many as it takes to tell an end from a ``bound`` close to it.
        """
        ends = [end for end in (self.low, self.high) if end is not None]
        decimals = significant_decimals(self.value, 3)
        if self.low is not None and self.high is not None and self.low < self.high < math.inf:
            decimals = max(decimals, significant_decimals(self.high - self.low, 1))
        while bound is not None and decimals < 6 and any(round(end, decimals) == bound != end for end in ends):
            decimals += 1
        interval = f" [{'–'.join(self._end_text(end, decimals) for end in ends)}]" if ends else ""
        return f"{self.value:,.{decimals}f}{interval} {unit}".rstrip()

    def _end_text(self, end: float, decimals: int) -> str:
        """An end that is so far away that it says nothing reads as infinite."""
        if self.value and abs(end) > FAR * abs(self.value):
            return "∞" if end > 0 else "-∞"
        return f"{end:,.{decimals}f}"


def detectable_words(ratio: float | None) -> str:
    """The ratio that would have been told with 80 % power, as text; empty without an interval."""
    if not ratio:
        return ""
    return f"detectable {ratio:.2f} ×" if round(ratio, 2) < 100 else "not even 100 × detectable"


def significant_decimals(value: float, digits: int = 4) -> int:
    """Number of decimals that print ``value`` with at least ``digits`` significant digits."""
    return max(0, digits - 1 - int(f"{value:e}".partition("e")[2])) if math.isfinite(value) else 0


def ratio(of: Number, to: Number) -> Number:
    """Ratio of / to of two numbers of at least 0; unbounded above where ``to`` may be 0."""
    return Number(_quotient(of.value, to.value), _end(_quotient, of.low, to.high), _end(_quotient, of.high, to.low))


def change(of: Number, to: Number) -> Number:
    """Relative change (of - to) / to, in percent."""
    return percent(ratio(of, to))


def percent(share: Number) -> Number:
    """A ratio as a relative change, in percent."""
    ends = (None if end is None else 100 * (end - 1) for end in (share.low, share.high))
    return Number(100 * (share.value - 1), *ends)


def difference(of: Number, to: Number) -> Number:
    """Difference of - to."""
    return Number(of.value - to.value, _end(operator.sub, of.low, to.high), _end(operator.sub, of.high, to.low))


def within(number: Number, low: float | None, high: float | None) -> Verdict:
    """Verdict on whether the whole interval is between two bounds, None is no bound; unclear without an interval."""
    if number.low is None or number.high is None:
        return Verdict.UNCLEAR
    bottom, top = -math.inf if low is None else low, math.inf if high is None else high
    if bottom <= number.low and number.high <= top:
        return Verdict.HOLDS
    return Verdict.FAILS if number.high < bottom or number.low > top else Verdict.UNCLEAR


def together(verdicts: list[Verdict]) -> Verdict:
    """Verdict on a claim that is checked case by case: all measured cases must hold."""
    for verdict in (Verdict.FAILS, Verdict.UNCLEAR, Verdict.HOLDS):
        if verdict in verdicts:
            return verdict
    return Verdict.NOT_MEASURED


def _end(combine: Callable[[float, float], float], one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else combine(one, other)


def _quotient(above: float, below: float) -> float:
    return above / below if below > 0 else math.inf
