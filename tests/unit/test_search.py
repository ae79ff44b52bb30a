"""The search for the largest batch finds exactly the limit, wherever it starts and however memory behaves."""

from collections.abc import Callable
from math import ceil, log2
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dissect.base.outcome import Phase, Status
from dissect.cells.spec import TrainingSpec
from dissect.metrics.training import TrainingMetrics, Trial
from dissect.predict.outlook import largest_batch
from dissect.results.cell_runs import read_runs
from dissect.stages.training.other_cells import predicted_start
from dissect.stages.training.search import (
    SearchStart,
    bracket,
    count_trials,
    extrapolated_limit,
    next_batch,
    search_max,
)

REFERENCES = Path(__file__).parents[2] / "config/references"
MEMORY = 10_000
SMALLEST = SearchStart()


def predicted(batch: int, off: int = 1) -> SearchStart:
    return SearchStart(batch, "prediction", range(max(0, batch - off), batch + off + 1))


def similar(batch: int) -> SearchStart:
    return SearchStart(batch, "similar cell")


def trier(limit: int, peak: Callable[[int], int | None] = lambda batch: 100 * batch) -> Callable[[int], Trial]:
    def try_batch(batch: int) -> Trial:
        if batch > limit:
            return Trial(batch=batch, status=Status.OOM, phase=Phase.FORWARD)
        return Trial(batch=batch, status=Status.OK, peak_memory_bytes=peak(batch))

    return try_batch


@given(
    limit=st.integers(0, 3000),
    start=st.just(SMALLEST)
    | st.builds(SearchStart, st.integers(-5, 5000), st.just("similar cell"))
    | st.builds(predicted, st.integers(0, 5000), st.integers(0, 200)),
    slope=st.integers(-50, 5000),
    intercept=st.integers(0, 10**6),
    noise=st.lists(st.integers(0, 10**5), min_size=1, max_size=7),
    memory=st.integers(1, 10**7),
)
def test_limit_is_exact_whatever_memory_says(limit, start, slope, intercept, noise, memory):
    def peak(batch: int) -> int:
        return max(0, intercept + slope * batch + noise[batch % len(noise)])

    trials = search_max(trier(limit, peak), start, memory)
    known = bracket(trials)
    assert (known.passed, known.ran_out) == (limit, limit + 1)
    tried = [trial.batch for trial in trials]
    assert len(tried) == len(set(tried)), "no batch is tried twice"
    assert min(tried) >= 1
    assert len(trials) <= 32, "six guesses, then doubling and halving"


@given(hint=st.integers(1, 300), more=st.floats(1, 8))
def test_linear_memory_is_found_in_four_trials(hint, more):
    limit = int(hint * more)
    trials = search_max(trier(limit, lambda batch: 7 + 3 * batch), similar(hint), 7 + 3 * limit + 2)
    assert bracket(trials).passed == limit
    assert len(trials) <= 4


def test_a_right_start_needs_two_trials():
    for start in (predicted(12), similar(12)):
        assert [trial.batch for trial in search_max(trier(12), start, MEMORY)] == [12, 13]
    assert search_max(trier(12), SMALLEST, MEMORY)[0].batch == 1


@pytest.mark.parametrize(
    ("limit", "tried"),
    [
        (11, [12, 11]),
        (13, [12, 13, 14]),
        (10, [12, 11, 9, 10]),
        (14, [12, 13, 14, 15]),
        (40, [12, 13, 14, 40, 41]),
        (0, [12, 11, 9, 3, 1]),
    ],
)
def test_a_wrong_prediction_costs_trials_only(limit, tried):
    trials = search_max(trier(limit), predicted(12), 100 * limit + 50)
    assert [trial.batch for trial in trials] == tried
    assert bracket(trials).passed == limit


@given(batch=st.integers(1, 200), share=st.floats(-0.02, 0.02))
def test_a_limit_within_two_percent_takes_two_to_four_trials(batch, share):
    start, off = predicted(batch, max(1, round(0.03 * batch))), int(abs(share) * batch)
    assert count_trials(batch, start) in (2, 3)
    assert 2 <= count_trials(batch + (off if share > 0 else -off), start) <= 4


@given(batch=st.integers(30, 2000), off=st.floats(-0.03, 0.03), window=st.floats(0.03, 0.05))
def test_a_limit_that_is_expected_is_found_near_the_prediction(batch, off, window):
    limit, width = round(batch * (1 + off)), ceil(batch * window)
    tried = [trial.batch for trial in search_max(trier(limit), predicted(batch, width), 10 * MEMORY)]
    assert max(abs(each - batch) for each in tried) <= width + 1
    assert len(tried) <= 3 + ceil(log2(width + 1))


def test_shipped_searches_would_take_two_trials():
    """All but those of Megatron-LM on H200 begin with the limit."""
    others = {}
    for path in REFERENCES.glob("*/*/*/*/*/*/*bmax*/*.json"):
        runs = read_runs(path)
        if isinstance(runs.spec, TrainingSpec) and isinstance(runs.newest.metrics, TrainingMetrics):
            limit, start = runs.newest.metrics.batch, largest_batch(runs.spec)
            assert start is not None
            trials = search_max(trier(limit), predicted_start(start), runs.spec.hardware.device_memory_bytes)
            if [trial.batch for trial in trials] != [limit, limit + 1]:
                others[str(path.relative_to(REFERENCES)).split("/")[0], runs.spec.framework] = [t.batch for t in trials]
    assert others == {("h200", "megatron"): [23, 22], ("h200-x2", "megatron"): [23, 22]}


def test_what_is_predicted_to_fit_nothing_starts_with_one():
    assert [trial.batch for trial in search_max(trier(0), predicted(0), MEMORY)] == [1]
    assert [trial.batch for trial in search_max(trier(1), predicted(0), MEMORY)] == [1, 2]


@pytest.mark.parametrize("status", [Status.TIMEOUT, Status.FAILED, Status.INVALID])
def test_another_outcome_ends_the_search(status):
    trials = search_max(lambda batch: Trial(batch=batch, status=status), similar(4), MEMORY)
    assert [trial.status for trial in trials] == [status]
    assert bracket(trials).stopped_by == trials[0]


def test_batch_one_out_of_memory_ends_it():
    trials = search_max(trier(0), SMALLEST, MEMORY)
    assert [(trial.batch, trial.status) for trial in trials] == [(1, Status.OOM)]
    assert bracket(trials).is_found


def test_a_guess_is_a_limit_that_linear_memory_has():
    passed = [Trial(batch=b, status=Status.OK, peak_memory_bytes=1000 + 100 * b) for b in (1, 2)]
    assert extrapolated_limit(passed, 2050) == 10
    assert extrapolated_limit(passed[:1], 2050) is None
    assert next_batch(passed, SMALLEST, 2050) == 10
    assert next_batch(passed, SMALLEST, 10**9) == 16, "never more than eight times what passed"
