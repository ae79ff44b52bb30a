"""The value of a cell from its runs, with the interval of the value and those for runs to come."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from dissect.statistics.between_starts import (
    BetweenStarts,
    are_many,
    estimate_of,
    mean_of,
    share_of_runs,
    variance_of_starts,
    variance_within,
)
from dissect.statistics.log_estimate import Interval, LogEstimate, total
from dissect.statistics.run_values import Groups, RunValue, by_start


class Scope(StrEnum):
    """What an interval holds for."""

    ONE = "this start only"
    THESE = "these starts only"
    STARTS = "starts"
    """Starts in general: the machines, boots and allocations of which those seen are a sample."""
    UNKNOWN = "start not known"


@dataclass(frozen=True)
class Summary:
    """The value of a cell from its runs; an interval needs two runs on one start, or three known starts."""

    value: float
    """Geometric mean of the runs; of several starts, that of their means, so each start counts once."""
    low: float | None
    """Lower end of the value's 95 % interval."""
    high: float | None
    """Upper end of the value's 95 % interval."""
    scope: Scope
    n_runs: int
    n_starts: int
    """Known starts."""
    next_run: Interval | None
    """95 % prediction interval of a further run on the start of the last run."""
    new_start: Interval | None
    """95 % prediction interval of a run on another start; None where nothing is known of how starts differ."""
    estimate: LogEstimate | None
    """The value on the log scale, for further questions; None without an interval."""

    @property
    def words(self) -> str:
        """What the interval holds for, or why there is none."""
        if self.estimate:
            return self.scope.value
        return "one run: no interval" if self.n_runs == 1 else "one run on each of two starts: no interval"


def summarise(runs: Sequence[RunValue], between: BetweenStarts | None = None) -> Summary:
    """Value of a cell with intervals, from its runs in the order of measurement.

    ``between`` tells how starts of the cell's class differ; it serves the prediction for a new start only.
    Of one or two starts the interval comes from the variance between runs of a start and holds for these starts only;
    from three known starts on it comes from the variance between starts and holds for starts in general.

    Raises:
        ValueError: there are no runs.
    """
    if not runs:
        raise ValueError("no runs to summarise")
    groups = by_start(runs)
    estimate = estimate_of(groups)
    interval = estimate.interval() if estimate else None
    return Summary(
        value=LogEstimate(mean_of(groups), 0, 0).value,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        scope=scope_of(groups),
        n_runs=len(runs),
        n_starts=len(groups.keys() - {None}),
        next_run=predict(runs, runs[-1].start),
        new_start=_predict_new(groups, between),
        estimate=estimate,
    )


def predict(runs: Sequence[RunValue], start: str | None, between: BetweenStarts | None = None) -> Interval | None:
    """95 % prediction interval of the next run on a start, which may be one that no run was measured on.

    None where the runs cannot tell: fewer than two on any start, or a new start of which nothing is known.
    """
    groups = by_start(runs)
    if start not in groups:
        return _predict_new(groups, between)
    within, df = variance_within(groups)
    logs = groups[start]
    return LogEstimate(fmean(logs), *total([(within * (1 + 1 / len(logs)), df)])).interval() if df else None


def scope_of(groups: Groups) -> Scope:
    """What an interval from these starts holds for."""
    if None in groups:
        return Scope.UNKNOWN
    if are_many(groups):
        return Scope.STARTS
    return Scope.ONE if len(groups) == 1 else Scope.THESE


def _predict_new(groups: Groups, between: BetweenStarts | None) -> Interval | None:
    """Prediction interval for a start that was not seen: from the class, else from the cell's own starts."""
    within, df = variance_within(groups)
    starts = len(groups)
    if between and df:
        terms = [(between.variance * (1 + 1 / starts), between.df), (within * (1 + share_of_runs(groups)), float(df))]
    elif are_many(groups):
        # The variance of the starts' means already has the mean part of the runs' variance.
        terms = [(variance_of_starts(groups) * (1 + 1 / starts), starts - 1.0)]
        terms += [(within * (1 - starts * share_of_runs(groups)), float(df))] if df else []
    else:
        return None
    return LogEstimate(mean_of(groups), *total(terms)).interval()
