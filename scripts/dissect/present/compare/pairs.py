"""Pairs of cells that are equal apart from what is compared, and the verdict on each of their numbers."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from dissect.cells.cell_id import CellId
from dissect.present.compare.readings import CellNumber, is_comparable, readings_of
from dissect.present.compare.sides import Side
from dissect.present.tables.start_classes import between, pool_classes
from dissect.results.cell_runs import CellRuns
from dissect.statistics.between_starts import BetweenStarts
from dissect.statistics.judge import Judgement, RatioVerdict, RunPair, judge_all
from dissect.statistics.summarise import Summary, summarise


class PairVerdict(StrEnum):
    """Verdict on the right side relative to the left one."""

    FASTER = "faster"
    SLOWER = "slower"
    NONE = "no difference"
    UNCLEAR = "cannot tell"


@dataclass(frozen=True)
class Pair:
    """One cell on both sides, with all its runs."""

    left_id: str
    right_id: str
    left: CellRuns
    right: CellRuns

    @property
    def is_same(self) -> bool:
        """Whether both sides have the same runs."""
        return self.left.runs == self.right.runs

    @property
    def outcomes(self) -> tuple[str, str]:
        """Outcomes of the left and the right cell."""
        return outcome_of(self.left), outcome_of(self.right)


@dataclass(frozen=True)
class ComparedNumber:
    """One number of one pair."""

    pair: Pair
    left: CellNumber
    right: CellNumber
    judgement: Judgement | None
    """Ratio right / left with what it rests on; None where both sides are the same runs."""
    summaries: tuple[Summary, Summary]
    """Left and right, with the intervals for further runs."""

    @property
    def verdict(self) -> PairVerdict:
        """In words of the number: what is faster of a time is lower."""
        if self.judgement is None:
            return PairVerdict.NONE
        higher = self.left.better == "higher"
        match self.judgement.verdict:
            case RatioVerdict.ABOVE:
                return PairVerdict.FASTER if higher else PairVerdict.SLOWER
            case RatioVerdict.BELOW:
                return PairVerdict.SLOWER if higher else PairVerdict.FASTER
            case RatioVerdict.SAME:
                return PairVerdict.NONE
        return PairVerdict.UNCLEAR


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


def compare(left: Side, right: Side, margin: float) -> Compared:
    """Match cells by id, without the platform where each side has one and not the same, and judge every number."""
    pairs = list(_pairs(left, right))
    both = [(pair, *readings) for pair in pairs for readings in _readings(pair)]
    asked = [(one, other) for pair, one, other in both if not pair.is_same]
    pools = {
        name: pool_classes((n.start_class, n.runs) for n in several) for name, several in _by_quantity(asked).items()
    }

    def starts_of(*numbers: CellNumber) -> BetweenStarts | None:
        return between(pools.get(numbers[0].quantity, {}), *(number.start_class for number in numbers))

    judged = iter(judge_all([RunPair(one.runs, other.runs, starts_of(one, other)) for one, other in asked], margin))
    lines = [
        ComparedNumber(
            pair, one, other, None if pair.is_same else next(judged),
            (summarise(one.runs, starts_of(one)), summarise(other.runs, starts_of(other))),
        )
        for pair, one, other in both
    ]  # fmt: skip
    only_left = _alone(left, {pair.left_id for pair in pairs}, right)
    return Compared(left, right, margin, pairs, lines, only_left, _alone(right, {p.right_id for p in pairs}, left))


def nearest_platforms(left: Side, right: Side, known: Container[str]) -> tuple[str, str] | None:
    """A known platform of each side, with most cells that are equal but for the platform; None if no two have any."""
    theirs: dict[str, list[str]] = {}
    for cell_id in right.cells:
        theirs.setdefault(_without_platform(cell_id), []).append(CellId.parse(cell_id).platform)
    common = Counter(
        (ours, other)
        for cell_id in left.cells
        if (ours := CellId.parse(cell_id).platform) in known
        for other in theirs.get(_without_platform(cell_id), ())
        if other in known
    )
    return common.most_common(1)[0][0] if common else None


def _by_quantity(asked: Iterable[tuple[CellNumber, CellNumber]]) -> dict[str, list[CellNumber]]:
    numbers: dict[str, list[CellNumber]] = {}
    for pair in asked:
        for number in pair:
            numbers.setdefault(number.quantity, []).append(number)
    return numbers


def outcome_of(cell: CellRuns) -> str:
    """Outcome of a cell, such as ``ok`` or ``oom (backward)``."""
    return f"{cell.status}" + (f" ({cell.phase})" if cell.phase else "")


def _pairs(left: Side, right: Side) -> Iterator[Pair]:
    platforms = left.platforms, right.platforms
    across = all(len(names) == 1 for names in platforms) and platforms[0] != platforms[1]
    theirs = {_without_platform(cell_id) if across else cell_id: cell_id for cell_id in right.cells}
    for cell_id, runs in left.cells.items():
        if other := theirs.get(_without_platform(cell_id) if across else cell_id):
            yield Pair(cell_id, other, runs, right.cells[other])


def _alone(side: Side, matched: set[str], other: Side) -> list[str]:
    """Ids of cells that the other side has under no name; two names may have one key."""
    keys = {cell.key for cell in other.cells.values()}
    return [cell_id for cell_id, cell in side.cells.items() if cell_id not in matched and cell.key not in keys]


def _without_platform(cell_id: str) -> str:
    return str(CellId.parse(cell_id)._replace(platform="*"))


def _readings(pair: Pair) -> Iterator[tuple[CellNumber, CellNumber]]:
    """The numbers that both sides have."""
    left, right = readings_of(pair.left_id, pair.left), readings_of(pair.right_id, pair.right)
    for name, reading in left.items():
        if name in right and is_comparable(reading.quantity, pair.left, pair.right):
            yield reading, right[name]
