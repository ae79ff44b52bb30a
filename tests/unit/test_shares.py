"""Shares of trials and their intervals, against published figures and SciPy's own."""

import heapq
import random
from statistics import fmean

import pytest
from scipy import stats

from dissect.statistics.shares import ShareOfTrials, StartTrial, binomial_ends, ends_over_runs, share_of


def trials(*groups: tuple[int, int]) -> list[StartTrial]:
    """Each group: successes and trials of one start."""
    return [StartTrial(f"s{n}", k < hits) for n, (hits, of) in enumerate(groups) for k in range(of)]


def test_no_trial_has_no_interval() -> None:
    assert share_of([]) == ShareOfTrials(0, 0, 0, None, None)


@pytest.mark.parametrize(("hits", "of"), [(0, 5), (5, 5), (9, 10), (95, 100)])
def test_one_start_has_the_interval_of_clopper_and_pearson(hits: int, of: int) -> None:
    found, exact = share_of(trials((hits, of))), stats.binomtest(hits, of).proportion_ci(method="exact")
    assert (found.successes, found.trials, found.starts) == (hits, of, 1)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def test_all_or_none_counts_each_start_once_where_its_trials_succeed_together() -> None:
    exact = stats.binomtest(5, 5).proportion_ci(method="exact")
    assert share_of(trials(*[(5, 5)] * 5), together=True).low == pytest.approx(exact.low)
    assert share_of(trials(*[(0, 5)] * 5), together=True).high == pytest.approx(1 - exact.low)


def test_all_of_independent_trials_tell_more_than_all_but_one() -> None:
    every, most = share_of(trials(*[(5, 5)] * 5)), share_of(trials(*[(5, 5)] * 4, (4, 5)))
    independent = stats.binomtest(25, 25).proportion_ci(method="exact")
    assert most.low < every.low < independent.low


def test_starts_that_are_covered_or_missed_as_a_whole_have_a_wider_interval() -> None:
    together, apart = share_of(trials((5, 5), (5, 5), (5, 5), (5, 5), (0, 5))), share_of(trials(*[(4, 5)] * 5))
    assert together.successes == apart.successes == 20
    assert together.low < apart.low < 0.8 < apart.high < together.high
    independent = stats.binomtest(20, 25).proportion_ci(method="exact")
    assert apart.low < independent.low, "five starts tell less of others than 25 would"


def in_time(draw: random.Random, rate: float, requests: int = 300, slots: int = 20) -> int:
    """Random arrivals at a server with slots, of 4 s each: how many wait at most 1 s."""
    at, kept, free = 0.0, 0, [0.0] * slots
    for _ in range(requests):
        at += draw.expovariate(rate)
        begin = max(at, heapq.heappop(free))
        kept += begin - at <= 1
        heapq.heappush(free, begin + 4)
    return kept


def test_requests_that_wait_for_each_other_tell_by_their_runs() -> None:
    draw = random.Random(1)
    runs = [(in_time(draw, 4.6), 300) for _ in range(900)]
    share = fmean(kept / of for kept, of in runs)
    alone = [low <= share <= high for kept, of in runs for low, high in [binomial_ends(kept / of, of)]]
    found = [ends for first in range(0, 900, 3) if (ends := ends_over_runs(runs[first : first + 3]))]
    assert fmean(alone) < 0.3, "as if they were independent"
    assert len(found) > 100
    assert fmean(low <= share <= high for low, high in found) > 0.85


def test_runs_that_cannot_tell_how_alike_their_trials_are_have_no_interval() -> None:
    assert ends_over_runs([(990, 1000)]) is None
    assert ends_over_runs([(1000, 1000)] * 3) is None
    assert ends_over_runs([(0, 1000)] * 3) is None
