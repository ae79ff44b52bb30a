"""The search for the largest batch finds exactly the limit, wherever it starts and however memory behaves."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dissect.base.outcome import Phase, Status
from dissect.metrics.training import Trial
from dissect.stages.training.search import bracket, extrapolated_limit, next_batch, search_max

MEMORY = 10_000


def trier(limit: int, peak: Callable[[int], int | None] = lambda batch: 100 * batch) -> Callable[[int], Trial]:
    def try_batch(batch: int) -> Trial:
        if batch > limit:
            return Trial(batch=batch, status=Status.OOM, phase=Phase.FORWARD)
        return Trial(batch=batch, status=Status.OK, peak_memory_bytes=peak(batch))

    return try_batch


@given(
    limit=st.integers(0, 3000),
    hint=st.none() | st.integers(-5, 5000),
    slope=st.integers(-50, 5000),
    intercept=st.integers(0, 10**6),
    noise=st.lists(st.integers(0, 10**5), min_size=1, max_size=7),
    memory=st.integers(1, 10**7),
)
def test_limit_is_exact_whatever_memory_says(limit, hint, slope, intercept, noise, memory):
    def peak(batch: int) -> int:
        return max(0, intercept + slope * batch + noise[batch % len(noise)])

    trials = search_max(trier(limit, peak), hint, memory)
    known = bracket(trials)
    assert (known.passed, known.ran_out) == (limit, limit + 1)
    tried = [trial.batch for trial in trials]
    assert len(tried) == len(set(tried)), "no batch is tried twice"
    assert min(tried) >= 1
    assert len(trials) <= 32, "six guesses, then doubling and halving"


@given(hint=st.integers(1, 300), more=st.floats(1, 8))
def test_linear_memory_is_found_in_four_trials(hint, more):
    limit = int(hint * more)
    trials = search_max(trier(limit, lambda batch: 7 + 3 * batch), hint, 7 + 3 * limit + 2)
    assert bracket(trials).passed == limit
    assert len(trials) <= 4


def test_a_right_hint_needs_two_trials():
    assert [trial.batch for trial in search_max(trier(12), 12, MEMORY)] == [12, 13]
    assert search_max(trier(12), None, MEMORY)[0].batch == 1


@pytest.mark.parametrize("status", [Status.TIMEOUT, Status.FAILED, Status.INVALID])
def test_another_outcome_ends_the_search(status):
    trials = search_max(lambda batch: Trial(batch=batch, status=status), 4, MEMORY)
    assert [trial.status for trial in trials] == [status]
    assert bracket(trials).stopped_by == trials[0]


def test_batch_one_out_of_memory_ends_it():
    trials = search_max(trier(0), None, MEMORY)
    assert [(trial.batch, trial.status) for trial in trials] == [(1, Status.OOM)]
    assert bracket(trials).is_found


def test_a_guess_is_a_limit_that_linear_memory_has():
    passed = [Trial(batch=b, status=Status.OK, peak_memory_bytes=1000 + 100 * b) for b in (1, 2)]
    assert extrapolated_limit(passed, 2050) == 10
    assert extrapolated_limit(passed[:1], 2050) is None
    assert next_batch(passed, None, 2050) == 10
    assert next_batch(passed, None, 10**9) == 16, "never more than eight times what passed"
