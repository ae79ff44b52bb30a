"""Shares of trials that succeed, such as runs inside an interval, with intervals that allow for starts that differ."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dissect.statistics import lazy_scipy as scipy
from dissect.statistics.log_estimate import LEVEL


@dataclass(frozen=True)
class StartTrial:
    """One trial and the start on which it was made."""

    start: str | None
    success: bool


@dataclass(frozen=True)
class ShareOfTrials:
    """How many of some trials succeeded; without trials it has no interval."""

    successes: int
    trials: int
    starts: int
    """With one start, trials count as independent and the interval holds for this start only."""
    low: float | None
    """Lower end of the 95 % interval of the share."""
    high: float | None
    """Upper end of the 95 % interval of the share."""


def share_of(trials: Sequence[StartTrial], together: bool = False) -> ShareOfTrials:
    """The share of trials that succeeded, with its interval clustered by start.

    Clopper and Pearson's interval (1934). Of several starts it has the effective number of trials of Korn and Graubard
    (1998): trials of one start resemble each other, and few starts tell little of others. Where all trials succeed, or
    none does, the data cannot tell how much they resemble each other. They count as independent then, or each start
    counts as one trial if those of a start are expected to succeed or fail ``together``.
    """
    if not trials:
        return ShareOfTrials(0, 0, 0, None, None)
    by_start: dict[str | None, list[bool]] = {}
    for trial in trials:
        by_start.setdefault(trial.start, []).append(trial.success)
    groups = [(sum(of_start), len(of_start)) for of_start in by_start.values()]
    successes = sum(trial.success for trial in trials)
    low, high = binomial_ends(successes / len(trials), _effective(groups, together))
    return ShareOfTrials(successes, len(trials), len(groups), low, high)


def ends_over_runs(runs: Sequence[tuple[float, int]]) -> tuple[float, float] | None:
    """95 % interval of a share, from (successes, trials) of each run, in each of which trials depend on each other.

    As of ``share_of``, with runs in place of starts. None where the runs do not tell how far their trials depend on
    each other: of one run, or where all trials succeed or none does.
    """
    share = sum(successes for successes, _ in runs) / sum(trials for _, trials in runs)
    if len(runs) == 1 or share in (0, 1):
        return None
    return binomial_ends(share, _effective(runs, together=False))


def _effective(groups: Sequence[tuple[float, int]], together: bool) -> float:
    """Number of independent trials that tell as much about the share in other starts, from (successes, trials)."""
    n, starts = sum(trials for _, trials in groups), len(groups)
    share = sum(successes for successes, _ in groups) / n
    if starts == 1:
        return n
    if share in (0, 1) and together:
        return starts
    squares = math.fsum((successes - share * trials) ** 2 for successes, trials in groups)
    variance = starts / (starts - 1) * squares / n**2
    independent = min(n, share * (1 - share) / variance) if variance else n
    few = scipy.special.stdtrit(n - 1, 1 - LEVEL / 2) / scipy.special.stdtrit(starts - 1, 1 - LEVEL / 2)
    # Starts are independent of each other, however alike their trials are.
    return float(max(starts, independent * few**2))


def binomial_ends(share: float, n: float) -> tuple[float, float]:
    """Clopper and Pearson's interval, by the quantiles of the beta distribution, for any positive number of trials."""
    successes, failures = share * n, (1 - share) * n
    low = scipy.special.betaincinv(successes, failures + 1, LEVEL / 2) if share > 0 else 0.0
    high = scipy.special.betaincinv(successes + 1, failures, 1 - LEVEL / 2) if share < 1 else 1.0
    return float(low), float(high)
