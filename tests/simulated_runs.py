"""Runs drawn from known distributions."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from dissect.statistics.between_starts import BetweenStarts
from dissect.statistics.judge import RunPair
from dissect.statistics.run_values import RunValue

Rng = np.random.Generator
Runs = list[RunValue]
BETWEEN, WITHIN = 0.15, 0.05
"""Standard deviations of logarithms, about as measured in launch-bound cells."""


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


# Both sides of a ratio.


def paired(rng: Rng, noise: Noise = normal, n: int = 5, starts: int = 1, ratio: float = 1.0) -> RunPair:
    """Both sides in shared rounds that differ as much as their runs do."""
    sides: tuple[Runs, Runs] = [], []
    for start in range(starts):
        level, rounds = rng.normal(0, BETWEEN), rng.normal(0, WITHIN, n)
        for side, log in zip(sides, (0.0, math.log(ratio)), strict=True):
            side += runs_of(
                [log + level + float(r) + x for r, x in zip(rounds, noise(rng, n), strict=True)], f"s{start}"
            )
    return RunPair(*sides)


def unpaired(rng: Rng, n_left: int, n_right: int, noise: Noise = normal) -> RunPair:
    """Both sides on one start, without rounds."""
    level = float(rng.normal(0, BETWEEN))
    left, right = ([level + x for x in noise(rng, n)] for n in (n_left, n_right))
    return RunPair(runs_of(left, rounds=False), runs_of(right, rounds=False))


def apart(rng: Rng, left: Sequence[int], right: Sequence[int]) -> RunPair:
    """Sides that share no start."""
    return RunPair(on_starts(rng, left, "l"), on_starts(rng, right, "r"))


def drifting(rng: Rng, rounds: bool) -> RunPair:
    """The start gets slower by 10 % over ten runs: first all of one side, or both sides in rounds of random order."""
    order = [int(side) for _ in range(5) for side in rng.permutation(2)] if rounds else [0] * 5 + [1] * 5
    sides: tuple[list[float], list[float]] = [], []
    for place, side in enumerate(order):
        sides[side].append(0.1 * place / 9 + float(rng.normal(0, 0.02)))
    return RunPair(runs_of(sides[0], rounds=rounds), runs_of(sides[1], rounds=rounds))
