"""What a verdict rests on: how a case becomes a question about runs, and how its answer is told."""

from collections.abc import Sequence
from dataclasses import dataclass

from dissect.config.claims import OrderCheck, PairCheck, ValueCheck
from dissect.present.claims.select import SideNumber
from dissect.statistics.bounds import Bounded, BoundVerdict
from dissect.statistics.contrast import contrast
from dissect.statistics.numbers import Number, Verdict, change, difference, percent, ratio, within
from dissect.statistics.summarise import summarise

NumberCheck = ValueCheck | PairCheck | OrderCheck
ONE_RUN = "one run: no interval"
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


def question_of(check: NumberCheck, sides: Sequence[SideNumber]) -> Bounded | None:
    """The check as a question about runs; None where it compares numbers by their intervals alone."""
    first, *others = sides
    if not all(side.of and (side.to is None or side.to) for side in sides):
        return None
    low, high = _ends(check)
    if not others:
        scale = 1 / first.factor
        return Bounded(first.of, first.to, _times(low, scale), _times(high, scale))
    [second] = others
    if first.to is not None or second.to is not None or check.kind == "difference":
        return None
    if check.kind == "change":
        low, high = (None if end is None else max(0.0, 1 + end / 100) for end in (low, high))
    return Bounded(first.of, second.of, low, high)


def evidence_of(
    check: NumberCheck, sides: Sequence[SideNumber], asked: Bounded | None, answer: BoundVerdict | None
) -> Evidence:
    """The verdict of a check: the answer to its question, or by its intervals where it asks none."""
    runs = [each for side in sides for each in (side.of, side.to) if each is not None]
    counts, starts = tuple(map(len, runs)), tuple(len({run.start for run in each} - {None}) for each in runs)
    if asked is None or answer is None:
        result = _combined(check, [side.number for side in sides])
        return Evidence(within(result, *_ends(check)), result, counts, starts, NO_INTERVAL, None)
    level = 1 - (answer.confidence or 0.95)
    result = _in_units(check, sides[0], Number(answer.value, answer.low, answer.high))
    if asked.to is None:
        summary = summarise(asked.of)
        estimate, basis = summary.estimate, summary.scope.value if summary.estimate else ONE_RUN
    else:
        found = contrast(asked.to, asked.of, asked.between)
        estimate, basis = found.estimate, found.reason or found.basis.value
    return Evidence(answer.verdict, result, counts, starts, basis, estimate.detectable(level) if estimate else None)


def _ends(check: NumberCheck) -> tuple[float | None, float | None]:
    return (1.0, None) if isinstance(check, OrderCheck) else check.ends


def _times(end: float | None, factor: float) -> float | None:
    return None if end is None else end * factor


def _in_units(check: NumberCheck, side: SideNumber, answer: Number) -> Number:
    if check.kind == "change":
        return percent(answer)
    factor = side.factor if isinstance(check, ValueCheck) else 1.0
    return Number(answer.value * factor, _times(answer.low, factor), _times(answer.high, factor))


def _combined(check: NumberCheck, numbers: Sequence[Number]) -> Number:
    match check.kind:
        case "value":
            return numbers[0]
        case "change":
            return change(*numbers)
        case "difference":
            return difference(*numbers)
    return ratio(*numbers)
