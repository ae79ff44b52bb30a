"""Runs drawn from known distributions: how often what statistics/ says of them is true.

    python tests/simulated_runs.py

prints the tables of docs/statistics.md.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np

from dissect.statistics.between_starts import BetweenStarts, pool_starts
from dissect.statistics.judge import Judgement, RatioVerdict, RunPair, judge, judge_all
from dissect.statistics.log_estimate import Interval
from dissect.statistics.run_values import RunValue
from dissect.statistics.summarise import Scope, predict, summarise

Rng = np.random.Generator
Runs = list[RunValue]
BETWEEN, WITHIN = 0.15, 0.05
"""Standard deviations of logarithms, about as measured in launch-bound cells."""
DIFFERENT = (RatioVerdict.ABOVE, RatioVerdict.BELOW)


Trial = Callable[[Rng], float | None]
"""1 where something is true, 0 where it is not, a share in between, None where it does not count."""


@dataclass(frozen=True)
class Table:
    """How often something is true in each case, and within which percentages that is expected."""

    counted: str
    least: float
    most: float
    cases: dict[str, Trial]
    trials: int = 2000

    def rate(self, name: str) -> float:
        """Percentage of the trials in which it is true."""
        rng = np.random.default_rng(20260101)
        found = [hit for _ in range(self.trials) if (hit := self.cases[name](rng)) is not None]
        return 100 * float(np.mean(found))


# How runs come about.


def normal(rng: Rng, n: int) -> Sequence[float]:
    return [float(x) for x in rng.normal(0, WITHIN, n)]


def heavy(rng: Rng, n: int) -> Sequence[float]:
    """Student's t with three degrees of freedom: now and then a run is far off."""
    return [float(x) for x in WITHIN * rng.standard_t(3, n)]


def of_steps(rng: Rng, n: int, correlation: float = 0.44) -> Sequence[float]:
    """Medians of 20 autocorrelated steps of a run with a level of its own."""
    return [float(np.median(correlated(rng, 20, 0.1, correlation)) + rng.normal(0, WITHIN)) for _ in range(n)]


def correlated(rng: Rng, n: int, sd: float = WITHIN, correlation: float = 0.5) -> Sequence[float]:
    """Each depends on the one before it."""
    found = [float(rng.normal(0, sd))]
    for _ in range(n - 1):
        found.append(correlation * found[-1] + float(rng.normal(0, sd * math.sqrt(1 - correlation**2))))
    return found


def repeatable(rng: Rng, n: int) -> Sequence[float]:
    """As runs of cells that keep a GPU busy."""
    return [float(x) for x in rng.normal(0, 0.01, n)]


def steady(rng: Rng, n: int) -> Sequence[float]:
    """Runs that differ by less than is believed."""
    return [float(x) for x in rng.normal(0, 0.0005, n)]


def two_modes(rng: Rng, n: int) -> Sequence[float]:
    """One run in five takes 30 % longer; the mean of the logarithms is 0."""
    return [float(math.log(1.3) * ((rng.random() < 0.2) - 0.2) + rng.normal(0, 0.01)) for _ in range(n)]


Noise = Callable[[Rng, int], Sequence[float]]


def runs_of(logs: Sequence[float], start: str = "s0", rounds: bool = True) -> Runs:
    return [RunValue(math.exp(log), start, f"r{n}" if rounds else None) for n, log in enumerate(logs)]


def on_levels(rng: Rng, levels: Sequence[float]) -> Runs:
    """Five runs on each start; ``levels`` are the logarithms of the starts."""
    return [run for n, of in enumerate(levels) for run in runs_of([of + x for x in normal(rng, 5)], f"s{n}")]


def on_starts(rng: Rng, counts: Sequence[int], name: str = "s", sd: float = BETWEEN) -> Runs:
    """So many runs on each of some starts that differ."""
    levels = [float(x) for x in rng.normal(0, sd, len(counts))]
    drawn = [[level + x for x in normal(rng, count)] for level, count in zip(levels, counts, strict=True)]
    return [run for n, logs in enumerate(drawn) for run in runs_of(logs, f"{name}{n}")]


def known(rng: Rng, df: float) -> BetweenStarts:
    """The variance between starts as an estimate with so many degrees of freedom would have it."""
    share = float(rng.chisquare(df)) / df if df < math.inf else 1.0
    return BetweenStarts(BETWEEN**2 * share, df, n_starts=0, n_cells=0)


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


def paired(rng: Rng, noise: Noise = normal, n: int = 5, starts: int = 1, ratio: float = 1.0) -> RunPair:
    """Both sides in shared rounds that differ as much as their runs do."""
    sides: tuple[Runs, Runs] = [], []
    for start in range(starts):
        level, rounds = rng.normal(0, BETWEEN), rng.normal(0, WITHIN, n)
        for side, log in zip(sides, (0.0, math.log(ratio)), strict=True):
            side += runs_of(
                [log + level + float(r) + x for r, x in zip(rounds, noise(rng, n), strict=True)], f"s{start}"
            )
    return sides


def unpaired(rng: Rng, n_left: int, n_right: int, noise: Noise = normal) -> RunPair:
    """Both sides on one start, without rounds."""
    level = float(rng.normal(0, BETWEEN))
    left, right = ([level + x for x in noise(rng, n)] for n in (n_left, n_right))
    return runs_of(left, rounds=False), runs_of(right, rounds=False)


def ratio(rng: Rng, draw: Callable[[Rng], RunPair], df: float | None = None) -> float | None:
    found = judge(*draw(rng), between=known(rng, df) if df else None).contrast.estimate
    return has(found and found.interval(), 0)


def apart(rng: Rng, left: Sequence[int], right: Sequence[int]) -> RunPair:
    """Sides that share no start."""
    return on_starts(rng, left, "l"), on_starts(rng, right, "r")


# Verdicts on cells that do not differ.


def differs(judgement: Judgement) -> bool:
    return judgement.verdict in DIFFERENT


def family(rng: Rng, draw: Callable[[Rng], RunPair], size: int = 1, df: float | None = None) -> float:
    """Whether any pair of a family is called different."""
    pairs = [draw(rng) for _ in range(size)]
    return float(any(map(differs, judge_all(pairs, between=[df and known(rng, df)] * size))))


def against_one(rng: Rng, size: int) -> float:
    """Whether any cell is called different from one that all are compared with."""
    sides = [runs_of(normal(rng, 5)) for _ in range(size + 1)]
    return float(any(map(differs, judge_all([(sides[0], side) for side in sides[1:]]))))


def ranked(rng: Rng, size: int) -> float:
    """Whether any of so many equal candidates is called worse than the best of them, in the family of all pairs."""
    pairs = list(combinations(best_first(rng, size), 2))
    return float(any(map(differs, judge_all(pairs)[: size - 1])))


def best_first(rng: Rng, size: int) -> list[Runs]:
    return sorted((runs_of(normal(rng, 5)) for _ in range(size)), key=lambda runs: summarise(runs).value)


def false_differences(rng: Rng) -> float:
    """Share of the equal pairs among those called different, where 10 of 20 differ by 20 %."""
    found = judge_all([paired(rng, ratio=1.2 if n % 2 else 1.0) for n in range(20)])
    called = [n % 2 for n, one in enumerate(found) if differs(one)]
    return called.count(0) / max(1, len(called))


def false_equalities(rng: Rng) -> float:
    """Share of the pairs that differ by the margin among those called no difference, where 10 of 20 do."""
    found = judge_all([paired(rng, repeatable, ratio=1.05 if n % 2 else 1.0) for n in range(20)])
    called = [n % 2 for n, one in enumerate(found) if one.verdict is RatioVerdict.SAME]
    return called.count(1) / max(1, len(called))


# What breaks the method.


def other_start(rng: Rng) -> float | None:
    """Whether the interval of one start has the value of the next."""
    here, there = (summarise(on_starts(rng, [5])) for _ in range(2))
    return has(here.estimate and here.estimate.interval(), math.log(there.value))


def drifting(rng: Rng, rounds: bool) -> RunPair:
    """The start gets slower by 10 % over ten runs: first all of one side, or both sides in rounds of random order."""
    order = [int(side) for _ in range(5) for side in rng.permutation(2)] if rounds else [0] * 5 + [1] * 5
    sides: tuple[list[float], list[float]] = [], []
    for place, side in enumerate(order):
        sides[side].append(0.1 * place / 9 + float(rng.normal(0, 0.02)))
    return runs_of(sides[0], rounds=rounds), runs_of(sides[1], rounds=rounds)


def stopped_when_different(rng: Rng) -> float:
    """Rounds are added from the third to the tenth until the sides differ."""
    left, right = paired(rng, n=10)
    return float(any(differs(judge(left[:n], right[:n])) for n in range(3, 11)))


def best_without_all_pairs(rng: Rng, size: int) -> float:
    """Equal candidates against the best of them, as if it had been named before."""
    best, *others = best_first(rng, size)
    return float(any(map(differs, judge_all([(best, other) for other in others]))))


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


ONE_START = partial(unpaired, n_left=5, n_right=5)
APART = partial(apart, left=[5], right=[5])
TABLES = [
    Table(
        "the interval covers",
        93,
        97,
        {
            **{f"value of one start, {n} runs": partial(value, n=n) for n in (2, 3, 5, 10)},
            **{f"next run on the start, from {n} runs": partial(next_run, n=n) for n in (2, 3, 5, 10)},
            "value, 5 medians of autocorrelated steps": partial(value, n=5, noise=of_steps),
            "next run, from 5 medians of autocorrelated steps": partial(next_run, n=5, noise=of_steps),
            "value of one start, 5 runs with heavy tails": partial(value, n=5, noise=heavy),
            "value of these two starts, 5 runs each": partial(value_of_these_starts, starts=2),
            "value of starts, 3 starts of 5 runs": partial(value_of_starts, counts=[5] * 3),
            "value of starts, 5 starts of 3 runs": partial(value_of_starts, counts=[3] * 5),
            "value of starts, 4 starts of 1, 2, 5 and 5 runs": partial(value_of_starts, counts=[1, 2, 5, 5]),
            "new start, from 4 starts of 5 runs": partial(run_on_new_start, counts=[5] * 4),
            "new start, from 5 starts of 3 runs": partial(run_on_new_start, counts=[3] * 5),
            "new start, from 5 runs of one, variance known": partial(run_on_new_start, counts=[5], df=math.inf),
            "new start, from 5 runs of one, variance of 8 df": partial(run_on_new_start, counts=[5], df=8),
            "new start, variance pooled over 5 cells on 4 starts": partial(new_start_of_class, cells=5, starts=4),
            "ratio, 5 shared rounds": partial(ratio, draw=paired),
            "ratio, 5 shared rounds on each of 3 starts": partial(ratio, draw=partial(paired, starts=3)),
            "ratio, 5 and 5 runs of a shared start": partial(ratio, draw=ONE_START),
            "ratio, 3 and 10 runs of a shared start": partial(ratio, draw=partial(unpaired, n_left=3, n_right=10)),
            "ratio, no shared start, variance known": partial(ratio, draw=APART, df=math.inf),
            "ratio, no shared start, variance of 8 df": partial(ratio, draw=APART, df=8),
        },
    ),
    Table(
        "the interval covers",
        97,
        100,
        {
            "ratio, 2 and 5 runs of a shared start": partial(ratio, draw=partial(unpaired, n_left=2, n_right=5)),
            "value, 5 runs with a standard deviation of 0.05 %": partial(value, n=5, noise=steady),
            "new start, variance pooled over starts that do not differ": equal_starts,
        },
    ),
    Table(
        "the verdict is wrong",
        0,
        6,
        {
            "one pair, 5 shared rounds": partial(family, draw=paired),
            "one pair, 5 and 5 runs of a shared start": partial(family, draw=ONE_START),
            "one pair, 5 shared rounds, heavy tails": partial(family, draw=partial(paired, noise=heavy)),
            "one pair, medians of autocorrelated steps": partial(family, draw=partial(paired, noise=of_steps)),
            "one pair, no shared start, variance of 8 df": partial(family, draw=APART, df=8),
            "any of 10 pairs": partial(family, draw=paired, size=10),
            "any of 10 cells against one cell": partial(against_one, size=10),
        },
        trials=1000,
    ),
    Table(
        "the verdict is wrong",
        0,
        6,
        {
            "any of 100 pairs": partial(family, draw=paired, size=100),
            "any of 8 candidates against the best of them": partial(ranked, size=8),
            "of those called different, where 10 of 20 pairs are 20 % apart": false_differences,
            "of those called no difference, where 10 of 20 pairs are 5 % apart": false_equalities,
        },
        trials=500,
    ),
    Table(
        "the interval covers",
        0,
        94,
        {
            "one start, read as if it told of the next start": other_start,
            "5 runs, each correlated with the one before (0.5)": partial(value, n=5, noise=correlated),
            "runs added from 5 to 10 until the interval is within 4 %": stopped_when_narrow,
            "next run, from 5 runs with heavy tails": partial(next_run, n=5, noise=heavy),
            "value, one run in five takes 30 % longer": partial(value, n=5, noise=two_modes),
            "next run, one run in five takes 30 % longer": partial(next_run, n=5, noise=two_modes),
            "new start, where the class mixes steady cells with others": mixed_class,
            "new start, from 3 starts of 5 runs": partial(run_on_new_start, counts=[5] * 3),
            "ratio, no shared start, variance of 2 df": partial(ratio, draw=APART, df=2),
        },
    ),
    Table(
        "equal cells are called different",
        6,
        100,
        {
            "drift of 10 %, one cell after the other": partial(family, draw=partial(drifting, rounds=False)),
            "rounds added until the cells differ, from 3 to 10": stopped_when_different,
            "8 candidates, as if the best had been named before": partial(best_without_all_pairs, size=8),
            "any of 10 pairs, beside 10 that are far apart": partial(beside_others, size=10),
        },
        trials=500,
    ),
    Table(
        "equal cells are called different",
        0,
        6,
        {"drift of 10 %, shared rounds": partial(family, draw=partial(drifting, rounds=True))},
    ),
]


def main() -> None:
    for table in TABLES:
        print(f"\n| case | {table.counted} |\n| --- | ---: |")
        for name in table.cases:
            print(f"| {name} | {table.rate(name):.1f} % |", flush=True)


if __name__ == "__main__":
    main()
