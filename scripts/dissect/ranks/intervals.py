"""Unions and intersections of intervals of time, so that overlap is never counted twice. All functions are pure."""

from collections.abc import Iterable, Sequence

Interval = tuple[float, float]
"""(start, end), start <= end, in any one unit."""


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Disjoint intervals, ascending, that cover the same points in time; empty intervals are dropped."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if end <= start:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def length(disjoint: Iterable[Interval]) -> float:
    """Total time of disjoint intervals, in their unit."""
    return sum(end - start for start, end in disjoint)


def intersection(one: Sequence[Interval], other: Sequence[Interval]) -> list[Interval]:
    """The intersection of two unions."""
    shared: list[Interval] = []
    i = j = 0
    while i < len(one) and j < len(other):
        start, end = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if start < end:
            shared.append((start, end))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return shared


def without(whole: Interval, holes: Iterable[Interval]) -> tuple[Interval, ...]:
    """The parts of an interval that none of the others covers."""
    left, cursor = [], whole[0]
    for start, end in intersection(union(holes), [whole]):
        if start > cursor:
            left.append((cursor, start))
        cursor = end
    if cursor < whole[1]:
        left.append((cursor, whole[1]))
    return tuple(left)


def exclusive(owners: Sequence[Sequence[Interval]]) -> list[float]:
    """Time of each owner, with every instant that several share split evenly among them.

    The intervals of one owner must not overlap. The times sum to the length of the union of all.
    """
    owned = [(owner, interval) for owner, intervals in enumerate(owners) for interval in intervals]
    edges = sorted((at, opens, owner) for owner, (start, end) in owned for at, opens in ((start, True), (end, False)))
    times = [0.0] * len(owners)
    active: set[int] = set()
    before = 0.0
    for at, opens, owner in edges:
        for each in active:
            times[each] += (at - before) / len(active)
        before = at
        (active.add if opens else active.discard)(owner)
    return times
