"""Values of cells from their runs: intervals, prediction intervals, and what starts tell of other starts."""

import math
from collections.abc import Sequence

import pytest
import scipy

from dissect.statistics.between_starts import RESOLUTION, BetweenStarts, pool_starts
from dissect.statistics.run_values import RunValue
from dissect.statistics.summarise import Scope, predict, summarise

TIMES = [0.21, 0.2, 0.23, 0.19, 0.22]


def runs(values: Sequence[float], start: str | None = "s1") -> list[RunValue]:
    return [RunValue(value, start, f"{start}-{n}" if start else None) for n, value in enumerate(values)]


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_value_without_a_logarithm_is_an_error(value: float) -> None:
    with pytest.raises(ValueError, match=f"the value of a run is {value}"):
        RunValue(value)


def test_the_interval_of_one_start_is_students() -> None:
    found = summarise(runs(TIMES))
    logs = [math.log(time) for time in TIMES]
    expected = scipy.stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    assert found.value == pytest.approx(scipy.stats.gmean(TIMES))
    assert (found.low, found.high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))
    assert (found.scope, found.n_runs, found.n_starts) == (Scope.ONE, 5, 1)


def test_the_next_run_is_predicted_wider_than_the_value() -> None:
    found = summarise(runs(TIMES))
    assert found.low
    assert found.high
    assert found.next_run
    assert found.new_start is None
    # sqrt(s² (1 + 1/5)) against sqrt(s² / 5)
    assert math.log(found.next_run.high / found.value) == pytest.approx(6**0.5 * math.log(found.high / found.value))


@pytest.mark.parametrize("start", ["s1", None])
def test_one_run_has_no_interval(start: str | None) -> None:
    found = summarise(runs([0.2], start))
    assert (found.value, found.low, found.high, found.next_run, found.estimate) == (
        pytest.approx(0.2), None, None, None, None,
    )  # fmt: skip


def test_no_runs_are_an_error() -> None:
    with pytest.raises(ValueError, match="no runs"):
        summarise([])


def test_two_starts_tell_only_of_themselves() -> None:
    found = summarise(runs([1.0, 1.1, 0.9], "s1") + runs([2.0, 2.2, 1.8], "s2"))
    assert found.scope is Scope.THESE
    assert found.value == pytest.approx(scipy.stats.gmean([1.0, 1.1, 0.9, 2.0, 2.2, 1.8]))
    assert found.new_start is None
    # The starts differ by 2, their runs by 10 %: only the runs count.
    assert found.low
    assert found.high
    assert found.high / found.low < 1.3
    alone = summarise(runs([1.0], "s1") + runs([2.0], "s2"))
    assert (alone.low, alone.high) == (None, None)


def test_from_three_starts_on_starts_in_general_are_told_of() -> None:
    values = [0.8, 1.0, 1.3]
    found = summarise([run for n, value in enumerate(values) for run in runs([value, 1.02 * value], f"s{n}")])
    logs = [math.log(value) + math.log(1.02) / 2 for value in values]
    expected = scipy.stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))
    assert found.scope is Scope.STARTS
    assert found.new_start
    assert found.new_start.low < found.low
    assert found.high < found.new_start.high


def test_each_start_counts_once() -> None:
    assert summarise(runs([1.0] * 9, "s1") + runs([4.0], "s2")).value == pytest.approx(2.0)


def test_runs_of_unknown_starts_never_tell_of_starts_in_general() -> None:
    found = summarise([RunValue(time) for time in TIMES])
    assert (found.scope, found.n_starts, found.new_start) == (Scope.UNKNOWN, 0, None)
    assert found.low
    assert found.high


def test_an_unknown_start_may_be_one_of_the_known() -> None:
    found = summarise([run for start in ("s1", "s2", None) for run in runs(TIMES, start)])
    assert (found.scope, found.n_starts, found.new_start) == (Scope.UNKNOWN, 2, None)
    assert found.estimate
    assert found.estimate.df == 12


def test_equal_starts_have_an_interval_all_the_same() -> None:
    found = summarise([RunValue(12.0, f"s{n}") for n in range(3)])
    assert found.low
    assert found.low < 12


def test_equal_runs_have_an_interval_all_the_same() -> None:
    found = summarise(runs([12.0] * 5))
    assert found.low
    assert found.high
    assert found.next_run
    assert math.log(found.high / found.low) == pytest.approx(2 * 2.776 * RESOLUTION / 5**0.5, rel=1e-3)


def test_a_known_start_is_predicted_from_its_own_runs() -> None:
    both = runs([1.0, 1.1, 0.9], "s1") + runs([2.0, 2.2, 1.8], "s2")
    first, second = predict(both, "s1"), predict(both, "s2")
    shown = summarise(both).next_run
    assert first
    assert second
    assert shown
    assert first.high < second.low
    assert shown == second, "the start of the last run"
    assert predict(both, "s3") is None


def test_the_class_of_a_cell_tells_of_a_new_start() -> None:
    between = BetweenStarts(variance=0.04, df=8, n_starts=9, n_cells=1)
    narrow, wide = predict(runs(TIMES), "s1"), predict(runs(TIMES), "s2", between)
    assert narrow
    assert wide
    assert wide.low < narrow.low
    assert narrow.high < wide.high
    assert summarise(runs(TIMES), between).new_start == wide


def test_starts_are_pooled_over_cells() -> None:
    first = runs([1.0, 1.0], "s1") + runs([math.e, math.e], "s2")
    second = runs([1.0], "s3") + runs([1.0], "s4")
    found = pool_starts([first, second, runs(TIMES, "s5")])
    assert found == BetweenStarts(variance=pytest.approx(0.25), df=2, n_starts=4, n_cells=2)
    assert found.sd == pytest.approx(0.5)


def test_cells_on_the_same_starts_add_no_degrees_of_freedom() -> None:
    cell = runs([1.0], "s1") + runs([1.2], "s2") + runs([0.9], "s3")
    one, many = pool_starts([cell]), pool_starts([cell] * 5)
    assert one
    assert many
    assert (one.df, many.df) == (2, 2)
    assert one.variance == pytest.approx(many.variance)


def test_nothing_is_pooled_from_single_or_unknown_starts() -> None:
    assert pool_starts([runs(TIMES), runs(TIMES, None)]) is None
