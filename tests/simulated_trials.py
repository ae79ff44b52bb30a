"""Whether what statistics/ says of simulated runs is true: one trial per function."""

import math
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from dissect.statistics.between_starts import pool_starts
from dissect.statistics.judge import Judgement, RatioVerdict, RunPair, judge, judge_all
from dissect.statistics.log_estimate import Interval
from dissect.statistics.shares import StartTrial, share_of
from dissect.statistics.summarise import Scope, predict, summarise
from simulated_runs import (
    BETWEEN,
    WITHIN,
    Noise,
    Rng,
    Runs,
    known,
    normal,
    on_levels,
    on_starts,
    paired,
    repeatable,
    runs_of,
)

DIFFERENT = (RatioVerdict.ABOVE, RatioVerdict.BELOW)


def has(interval: Interval | None, log: float) -> float | None:
    return None if interval is None else float(interval.low <= math.exp(log) <= interval.high)


# Intervals of values, and of runs to come.


def value(rng: Rng, n: int, noise: Noise = normal) -> float | None:
    found = summarise(runs_of(noise(rng, n))).estimate
    return has(found and found.interval(), 0)


def next_run(rng: Rng, n: int, noise: Noise = normal) -> float | None:
    *seen, coming = noise(rng, n + 1)
    return has(summarise(runs_of(seen)).next_run, coming)


def value_of_starts(rng: Rng, counts: Sequence[int]) -> float | None:
    found = summarise(on_starts(rng, counts))
    assert found.scope is Scope.STARTS
    return has(found.estimate and found.estimate.interval(), 0)


def value_of_these_starts(rng: Rng, starts: int) -> float | None:
    levels = [float(x) for x in rng.normal(0, BETWEEN, starts)]
    found = summarise(on_levels(rng, levels)).estimate
    return has(found and found.interval(), float(np.mean(levels)))


def run_on_new_start(rng: Rng, counts: Sequence[int], df: float | None = None) -> float | None:
    found = predict(on_starts(rng, counts), "new", known(rng, df) if df else None)
    return has(found, float(rng.normal(0, BETWEEN) + rng.normal(0, WITHIN)))


def new_start_of_class(rng: Rng, cells: int, starts: int) -> float | None:
    """The class has so many cells on the same starts, each of which is as slow for all of them."""
    levels = [float(x) for x in rng.normal(0, BETWEEN, starts + 1)]
    measured = [on_levels(rng, levels[:-1]) for _ in range(cells)]
    found = predict(measured[0][:5], "new", pool_starts(measured))
    return has(found, levels[-1] + normal(rng, 1)[0])


# Ratios.


def ratio(rng: Rng, draw: Callable[[Rng], RunPair], df: float | None = None) -> float | None:
    left, right, _ = draw(rng)
    found = judge(left, right, between=known(rng, df) if df else None).contrast.estimate
    return has(found and found.interval(), 0)


# Verdicts on cells that do not differ.


def differs(judgement: Judgement) -> bool:
    return judgement.verdict in DIFFERENT


def family(rng: Rng, draw: Callable[[Rng], RunPair], size: int = 1, df: float | None = None) -> float:
    """Whether any pair of a family is called different."""
    pairs = [draw(rng) for _ in range(size)]
    starts = known(rng, df) if df else None
    return float(any(map(differs, judge_all([pair._replace(between=starts) for pair in pairs]))))


def against_one(rng: Rng, size: int) -> float:
    """Whether any cell is called different from one that all are compared with."""
    sides = [runs_of(normal(rng, 5)) for _ in range(size + 1)]
    return float(any(map(differs, judge_all([RunPair(sides[0], side) for side in sides[1:]]))))


def ranked(rng: Rng, size: int) -> float:
    """Whether any of so many equal candidates is called worse than the best of them, in the family of all pairs."""
    pairs = [RunPair(*pair) for pair in combinations(best_first(rng, size), 2)]
    return float(any(map(differs, judge_all(pairs)[: size - 1])))


def best_first(rng: Rng, size: int) -> list[Runs]:
    return sorted((runs_of(normal(rng, 5)) for _ in range(size)), key=lambda runs: summarise(runs).value)


def by_device(rng: Rng, size: int) -> float:
    """Whether any pair of a family is called different, by wall time or else by device time, which repeats better."""
    pairs, second = ([paired(rng, noise) for _ in range(size)] for noise in (normal, repeatable))
    return float(any(map(differs, judge_all(pairs, second=second))))


def false_differences(rng: Rng, twice: bool = False) -> float:
    """Share of the equal pairs among those called different, where 10 of 20 differ by 20 %, ``twice`` in both times."""
    ratios = [1.2 if n % 2 else 1.0 for n in range(20)]
    pairs = [paired(rng, ratio=of) for of in ratios]
    found = judge_all(pairs, second=[paired(rng, repeatable, ratio=of) for of in ratios] if twice else ())
    called = [n % 2 for n, one in enumerate(found) if differs(one)]
    return called.count(0) / max(1, len(called))


def false_equalities(rng: Rng) -> float:
    """Share of the pairs that differ by the margin among those called no difference, where 10 of 20 do."""
    found = judge_all([paired(rng, repeatable, ratio=1.05 if n % 2 else 1.0) for n in range(20)])
    called = [n % 2 for n, one in enumerate(found) if one.verdict is RatioVerdict.SAME]
    return called.count(1) / max(1, len(called))


# Shares of runs.


def share(rng: Rng, of: float, starts: int, alike: bool = False) -> float:
    """Whether the interval has the true share of runs that succeed: 25 in all, of a start all or none if ``alike``."""
    n = 25 // starts
    hits = rng.random((starts, 1 if alike else n)) < of
    trials = [StartTrial(f"s{start}", bool(hit)) for start, row in enumerate(hits) for hit in np.resize(row, n)]
    found = share_of(trials, together=alike)
    return float(found.low is not None and found.high is not None and found.low <= of <= found.high)


# What breaks the method.


def other_start(rng: Rng) -> float | None:
    """Whether the interval of one start has the value of the next."""
    here, there = (summarise(on_starts(rng, [5])) for _ in range(2))
    return has(here.estimate and here.estimate.interval(), math.log(there.value))


def stopped_when_different(rng: Rng) -> float:
    """Rounds are added from the third to the tenth until the sides differ."""
    left, right, _ = paired(rng, n=10)
    return float(any(differs(judge(left[:n], right[:n])) for n in range(3, 11)))


def best_without_all_pairs(rng: Rng, size: int) -> float:
    """Equal candidates against the best of them, as if it had been named before."""
    best, *others = best_first(rng, size)
    return float(any(map(differs, judge_all([RunPair(best, other) for other in others]))))


def equal_starts(rng: Rng) -> float | None:
    """Starts do not differ, but the means of their runs do."""
    cells = [on_starts(rng, [5] * 4, sd=0) for _ in range(5)]
    return has(predict(cells[0][:5], "new", pool_starts(cells)), normal(rng, 1)[0])


def stopped_when_narrow(rng: Rng) -> float | None:
    """Runs are added from the fifth to the tenth until the interval is within 4 % of the value."""
    logs = normal(rng, 10)
    summaries = [summarise(runs_of(logs[:n])) for n in range(5, 11)]
    last = next((one for one in summaries if one.high and one.high / one.value <= 1.04), summaries[-1])
    return has(last.estimate and last.estimate.interval(), 0)


def beside_others(rng: Rng, size: int) -> float:
    """Whether any of some equal pairs is called different in a family with as many pairs that are far apart."""
    pairs = [paired(rng, ratio=ratio) for ratio in (1.0, 3.0) for _ in range(size)]
    return float(any(map(differs, judge_all(pairs)[:size])))


def mixed_class(rng: Rng) -> float | None:
    """The class has four cells that keep the GPU busy and one that is launch-bound, whose new start is predicted."""
    busy = [on_starts(rng, [5] * 4, sd=0.005) for _ in range(4)]
    bound = on_starts(rng, [5] * 4)
    found = predict(bound[:5], "new", pool_starts([*busy, bound]))
    return has(found, float(rng.normal(0, BETWEEN) + rng.normal(0, WITHIN)))
