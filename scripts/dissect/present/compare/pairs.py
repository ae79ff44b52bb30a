"""Pairs of cells that are equal apart from what is compared, and the verdict on each of their numbers."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

import scipy

from dissect.base.outcome import Status
from dissect.cells.cell_id import CellId
from dissect.present.compare.readings import MeasuredRun, RunNumber
from dissect.present.compare.sides import Side
from dissect.statistics.comparison import Sample, hull, p_difference, p_equivalence
from dissect.statistics.numbers import Number, ratio

LEVEL = 0.05
"""Expected share of false verdicts among all differences found, and among all verdicts of no difference."""


class PairVerdict(StrEnum):
    """Verdict on the right side relative to the left one."""

    FASTER = "faster"
    SLOWER = "slower"
    NONE = "no difference"
    UNCLEAR = "cannot tell"
    UNTESTED = "not tested"


@dataclass(frozen=True)
class Pair:
    """One cell on both sides, with all its runs."""

    left_id: str
    right_id: str
    left: Sequence[MeasuredRun]
    right: Sequence[MeasuredRun]

    @property
    def is_same(self) -> bool:
        """Whether both sides have the same runs."""
        return [run.result for run in self.left] == [run.result for run in self.right]

    @property
    def outcomes(self) -> tuple[str, str]:
        """Outcomes of the left and the right runs."""
        return outcome_of(self.left), outcome_of(self.right)


@dataclass(frozen=True)
class ComparedNumber:
    """One number of one pair."""

    pair: Pair
    point: str
    quantity: str
    left: Number
    right: Number
    ratio: Number
    """Right number over left number."""
    verdict: PairVerdict
    chances: tuple[float, float] | None
    """Adjusted bounds on the chance of such samples without a difference, and with one; None if untested."""
    spreads: tuple[float | None, float | None]
    """Spread of repeated measurements on each side: how far the largest lies above the smallest, as a share."""


@dataclass(frozen=True)
class Compared:
    """The whole comparison."""

    left: Side
    right: Side
    margin: float
    pairs: Sequence[Pair]
    lines: Sequence[ComparedNumber]
    only_left: Sequence[str]
    only_right: Sequence[str]

    @property
    def changed(self) -> list[Pair]:
        """Pairs whose outcomes differ."""
        return [pair for pair in self.pairs if pair.outcomes[0] != pair.outcomes[1]]


@dataclass(frozen=True)
class _Both:
    """The readings of one number on both sides."""

    pair: Pair
    left: Sequence[RunNumber]
    right: Sequence[RunNumber]

    @property
    def samples(self) -> tuple[list[Sample], list[Sample]] | None:
        left = [reading.sample for reading in self.left if reading.sample]
        right = [reading.sample for reading in self.right if reading.sample]
        complete = len(left) == len(self.left) and len(right) == len(self.right)
        return (left, right) if complete else None


def compare(left: Side, right: Side, margin: float) -> Compared:
    """Match cells by id, without the platform where each side has one and not the same, and judge every number."""
    pairs = list(_pairs(left, right))
    both = [one for pair in pairs for one in _readings(pair)]
    tested = [one for one in both if one.samples and not one.pair.is_same]
    samples = [one.samples for one in tested if one.samples]
    # By Benjamini and Hochberg: at most 5 % of the findings up to 0.05 are false.
    differ, equal = (
        scipy.stats.false_discovery_control([test(mine, base, margin) for base, mine in samples]).tolist()
        for test in (p_difference, p_equivalence)
    )
    chances = {id(one): pair for one, *pair in zip(tested, differ, equal, strict=True)}
    lines = [_line(one, chances.get(id(one))) for one in both]
    only_left = _alone(left, {pair.left_id for pair in pairs}, right)
    return Compared(left, right, margin, pairs, lines, only_left, _alone(right, {p.right_id for p in pairs}, left))


def outcome_of(runs: Iterable[MeasuredRun]) -> str:
    """Outcome of a cell's runs, such as ``ok`` or ``oom (backward)``; all outcomes where runs ended differently."""
    ends = [f"{run.result.status}" + (f" ({run.result.phase})" if run.result.phase else "") for run in runs]
    return ", ".join(dict.fromkeys(ends))


def _pairs(left: Side, right: Side) -> Iterator[Pair]:
    platforms = left.platforms, right.platforms
    across = all(len(names) == 1 for names in platforms) and platforms[0] != platforms[1]
    theirs = {_without_platform(cell_id) if across else cell_id: cell_id for cell_id in right.cells}
    for cell_id, runs in left.cells.items():
        if other := theirs.get(_without_platform(cell_id) if across else cell_id):
            yield Pair(cell_id, other, runs, right.cells[other])


def _alone(side: Side, matched: set[str], other: Side) -> list[str]:
    """Ids of cells that the other side has under no name; two names may have one key."""
    keys = {run.result.key for runs in other.cells.values() for run in runs}
    unmatched = {cell_id: runs for cell_id, runs in side.cells.items() if cell_id not in matched}
    return [cell_id for cell_id, runs in unmatched.items() if not all(run.result.key in keys for run in runs)]


def _without_platform(cell_id: str) -> str:
    return str(CellId.parse(cell_id)._replace(platform="*"))


def _readings(pair: Pair) -> Iterator[_Both]:
    """The readings of every number that all runs of both sides have, if these ended ``ok``."""
    left, right = ([run for run in runs if run.result.status is Status.OK] for runs in (pair.left, pair.right))
    if left and right:
        for name in left[0].readings:
            if all(name in run.readings for run in (*left, *right)):
                yield _Both(pair, [run.readings[name] for run in left], [run.readings[name] for run in right])


def _line(both: _Both, chances: Sequence[float] | None) -> ComparedNumber:
    left, right = (_number(readings) for readings in (both.left, both.right))
    first = both.left[0]
    found = ratio(right, left)
    verdict = _verdict(both, found.value, chances)
    spreads = _spread(both.left), _spread(both.right)
    adjusted_chances = (chances[0], chances[1]) if chances else None
    return ComparedNumber(
        both.pair, first.point, first.quantity, left, right, found, verdict, adjusted_chances, spreads
    )


def _verdict(both: _Both, ratio: float, chances: Sequence[float] | None) -> PairVerdict:
    if both.pair.is_same:
        return PairVerdict.NONE
    if chances is None:
        return PairVerdict.UNTESTED
    if chances[0] <= LEVEL:
        higher = both.left[0].better == "higher"
        return PairVerdict.FASTER if (ratio > 1) == higher else PairVerdict.SLOWER
    return PairVerdict.NONE if chances[1] <= LEVEL else PairVerdict.UNCLEAR


def _number(readings: Sequence[RunNumber]) -> Number:
    """Mean over the runs, with the interval that encloses the intervals of all."""
    value = fmean(reading.value for reading in readings)
    samples = [reading.sample for reading in readings if reading.sample]
    if len(samples) == len(readings):
        return hull(value, samples)
    values = [reading.value for reading in readings]
    return Number(value, min(values), max(values))


def _spread(readings: Sequence[RunNumber]) -> float | None:
    values = [reading.value for reading in readings]
    return max(values) / min(values) - 1 if len(values) > 1 else None
