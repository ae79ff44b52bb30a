"""What a verdict rests on: how a case becomes a question about runs, and how its answer is told."""

from collections.abc import Sequence
from dataclasses import dataclass

from dissect.config.claims import OrderCheck, PairCheck, ValueCheck
from dissect.present.claims.select import SideNumber
from dissect.statistics.between_starts import BetweenStarts
from dissect.statistics.bounds import Bounded, BoundVerdict
from dissect.statistics.contrast import Basis, Contrast
from dissect.statistics.numbers import Number, Verdict, change, difference, percent, ratio, within

NumberCheck = ValueCheck | PairCheck | OrderCheck
NO_INTERVAL = "no interval"


@dataclass(frozen=True)
class Evidence:
    """The verdict on a number with what it rests on."""

    verdict: Verdict
    result: Number
    """What is compared with the paper's value, or the ratio of an ordering; with the interval that decides."""
    runs: tuple[int, ...]
    """Runs of each side, and of what it is divided by."""
    starts: tuple[int, ...]
    """Known starts of the same."""
    basis: str
    """Why it is not clear, or what a comparison rests on, such as ``shared rounds``."""
    detectable: float | None
    """Factor by which the number would have to differ to be told with 80 % power; None without an interval."""


def question_of(check: NumberCheck, sides: Sequence[SideNumber], starts: BetweenStarts | None = None) -> Bounded | None:
    """The check as a question about runs; None where it compares numbers by their intervals alone.

    ``starts`` tells how starts of the sides' cells differ, if that is known.
    """
    first, *others = sides
    if not all(side.of and (side.to is None or side.to) for side in sides):
        return None
    low, high = _ends(check)
    if not others:
        scale = 1 / first.factor
        return Bounded(first.of, first.to, _times(low, scale), _times(high, scale), starts)
    [second] = others
    if first.to is not None or second.to is not None or check.kind == "difference":
        return None
    if check.kind == "change":
        low, high = (None if end is None else max(0.0, 1 + end / 100) for end in (low, high))
    return Bounded(first.of, second.of, low, high, starts)


def evidence_of(check: NumberCheck, sides: Sequence[SideNumber], answer: BoundVerdict | None) -> Evidence:
    """The verdict of a check: the answer to its question, or by its intervals where it asks none."""
    runs = [each for side in sides for each in (side.of, side.to) if each is not None]
    starts = [{run.start for run in each} - {None} for each in runs]
    counted = tuple(map(len, runs)), tuple(map(len, starts))
    if answer is not None:
        result = _in_units(check, sides[0], Number(answer.value, answer.low, answer.high))
        rests_on = answer.rests_on
        # A ratio's first side is the numerator, a contrast's the denominator.
        words = (rests_on.inverse if isinstance(rests_on, Contrast) else rests_on).words
        return Evidence(answer.verdict, result, *counted, words, answer.detectable)
    result = _combined(check, [side.number for side in sides])
    if len(sides) > 1 and not set.intersection(*starts):
        # Each interval holds for its own starts; what these differ by is in none of them.
        return Evidence(Verdict.UNCLEAR, Number(result.value), *counted, Basis.BETWEEN.value, None)
    return Evidence(within(result, *_ends(check)), result, *counted, NO_INTERVAL if result.low is None else "", None)


def _ends(check: NumberCheck) -> tuple[float | None, float | None]:
    return (1.0, None) if isinstance(check, OrderCheck) else check.ends


def _times(end: float | None, factor: float) -> float | None:
    return None if end is None else end * factor


def _in_units(check: NumberCheck, side: SideNumber, answer: Number) -> Number:
    if check.kind == "change":
        return percent(answer)
    if not isinstance(check, ValueCheck):
        return answer
    high = None if answer.high is None else min(answer.high * side.factor, side.most)
    return Number(answer.value * side.factor, _times(answer.low, side.factor), high)


def _combined(check: NumberCheck, numbers: Sequence[Number]) -> Number:
    match check.kind:
        case "value":
            return numbers[0]
        case "change":
            return change(*numbers)
        case "difference":
            return difference(*numbers)
    return ratio(*numbers)
