"""Verdicts on two cells and on bounds: what they rest on, and that they agree with the intervals shown."""

import math
import random
from collections.abc import Sequence
from dataclasses import astuple, replace

import pytest
import scipy
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dissect.statistics.between_starts import BetweenStarts
from dissect.statistics.bounds import Bounded, check_all
from dissect.statistics.contrast import Basis, contrast
from dissect.statistics.judge import Judgement, RatioVerdict, RunPair, judge, judge_all
from dissect.statistics.log_estimate import LogEstimate
from dissect.statistics.numbers import Verdict
from dissect.statistics.run_values import RunValue
from dissect.statistics.summarise import Scope

LEFT = [0.21, 0.2, 0.23, 0.19, 0.22]
RIGHT = [0.25, 0.25, 0.26, 0.23, 0.27]
KNOWN = BetweenStarts(variance=0.03, df=8, n_starts=9, n_cells=1)


def runs(values: Sequence[float], start: str | None = "s1", rounds: str | None = None) -> list[RunValue]:
    return [RunValue(value, start, f"{rounds}{n}" if rounds else None) for n, value in enumerate(values)]


def logs(values: Sequence[float]) -> list[float]:
    return [math.log(value) for value in values]


def drawn(ratio: float, sd: float, seed: int, n: int = 5) -> RunPair:
    chance = random.Random(seed)
    left, right = ([math.exp(chance.gauss(0, sd)) for _ in range(n)] for _ in range(2))
    return RunPair(runs(left, "s", "r"), runs([ratio * value for value in right], "s", "r"))


def says(low: float, high: float, margin: float) -> RatioVerdict:
    """What an interval says by itself."""
    if 1 / (1 + margin) <= low and high <= 1 + margin:
        return RatioVerdict.SAME
    if low > 1:
        return RatioVerdict.ABOVE
    return RatioVerdict.BELOW if high < 1 else RatioVerdict.UNCLEAR


def check_agreement(found: Judgement) -> None:
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.ratio <= found.high
    assert found.verdict is says(found.low, found.high, found.margin)


def test_shared_rounds_are_paired() -> None:
    found = judge(runs(LEFT, rounds="r"), runs(RIGHT, rounds="r"))
    expected = scipy.stats.ttest_rel(logs(RIGHT), logs(LEFT))
    ends = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((math.exp(ends.low), math.exp(ends.high)))
    assert found.p_different == pytest.approx(expected.pvalue)
    assert (found.verdict, found.contrast.basis, found.contrast.scope) == (RatioVerdict.ABOVE, Basis.ROUNDS, Scope.ONE)
    assert (found.contrast.shared_starts, found.contrast.shared_rounds) == (1, 5)
    assert found.confidence == 0.95


def test_runs_are_matched_by_round_not_by_order() -> None:
    left, right = runs(LEFT, rounds="r"), runs(RIGHT, rounds="r")
    assert judge(left, right[::-1]) == judge(left, right)


def test_a_shared_start_without_shared_rounds_is_two_samples() -> None:
    found = judge(runs(LEFT), runs(RIGHT[:4]))
    ends = scipy.stats.ttest_ind(logs(RIGHT[:4]), logs(LEFT), equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((math.exp(ends.low), math.exp(ends.high)))
    assert found.contrast.basis is Basis.STARTS


def test_two_unpaired_runs_have_one_degree_of_freedom() -> None:
    found = judge(runs(LEFT), runs(RIGHT[:2])).contrast.estimate
    assert found
    assert found.df == 1


def test_rounds_of_two_starts_are_not_one_round() -> None:
    found = judge(runs(LEFT, "s1", "r") + runs(LEFT, "s2"), runs(RIGHT, "s1") + runs(RIGHT, "s2", "r"))
    assert (found.contrast.shared_starts, found.contrast.shared_rounds) == (2, 0)
    assert (found.contrast.basis, found.contrast.scope) == (Basis.STARTS, Scope.THESE)
    assert found.contrast.words == "2 shared starts, these starts only"


def test_the_words_tell_the_runs_of_the_shared_starts_alone_and_of_the_left_side_first() -> None:
    found = judge(runs(LEFT) + runs(LEFT, "s2"), runs(RIGHT[:4]) + runs(RIGHT, "s3")).contrast
    assert (found.n_left, found.n_right, found.left_starts, found.right_starts) == (10, 9, 2, 2)
    assert found.words == "5 and 4 runs of 1 shared start, this start only"
    assert found.inverse.words == "4 and 5 runs of 1 shared start, this start only"
    turned = contrast(runs(RIGHT[:4]) + runs(RIGHT, "s3"), runs(LEFT) + runs(LEFT, "s2"))
    assert found.inverse.ratio == pytest.approx(turned.ratio)
    assert astuple(found.inverse.estimate) == pytest.approx(astuple(turned.estimate))
    assert replace(found.inverse, ratio=0, estimate=None) == replace(turned, ratio=0, estimate=None)


def test_shared_starts_with_too_few_runs_count_as_different_ones() -> None:
    left = [RunValue(value, f"s{n}") for n, value in enumerate(LEFT[:3])] + runs(LEFT)
    right = [RunValue(value, f"s{n}") for n, value in enumerate(RIGHT[:2])] + [RunValue(RIGHT[2], "other")]
    found = judge(left, right)
    assert found.contrast.basis is Basis.BETWEEN
    assert found.contrast.words == "all starts, as if none were shared"


def test_only_what_is_shared_counts() -> None:
    alone = judge(runs(LEFT, rounds="r"), runs(RIGHT, rounds="r"))
    more = judge(runs(LEFT, rounds="r") + runs([9.0], "s2"), runs(RIGHT, rounds="r") + runs([1.0], "s3"))
    assert (more.ratio, more.low, more.high) == (alone.ratio, alone.low, alone.high)
    assert (more.contrast.n_left, more.contrast.left_starts) == (6, 2)
    assert more.contrast.words == alone.contrast.words == "5 shared rounds of 1 start, this start only"


def test_starts_shared_by_both_tell_of_starts_in_general_from_three_on() -> None:
    left = [run for n in range(3) for run in runs(LEFT, f"s{n}", "r")]
    right = [run for n in range(3) for run in runs([value * (1.1 + n / 10) for value in LEFT], f"s{n}", "r")]
    for found in (judge(left, right), judge(left, [RunValue(run.value, run.start) for run in right])):
        ends = scipy.stats.ttest_1samp(logs([1.1, 1.2, 1.3]), 0).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((math.exp(ends.low), math.exp(ends.high)))
        assert found.contrast.scope is Scope.STARTS


@pytest.mark.parametrize("start", ["s2", None])
def test_without_a_shared_start_the_starts_count_in_full(start: str | None) -> None:
    left, right = runs(LEFT), runs(RIGHT, start)
    alone = judge(left, right)
    assert (alone.verdict, alone.contrast.basis, alone.low) == (RatioVerdict.UNCLEAR, Basis.NOTHING, None)
    assert "share no start" in alone.contrast.reason
    found = judge(left, right, between=KNOWN)
    assert found.contrast.basis is Basis.BETWEEN
    assert found.contrast.estimate
    assert found.contrast.estimate.se**2 > 2 * KNOWN.variance
    assert found.contrast.words == "no shared start; starts of the class differ by 17 % (8 degrees of freedom)"
    assert found.verdict is RatioVerdict.UNCLEAR


def test_unknown_starts_are_shared_by_nobody() -> None:
    assert judge(runs(LEFT, None, "r"), runs(RIGHT, None, "r")).contrast.basis is Basis.NOTHING


def test_many_starts_of_each_side_need_no_class() -> None:
    left = [RunValue(value, f"l{n}") for n, value in enumerate(LEFT)]
    found = judge(left, [RunValue(value, f"r{n}") for n, value in enumerate(RIGHT)])
    ends = scipy.stats.ttest_ind(logs(RIGHT), logs(LEFT), equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((math.exp(ends.low), math.exp(ends.high)))
    assert (found.contrast.basis, found.contrast.scope) == (Basis.BETWEEN, Scope.STARTS)


@pytest.mark.parametrize("right", [RIGHT, RIGHT[:1]])
def test_one_run_decides_nothing(right: Sequence[float]) -> None:
    found = judge(runs(LEFT[:1], rounds="r"), runs(right, rounds="r"), between=KNOWN)
    assert (found.verdict, found.low, found.high, found.detectable) == (RatioVerdict.UNCLEAR, None, None, None)
    assert "one run" in found.contrast.reason


def test_a_side_without_runs_is_an_error() -> None:
    with pytest.raises(ValueError, match="no runs"):
        judge([], runs(RIGHT))
    with pytest.raises(ValueError, match="margin is 0"):
        judge(runs(LEFT), runs(RIGHT), margin=0)


def test_numbers_that_never_vary_are_decided_with_an_interval() -> None:
    same, more = judge(runs([8.0] * 3), runs([8.0] * 3)), judge(runs([8.0] * 3), runs([10.0] * 3))
    assert (same.verdict, more.verdict) == (RatioVerdict.SAME, RatioVerdict.ABOVE)
    for found in (same, more):
        assert found.low
        assert found.high
        assert found.low < found.ratio < found.high


def test_the_detectable_ratio_is_found_with_80_percent() -> None:
    sd = 0.03
    ratio = LogEstimate(0.0, sd * (2 / 5) ** 0.5, 4).detectable()
    hits = [judge(*drawn(ratio, sd, seed)[:2]).p_different or 1 for seed in range(2000)]
    assert 0.77 <= sum(p <= 0.05 for p in hits) / 2000 <= 0.83


@pytest.mark.parametrize("level", [0.05 / 78, 0.05 / 79, 0.05 / 100_000])
def test_the_detectable_ratio_of_large_families_of_two_runs(level: float) -> None:
    """With one degree of freedom and a critical value from 993 on, where the noncentral t hardly has a normal part."""
    found = LogEstimate(0.0, 1e-6, 1).detectable(level)
    critical = scipy.stats.t.isf(level / 2, 1)
    assert math.log(found) / 1e-6 == pytest.approx(critical * scipy.stats.chi2.ppf(0.8, 1) ** 0.5, rel=2e-3)


@settings(deadline=None)
@example([(1.0, 0.125, 0)] * 6 + [(2.0, 0.125, 0), (1.0234375, 0.015625, 33)])  # within the margin at one level only
@given(st.lists(st.tuples(st.floats(0.5, 2), st.floats(0.001, 0.2), st.integers(0, 99)), min_size=1, max_size=12))
def test_verdicts_are_what_the_intervals_say(cases: list[tuple[float, float, int]]) -> None:
    for found in judge_all([drawn(*case) for case in cases]):
        check_agreement(found)
    checked = check_all([Bounded(right, left, 0.9, 1.1) for left, right, _ in (drawn(*case) for case in cases)])
    for one in checked:
        assert one.low is not None
        assert one.high is not None
        inside, outside = one.low >= 0.9 and one.high <= 1.1, one.high < 0.9 or one.low > 1.1
        assert one.verdict is (Verdict.HOLDS if inside else Verdict.FAILS if outside else Verdict.UNCLEAR)


def test_a_family_is_stricter_than_each_of_its_ratios() -> None:
    alone = judge(*drawn(1.08, 0.04, seed=5)[:2])
    assert alone.verdict is RatioVerdict.ABOVE
    family = judge_all([drawn(1.08, 0.04, seed=5), *(drawn(1.0, 0.2, seed) for seed in range(30))])
    assert family[0].verdict is RatioVerdict.UNCLEAR
    assert family[0].confidence == pytest.approx(1 - 0.05 / 31)
    assert family[0].p_different == alone.p_different


def test_a_swapped_pair_has_the_swapped_verdict() -> None:
    there, back = judge(runs(LEFT), runs(RIGHT)), judge(runs(RIGHT), runs(LEFT))
    assert back.verdict is RatioVerdict.BELOW
    assert there.low
    assert back.high
    assert back.high == pytest.approx(1 / there.low)


@pytest.mark.parametrize(
    ("least", "most", "verdict"),
    [
        (0.15, 0.3, Verdict.HOLDS),
        (None, 0.3, Verdict.HOLDS),
        (0.0, None, Verdict.HOLDS),
        (0.21, 0.3, Verdict.UNCLEAR),
        (0.3, None, Verdict.FAILS),
        (None, 0.15, Verdict.FAILS),
    ],
)
def test_a_value_within_bounds(least: float | None, most: float | None, verdict: Verdict) -> None:
    [found] = check_all([Bounded(runs(LEFT), least=least, most=most)])
    assert found.verdict is verdict
    assert found.value == pytest.approx(scipy.stats.gmean(LEFT))


def test_a_bound_decides_nothing_without_an_interval() -> None:
    found, ratio = check_all([Bounded(runs([5.0]), most=1.0), Bounded(runs(RIGHT), runs(LEFT, "s2"), most=1.0)])
    assert (found.verdict, found.value, found.low, found.confidence) == (
        Verdict.UNCLEAR,
        pytest.approx(5.0),
        None,
        None,
    )
    assert ratio.verdict is Verdict.UNCLEAR


def two_looks(first: float, second: float | None, noise: float = 0.15, seed: int = 3) -> tuple[RunPair, RunPair | None]:
    return drawn(first, noise, seed), drawn(second, 0.002, seed + 1) if second else None


@pytest.mark.parametrize(
    ("first", "second", "verdict", "again"),
    [
        (1.0, 1.2, RatioVerdict.ABOVE, True),
        (1.0, 0.8, RatioVerdict.BELOW, True),
        (1.0, 1.001, RatioVerdict.SAME, True),
        (9.0, 0.8, RatioVerdict.ABOVE, False),  # what the first tells stands
        (1.0, None, RatioVerdict.UNCLEAR, False),
    ],
)
def test_the_second_look_decides_where_the_first_cannot_tell(
    first: float, second: float | None, verdict: RatioVerdict, again: bool
) -> None:
    one, other = two_looks(first, second)
    [found] = judge_all([one], second=[other])
    assert found.verdict is verdict
    assert (found.before is not None) is again
    check_agreement(found)
    if found.before:
        assert found.before.verdict is RatioVerdict.UNCLEAR
        assert found.before.ratio == pytest.approx(judge(*one[:2]).ratio)


def test_a_second_look_that_cannot_tell_either_leaves_the_first() -> None:
    [found] = judge_all([drawn(1.0, 0.15, 3)], second=[drawn(1.0, 0.15, 4)])
    assert (found.verdict, found.before) == (RatioVerdict.UNCLEAR, None)


def test_two_looks_share_one_error_rate() -> None:
    """Four fifths and one fifth of 5 %; without any second look the first has all of it."""
    [alone] = judge_all([drawn(1.0, 0.15, 3)])
    assert alone.confidence == pytest.approx(0.95)
    found = judge_all([drawn(1.0, 0.15, 3), drawn(1.0, 0.15, 5)], second=[drawn(1.2, 0.002, 4), None])
    assert [one.confidence for one in found] == pytest.approx([1 - 0.01, 1 - 0.04 / 2])


def test_a_second_look_that_nobody_needs_makes_no_other_more_likely() -> None:
    """Twenty pairs that the first look tells, and one that it cannot tell: its second look is one of 21."""
    second = drawn(1.1, 0.004, 7)
    clear = [drawn(9.0, 0.01, seed) for seed in range(20)]
    found = judge_all([*clear, drawn(1.0, 0.15, 3)], second=[*[drawn(1.3, 0.002, 9)] * 20, second])
    assert all(one.before is None for one in found[:20])
    assert found[20].before
    assert found[20].confidence == pytest.approx(1 - 0.01 / 21)


def test_bounds_have_a_second_look() -> None:
    def asked(ratio: float, noise: float) -> Bounded:
        left, right, _ = drawn(ratio, noise, 3)
        return Bounded(right, left, 1.1, 1.3)

    [found] = check_all([asked(1.2, 0.15)], [asked(1.2, 0.002)])
    assert (found.verdict, found.before and found.before.verdict) == (Verdict.HOLDS, Verdict.UNCLEAR)
    [stands] = check_all([asked(9.0, 0.15)], [asked(1.2, 0.002)])
    assert (stands.verdict, stands.before) == (Verdict.FAILS, None)
