"""What many runs of one cell tell of its statistics, on invented runs whose truth is known."""

import math
from random import Random

import pytest

from dissect.statistics.repeats import SIDE, repeats
from dissect.statistics.run_values import RunValue


def runs(starts: int, of_each: int, within: float, between: float, seed: int = 1) -> list[RunValue]:
    rng = Random(seed)
    effects = [rng.gauss(0, between) for _ in range(starts)]
    return [
        RunValue(math.exp(effect + rng.gauss(0, within)), f"start {number}")
        for number, effect in enumerate(effects)
        for _ in range(of_each)
    ]


def test_one_run_tells_nothing() -> None:
    found = repeats([RunValue(1.0, "a")])
    assert (found.runs, found.starts, found.sd_within, found.sd_between) == (1, 1, None, None)
    assert (found.predicted, found.predicted_new, found.pairs) == (0, 0, 0)


def test_runs_of_one_start_are_predicted_from_each_other() -> None:
    found = repeats(runs(1, 60, 0.05, 0))
    assert (found.predicted, found.predicted_new) == (60, 0)
    assert found.covered / found.predicted >= 0.9
    assert found.sd_within == pytest.approx(0.05, rel=0.3)
    assert found.pairs == 60 // (2 * SIDE)
    assert found.called_different <= 2


def test_starts_that_differ_are_predicted_as_a_whole() -> None:
    found = repeats(runs(8, 5, 0.01, 0.2))
    assert found.sd_between == pytest.approx(0.2, rel=0.5)
    assert (found.predicted, found.predicted_new) == (40, 40)
    assert found.covered_new / found.predicted_new >= 0.75, "runs of one start are covered or missed together"


def test_drift_within_a_start_shows() -> None:
    """What the verdicts assume and a machine may break: without it the page would tell nothing."""
    drifting = [RunValue(math.exp(0.05 * number), "a", f"r{number}") for number in range(12)]
    steady = [RunValue(math.exp(0.001 * (number % 2)), "a", f"r{number}") for number in range(12)]
    assert repeats(drifting).sd_within > 10 * (repeats(steady).sd_within or 1)


def test_the_only_run_of_a_start_is_predicted_as_one_of_a_new_start_alone() -> None:
    found = repeats([RunValue(1 + n / 100, f"s{n}") for n in range(5)])
    assert (found.predicted, found.predicted_new) == (0, 5)
