"""Settings of equal work against one another: one family of verdicts per work, whatever a question leaves out of it.

So a question that is asked twice with other limits gets equal verdicts, and so does the page, which filters these.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from dissect.config.question import HIGHER_IS_BETTER, Objective
from dissect.present.recommend.candidates import DEVICE_VALUES
from dissect.present.recommend.standing import Standing
from dissect.present.tables.on_device import LABEL
from dissect.present.tables.over_runs import RUN_VALUES, mean_of_runs
from dissect.present.tables.start_classes import START_CLASS, Pools, between, pool_classes
from dissect.statistics.contrast import Contrast
from dissect.statistics.judge import Judgement, RatioVerdict, RunPair, judge_all
from dissect.statistics.numbers import Number, detectable_words

Row = Mapping[str, Any]
ONE_RUN = "no interval"


@dataclass(frozen=True)
class Told:
    """What is told of a setting against the best."""

    standing: Standing
    words: str = ""
    """Ratio with interval, runs, starts, and the ratio that would have been detected."""
    is_on_device: bool = False
    """Whether device times decide it, since wall times do not."""


UNTOLD = Told(Standing.UNTOLD, ONE_RUN)
"""What is told where a side has no interval."""


class Verdicts:
    """Verdicts on all pairs of settings of equal work by one column."""

    def __init__(self, rows: Iterable[Row], column: str, objective: Objective) -> None:
        self._objective = objective
        works: dict[tuple[str, str, str], list[Row]] = {}
        for row in rows:
            if has_interval(row, column):
                works.setdefault((row["stage"], row["model"], row["work"]), []).append(row)
        pools = _pools([row for same in works.values() for row in same], column)
        self._judged: dict[tuple[int, int], Judgement] = {}
        for same in works.values():
            pairs = list(combinations(same, 2))
            found = _judged(pairs, column, pools)
            self._judged |= {
                (one["number"], other["number"]): each for (one, other), each in zip(pairs, found, strict=True)
            }

    def against(self, best: Row, other: Row) -> Told:
        """What is told of a setting against the best one of those that a question keeps."""
        judged = self._judged.get((best["number"], other["number"]))
        turned = judged is None
        judged = judged or self._judged.get((other["number"], best["number"]))
        if judged is None:
            return UNTOLD
        verdict = judged.verdict
        worse = (verdict is RatioVerdict.BELOW) is ((self._objective in HIGHER_IS_BETTER) is not turned)
        words, is_on_device = _words(judged, turned, self._objective), judged.before is not None
        if verdict is RatioVerdict.SAME:
            return Told(Standing.TIED, words, is_on_device)
        if verdict is not RatioVerdict.UNCLEAR and worse:
            return Told(Standing.BEHIND, words, is_on_device)
        return Told(Standing.UNTOLD, words)

    def pairs(self) -> Iterator[tuple[int, int, Told]]:
        """The numbers of two settings, and what is told of the second if the first is the best one."""
        for one, other in self._judged:
            for best, rest in ((one, other), (other, one)):
                yield best, rest, self.against({"number": best}, {"number": rest})


def has_interval(row: Row, column: str) -> bool:
    """Whether the mean of a number's runs has an interval, without which nothing is told of it."""
    runs = row[RUN_VALUES].get(column)
    return bool(runs) and mean_of_runs(runs).low is not None


def judge_rows(pairs: Sequence[tuple[Row, Row]], column: str) -> list[Judgement]:
    """Verdicts on right ÷ left of pairs of settings that need not do equal work; they are one family.

    Each side must have the column in its runs.
    """
    return _judged(pairs, column, _pools([row for pair in pairs for row in pair], column))


def _pools(rows: Iterable[Row], column: str) -> tuple[Pools, Pools]:
    """How starts differ on wall time, and on device time."""
    distinct = {row["number"]: row for row in rows}.values()
    wall, device = (
        pool_classes((row[START_CLASS], row[field].get(column, ())) for row in distinct)
        for field in (RUN_VALUES, DEVICE_VALUES)
    )
    return wall, device


def _judged(pairs: Sequence[tuple[Row, Row]], column: str, pools: tuple[Pools, Pools]) -> list[Judgement]:
    wall_pools, device_pools = pools
    return judge_all(
        [_pair(*pair, RUN_VALUES, column, wall_pools) for pair in pairs],
        second=[
            _pair(*pair, DEVICE_VALUES, column, device_pools)
            if all(row[DEVICE_VALUES].get(column) for row in pair)
            else None
            for pair in pairs
        ],
    )


def _pair(one: Row, other: Row, field: str, column: str, pools: Pools) -> RunPair:
    return RunPair(one[field][column], other[field][column], between(pools, one[START_CLASS], other[START_CLASS]))


def _words(judged: Judgement, turned: bool, objective: Objective) -> str:
    """The ratio setting / best and what it rests on; ``turned`` if it was judged the other way round."""
    if judged.before:
        on_device = _words(replace(judged, before=None), turned, objective)
        return f"{_words(judged.before, turned, objective)}; {LABEL}: {on_device}"
    ratio, low, high = judged.ratio, judged.low, judged.high
    if turned:
        ratio, low, high = 1 / ratio, high and 1 / high, low and 1 / low
    setting_first = judged.contrast if turned else judged.contrast.inverse
    return f"{Number(ratio, low, high).show('×', bound=1)} the best's {objective} ({basis_of(judged, setting_first)})"


def basis_of(judged: Judgement, found: Contrast) -> str:
    """Runs and starts, left side first, what the ratio rests on, and what would have been detected."""
    parts = [f"runs {found.n_left} and {found.n_right}", f"starts {found.left_starts} and {found.right_starts}"]
    return ", ".join(filter(None, [*parts, found.words, detectable_words(judged.detectable)]))
