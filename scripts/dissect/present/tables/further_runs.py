"""Where further runs of a cell are expected, in words: what whoever plans with a number needs beside its interval."""

from collections.abc import Callable

from dissect.statistics.log_estimate import Interval
from dissect.statistics.summarise import Summary

FURTHER_RUNS = "95 % of further runs lie within"
"""Header of a column of prediction intervals."""


def further_runs(found: Summary, show: Callable[[float], str]) -> str:
    """The prediction intervals of a cell with the start that each is for; empty without an interval."""
    places = {"on the last start": found.next_run, "on another start": found.new_start}
    return "; ".join(f"{_ends(interval, show)} {place}" for place, interval in places.items() if interval)


def _ends(interval: Interval, show: Callable[[float], str]) -> str:
    return f"{show(interval.low)}–{show(interval.high)}"
