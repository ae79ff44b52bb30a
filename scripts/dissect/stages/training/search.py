"""``batch: max``: the largest batch that does not run out of memory, from trials that each run in fresh processes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import linear_regression

from dissect.base.outcome import Status
from dissect.metrics.training import SearchOrigin, Trial

_NEARER = 1 - 0.5**0.5
"""Share of the expected limits on one side of the prediction up to which the second trial goes.

It halves what is likely, if limits are less likely the further they are from the prediction, and none is beyond its
interval.
"""
_GUESSES = 6
"""Trials in which guesses may be used; later trials double or halve, so that the search always ends."""
_LEAP = 8
"""Factor by which a guess may exceed the largest batch that passed."""


@dataclass(frozen=True)
class Bracket:
    """What the trials so far show of the limit: ``passed`` <= limit < ``ran_out``."""

    passed: int
    """Largest batch that passed; 0 before the first."""
    ran_out: int | None
    """Smallest batch that ran out of memory; None before the first."""
    stopped_by: Trial | None = None
    """A trial that neither passed nor ran out, which ends the search."""

    @property
    def is_found(self) -> bool:
        """Whether n passed and n + 1 ran out of memory, or 1 did."""
        return self.ran_out == self.passed + 1


def bracket(trials: Sequence[Trial]) -> Bracket:
    """The bracket that these trials give."""
    passed = max((trial.batch for trial in trials if trial.status is Status.OK), default=0)
    ran_out = min((trial.batch for trial in trials if trial.status is Status.OOM), default=None)
    other = next((trial for trial in trials if trial.status not in (Status.OK, Status.OOM)), None)
    return Bracket(passed, ran_out, other)


@dataclass(frozen=True)
class SearchStart:
    """Where a search starts. It costs or saves trials, and changes no result."""

    batch: int = 1
    origin: SearchOrigin = "smallest"
    expected: range = range(0)
    """Limits that are expected, in the interval of a prediction; empty without one."""


def search_max(try_batch: Callable[[int], Trial], start: SearchStart, memory_bytes: int) -> list[Trial]:
    """Try batches until the limit is bracketed or a trial ends with another outcome; returns all trials in order.

    Memory is taken to grow with the batch, nothing else is: ``start`` and the memory that passing trials used only pick
    what is tried next.
    """
    trials: list[Trial] = []
    while not (known := bracket(trials)).is_found and known.stopped_by is None:
        trials.append(try_batch(next_batch(trials, start, memory_bytes)))
    return trials


def next_batch(trials: Sequence[Trial], start: SearchStart, memory_bytes: int) -> int:
    """The batch to try next: strictly between the bracket's ends."""
    if not trials:
        return max(1, start.batch)
    known = bracket(trials)
    if start.expected and (expected := _as_expected(known, start)):
        return expected
    guess = extrapolated_limit(trials, memory_bytes) if len(trials) < _GUESSES else None
    if guess is not None and known.passed <= guess < (known.ran_out or guess + 1):  # else the trials disproved it
        return max(min(guess, _LEAP * known.passed), known.passed + 1)
    if known.ran_out is not None:
        return (known.passed + known.ran_out) // 2
    return known.passed + 1 if len(trials) == 1 else 2 * known.passed  # the start may have been the limit itself


def _as_expected(known: Bracket, start: SearchStart) -> int | None:
    """The middle of the expected limits that are left, and in the end what proves the first or last of them.

    Below all of them where nothing passed, further with each trial; None once the trials have disproved them otherwise.
    """
    passes, runs_out = max(known.passed, start.expected[0]), start.expected[-1] + 1
    if known.ran_out is not None:
        runs_out = min(known.ran_out, runs_out)
    if passes >= runs_out:
        return None if known.passed else max(1, runs_out - 2 * max(1, start.batch - runs_out))
    if (left := runs_out - passes) == 1:
        return passes if known.passed < passes else runs_out
    near = max(1, round(_NEARER * left))
    if (known.passed, known.ran_out) == (start.batch, None):
        return passes + near
    return runs_out - near if (known.passed, known.ran_out) == (0, start.batch) else (passes + runs_out) // 2


def count_trials(limit: int, start: SearchStart) -> int:
    """Number of trials that a search for this limit takes, as long as memory tells nothing."""

    def try_batch(batch: int) -> Trial:
        return Trial(batch=batch, status=Status.OK if batch <= limit else Status.OOM)

    return len(search_max(try_batch, start, 0))


def extrapolated_limit(trials: Sequence[Trial], memory_bytes: int) -> int | None:
    """Largest batch that fits if memory is linear in the batch; None before two trials passed."""
    peaks = {t.batch: t.peak_memory_bytes for t in trials if t.status is Status.OK and t.peak_memory_bytes}
    if len(peaks) < 2:
        return None
    slope, intercept = linear_regression(list(peaks.keys()), list(peaks.values()))
    return None if slope <= 0 else max(0, int((memory_bytes - intercept) / slope))
