"""The rows of a cell's runs as one row: each column says how its values combine."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import fmean
from typing import Any, NamedTuple

from dissect.present.tables.columns import Combination, Quantity, Scalar, count_starts, listed_once, start_of
from dissect.results.result import Result
from dissect.statistics.judge import Judgement, judge
from dissect.statistics.numbers import Number
from dissect.statistics.run_values import RunValue
from dissect.statistics.shares import ends_over_runs
from dissect.statistics.summarise import summarise

RUN_VALUES = "run_values"
"""Field of a row: quantity -> its ``ValueOfRun``s. No column of the CSV, but what verdicts rest on."""


class ValueOfRun(NamedTuple):
    """One number of one run, which may be zero or negative."""

    value: float
    start: str | None
    round: str | None
    """Pass and round, in which other cells ran under the same conditions."""


class RunValues(Mapping[str, Sequence[ValueOfRun]]):
    """Quantity -> its values in the runs: of thousands of rows bare numbers, and once per row where they come from."""

    __slots__ = ("_numbers", "_origins", "_places")

    def __init__(self, origins: Sequence[tuple[str | None, str | None]], numbers: Mapping[str, Sequence[Any]]) -> None:
        """Start and round of each run, and a quantity's number in each run, None where it has none."""
        self._origins, self._places = origins, _places(tuple(numbers))
        self._numbers = tuple(zip(*numbers.values(), strict=True))

    def __getitem__(self, quantity: str) -> Sequence[ValueOfRun]:
        place, pairs = self._places[quantity], zip(self._numbers, self._origins, strict=True)
        return [ValueOfRun(of_run[place], *origin) for of_run, origin in pairs if of_run[place] is not None]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@cache
def _places(names: tuple[str, ...]) -> Mapping[str, int]:
    """Name -> its place among them: one object for the rows of thousands of cells."""
    return {name: place for place, name in enumerate(names)}


@dataclass(frozen=True)
class PointOfRun:
    """One point of a view in one run."""

    run: Result
    named: Mapping[str, Scalar]
    """Values of the view's axes, and the outcome and flags of a point that has its own."""
    measured: Any | None
    """Input of the quantities; None for a point without numbers."""


def names_of(points: Sequence[PointOfRun]) -> dict[str, Scalar]:
    """Axes, outcome and flags of a point: those of the first run without a number, with the flags of all runs."""
    shown = next((point for point in points if point.measured is None), points[0])
    flags = {"flags": _flags(points)} if "flags" in shown.named else {}
    return {**shown.named, **flags}


def counts_of(points: Sequence[PointOfRun]) -> dict[str, Scalar]:
    """How many runs and starts a point has, which are fewer than the cell's where only some runs have it."""
    runs = [point.run for point in points]
    return {"runs": len(runs), "starts": count_starts(runs)}


def numbers_of(quantities: Sequence[Quantity], points: Sequence[PointOfRun]) -> dict[str, Any]:
    """Numbers of a point over its runs, and ``RUN_VALUES``; none if a run has no number for the point."""
    numbers: dict[str, Any] = {column: None for quantity in quantities for column in quantity.columns}
    values: dict[str, Sequence[Any]] = {}
    complete = points if all(point.measured is not None for point in points) else ()
    # Of thousands of cells, so that starts and rounds are read once.
    origins = tuple((start_of(point.run), _round_of(point.run)) for point in complete)
    for quantity in quantities:
        each: tuple[Any, ...] = tuple([quantity.value(point.measured) for point in complete])
        found = [value for value in each if value is not None]
        if not found or (quantity.instead and len(found) < len(each)):
            continue
        if quantity.combination is Combination.SHARE:
            numbers.update(zip(quantity.columns, _share(quantity, complete), strict=True))
        elif len(found) == 1:
            numbers[quantity.name] = found[0]
        else:
            runs = [ValueOfRun(n, *origin) for n, origin in zip(each, origins, strict=True) if n is not None]
            # Without an interval only the number has a column.
            numbers.update(zip(quantity.columns, _combined(quantity, runs), strict=False))
        if quantity.combination is not Combination.COMMON or numbers[quantity.name] is None:
            values[quantity.name] = each
    numbers[RUN_VALUES] = RunValues(origins, values)
    return numbers


def values_of(row: Mapping[str, Any], quantity: str) -> Sequence[RunValue]:
    """The values of a quantity in the runs of a row, for verdicts; empty where they are missing or not all positive."""
    return positive(row[RUN_VALUES].get(quantity, ()))


def positive(values: Sequence[ValueOfRun]) -> Sequence[RunValue]:
    """Values that can be compared by ratios; empty unless all are positive."""
    if any(each.value <= 0 for each in values):
        return ()
    return [RunValue(each.value, each.start, each.round) for each in values]


def times(values: Sequence[RunValue], factor: float) -> Sequence[RunValue]:
    """The values in another unit."""
    return [replace(each, value=each.value * factor) for each in values]


def mean_of_runs(runs: Sequence[RunValue]) -> Number:
    """Geometric mean with its 95 % interval, which is what verdicts compare; of one run its own value."""
    if len(runs) == 1:
        return Number(runs[0].value)
    found = summarise(runs)
    return Number(found.value, found.low, found.high)


def ratio_of(left: Sequence[RunValue], right: Sequence[RunValue]) -> Judgement | None:
    """The ratio right / left of the values of two cells, with its interval; None where a side has none."""
    return judge(left, right) if left and right else None


def only_some_runs(row: Mapping[str, Any], quantity: str) -> str:
    """How many of its cell's runs a number comes from, where only some of them have it; else empty."""
    runs = row["runs"]
    having = runs if runs == 1 else len(row[RUN_VALUES].get(quantity, ()))
    return f"{having} of {runs} runs have this number" if 0 < having < runs else ""


def why_absent(row: Mapping[str, Any], quantity: Quantity) -> str:
    """Why a cell that ended ``ok`` has no value for a quantity."""
    differing = dict.fromkeys(each.value for each in row[RUN_VALUES].get(quantity.name, ()))
    shown = ", ".join(quantity.show(value) for value in differing)
    return f"the runs differ: {shown}" if shown else quantity.absent


def _combined(quantity: Quantity, values: Sequence[ValueOfRun]) -> tuple[float | None, float | None, float | None]:
    """A number over several runs with the ends of its interval.

    A geometric mean needs positive numbers: where a run has none, the arithmetic mean stands without an interval.
    """
    numbers = [each.value for each in values]
    ends: tuple[float | None, float | None] = (None, None)
    value: float | None
    match quantity.combination:
        case Combination.COMMON:
            value = numbers[0] if len(set(numbers)) == 1 else None
        case Combination.LARGEST:
            value = max(numbers)
        case Combination.TYPICAL if min(numbers) > 0:
            found = mean_of_runs(positive(values))
            value, ends = found.value, (found.low, found.high)
        case _:
            value = fmean(numbers)
    return value, *ends


def _share(quantity: Quantity, points: Sequence[PointOfRun]) -> tuple[float | None, float | None, float | None]:
    """A share of all trials of all runs with the ends of its interval."""
    trials = [quantity.trials(point.measured) if quantity.trials else 0 for point in points]
    kept = [float(quantity.value(point.measured) or 0) * n for point, n in zip(points, trials, strict=True)]
    low, high = ends_over_runs(list(zip(kept, trials, strict=True))) or (None, None)
    return sum(kept) / sum(trials), low, high


def _round_of(run: Result) -> str | None:
    return f"{run.round.id}/{run.round.number}" if run.round else None


def _flags(points: Sequence[PointOfRun]) -> str:
    return str(
        listed_once(flag for point in points for flag in str(point.named["flags"] or "").split(";") if flag) or ""
    )
