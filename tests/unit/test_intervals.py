"""Unions and intersections of time."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dissect.ranks.intervals import exclusive, intersection, length, union, without

INTERVALS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda p: (float(p[0]), float(p[0] + p[1]))))


def ticks(intervals: list[tuple[float, float]]) -> set[int]:
    """The unit steps that whole-numbered intervals cover."""
    return {tick for start, end in intervals for tick in range(int(start), int(end))}


@given(INTERVALS)
def test_union_covers_the_same_time_once(intervals):
    merged = union(intervals)
    assert ticks(merged) == ticks(intervals)
    assert length(merged) == len(ticks(intervals))
    assert all(before[1] < after[0] for before, after in pairwise(merged))


@given(INTERVALS, INTERVALS)
def test_intersection_is_what_both_cover(one, other):
    assert length(intersection(union(one), union(other))) == len(ticks(one) & ticks(other))


@given(INTERVALS)
def test_without_is_the_rest(holes):
    left = without((5.0, 30.0), holes)
    assert ticks(list(left)) == set(range(5, 30)) - ticks(holes)
    assert length(left) == len(ticks(list(left)))


@given(st.lists(INTERVALS.map(union), max_size=6))
def test_exclusive_times_sum_to_the_union(owners):
    times = exclusive(owners)
    assert sum(times) == pytest.approx(length(union(piece for own in owners for piece in own)))
    assert all(time <= length(own) + 1e-9 for time, own in zip(times, owners, strict=True))


def test_exclusive_splits_an_instant_evenly():
    assert exclusive([[(0.0, 10.0)], [(4.0, 8.0)], [(8.0, 9.0), (20.0, 21.0)]]) == [4 + 2 + 0.5 + 1, 2, 0.5 + 1]
