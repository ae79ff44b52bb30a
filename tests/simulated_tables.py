"""How often what statistics/ says of simulated runs is true.

    python tests/simulated_tables.py

prints the tables of docs/statistics.md.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from simulated_runs import (
    Rng,
    apart,
    correlated,
    drifting,
    heavy,
    of_steps,
    paired,
    steady,
    two_modes,
    unpaired,
)
from simulated_trials import (
    against_one,
    beside_others,
    best_without_all_pairs,
    by_device,
    equal_starts,
    false_differences,
    false_equalities,
    family,
    mixed_class,
    new_start_of_class,
    next_run,
    other_start,
    ranked,
    ratio,
    run_on_new_start,
    share,
    stopped_when_different,
    stopped_when_narrow,
    value,
    value_of_starts,
    value_of_these_starts,
)

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
            "share of runs, 85 % of 25 on one start": partial(share, of=0.85, starts=1),
            "share of runs, 85 % of 25 on five starts": partial(share, of=0.85, starts=5),
            "share of runs, 85 % of five starts with all of their runs": partial(share, of=0.85, starts=5, alike=True),
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
            "one pair, wall time or else device time": partial(by_device, size=1),
            "any of 10 pairs, wall time or else device time": partial(by_device, size=10),
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
            "the same, by wall time or else by device time": partial(false_differences, twice=True),
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
