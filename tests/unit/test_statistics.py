"""Medians, their intervals, variation, and the end of a warm-up."""

import random
import statistics
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dissect.statistics.step_times import MIN_SAMPLES, coefficient_of_variation, estimate, interval_rank, settled

TIMES = st.lists(st.floats(min_value=1e-6, max_value=1e6), min_size=1, max_size=200)


def coverage(n: int, rank: int) -> Fraction:
    """Exact probability that the median lies between the rank-th smallest and largest of n samples."""
    return 1 - Fraction(2 * sum(comb(n, i) for i in range(rank)), 2**n)


@pytest.mark.parametrize("n", range(MIN_SAMPLES, 300))
def test_rank_is_the_largest_that_covers(n: int) -> None:
    rank = interval_rank(n)
    assert coverage(n, rank) >= Fraction(95, 100) > coverage(n, rank + 1)


@pytest.mark.parametrize(("n", "rank"), [(6, 1), (9, 2), (10, 2), (20, 6), (25, 8), (50, 18), (100, 40)])
def test_rank_as_in_published_tables(n: int, rank: int) -> None:
    assert interval_rank(n) == rank


@pytest.mark.parametrize("n", range(1, MIN_SAMPLES))
def test_too_few_samples_give_the_range(n: int) -> None:
    found = estimate([1.0 + i for i in range(n)])
    assert (found.low, found.high, found.n) == (1.0, n, n)
    assert coverage(n, 1) < Fraction(95, 100)


@given(TIMES)
def test_estimate_brackets_the_median(times: list[float]) -> None:
    found = estimate(times)
    assert min(times) <= found.low <= found.median <= found.high <= max(times)
    assert found.median == statistics.median(times)
    assert found == estimate(sorted(times, reverse=True))


def test_interval_covers_the_median_as_often_as_it_says() -> None:
    generator = random.Random(0)
    trials = [estimate([generator.expovariate(1.0) for _ in range(15)]) for _ in range(2000)]
    hits = sum(trial.low <= 0.6931471805599453 <= trial.high for trial in trials)
    assert 0.955 <= hits / len(trials) <= 0.975  # exactly 0.965 for 15 samples


def test_no_samples_are_an_error() -> None:
    with pytest.raises(ValueError, match="no samples"):
        estimate([])
    with pytest.raises(ValueError, match="no samples"):
        coefficient_of_variation([])


def test_variation() -> None:
    assert coefficient_of_variation([2.0]) == 0.0
    assert coefficient_of_variation([1.0, 3.0]) == pytest.approx(2**0.5 / 2)


@pytest.mark.parametrize(
    ("times", "over"),
    [
        ([1.0, 1.0, 1.0], False),  # two against two need four
        ([1.0, 1.0, 1.0, 1.0], True),
        ([9.0, 1.0, 1.0, 1.0], False),  # the slow first step is still among the two before
        ([9.0, 1.0, 1.0, 1.0, 1.0], True),
        ([1.0, 1.0, 1.09, 1.09], True),
        ([1.0, 1.0, 1.2, 1.2], False),  # getting slower is not settled either
        ([1.0, 1.0, 0.8, 0.8], False),
    ],
)
def test_settled(times: list[float], over: bool) -> None:
    assert settled(times) is over
