"""What many runs of cells tell of their statistics, on invented runs whose truth is known."""

import math
from random import Random

import pytest

from dissect.statistics.repeats import SIDE, Repeats, repeats
from dissect.statistics.run_values import RunValue
from dissect.statistics.shares import StartTrial


def runs(starts: int, of_each: int, within: float, between: float, seed: int = 1) -> list[RunValue]:
    rng = Random(seed)
    effects = [rng.gauss(0, between) for _ in range(starts)]
    return [
        RunValue(math.exp(effect + rng.gauss(0, within)), f"start {number}")
        for number, effect in enumerate(effects)
        for _ in range(of_each)
    ]


def of_one(cell: list[RunValue]) -> Repeats:
    [found] = repeats([cell])
    return found


def successes(trials: tuple[StartTrial, ...]) -> int:
    return sum(trial.success for trial in trials)


def test_one_run_tells_nothing() -> None:
    found = of_one([RunValue(1.0, "a")])
    assert (found.runs, found.starts, found.sd_within, found.df_within) == (1, 1, None, 0)
    assert (found.sd_between, found.df_between) == (None, 0)
    assert (found.known_start, found.new_start, found.differences) == ((), (), ())


def test_runs_of_one_start_are_predicted_from_each_other() -> None:
    found = of_one(runs(1, 60, 0.05, 0))
    assert (len(found.known_start), len(found.new_start)) == (60, 0)
    assert successes(found.known_start) / 60 >= 0.9
    assert found.sd_within == pytest.approx(0.05, rel=0.3)
    assert found.df_within == 59
    assert len(found.differences) == 60 // (2 * SIDE)
    assert successes(found.differences) <= 2


def test_starts_that_differ_are_predicted_as_a_whole() -> None:
    found = of_one(runs(8, 5, 0.01, 0.2))
    assert found.sd_between == pytest.approx(0.2, rel=0.5)
    assert found.df_between == 7
    assert (len(found.known_start), len(found.new_start)) == (40, 40)
    assert successes(found.new_start) / 40 >= 0.75, "runs of one start are covered or missed together"


def test_a_start_that_was_left_out_is_predicted_from_the_class_without_it() -> None:
    """Two starts are left: too few of one cell, but the class has a variance of one degree of freedom."""
    found = repeats([runs(3, 5, 0.01, 0.2, seed) for seed in (1, 2)])
    assert [len(each.new_start) for each in found] == [15, 15]
    assert not of_one(runs(2, 5, 0.01, 0.2)).new_start, "one start is left, which tells nothing of others"


def test_starts_with_fewer_than_six_runs_make_smaller_pairs() -> None:
    found = of_one(runs(3, 5, 0.01, 0.2))
    assert [trial.start for trial in found.differences] == ["start 0", "start 1", "start 2"]
    assert not of_one(runs(3, 3, 0.01, 0.2)).differences


def test_runs_that_a_cell_does_not_repeat_are_called_different() -> None:
    found = of_one([RunValue(1 + number % 2 + number / 1e4, "a") for number in range(6)])
    assert found.differences == (StartTrial("a", True),)


def test_drift_within_a_start_shows() -> None:
    """What the verdicts assume and a machine may break: without it the page would tell nothing."""
    drifting = [RunValue(math.exp(0.05 * number), "a", f"r{number}") for number in range(12)]
    steady = [RunValue(math.exp(0.001 * (number % 2)), "a", f"r{number}") for number in range(12)]
    assert of_one(drifting).sd_within > 10 * (of_one(steady).sd_within or 1)


def test_the_only_run_of_a_start_is_predicted_as_one_of_a_new_start_alone() -> None:
    found = of_one([RunValue(1 + n / 100, f"s{n}") for n in range(5)])
    assert not found.known_start
    # Nothing is known of how runs of one start differ; the starts' means have that in them.
    assert len(found.new_start) == 5
