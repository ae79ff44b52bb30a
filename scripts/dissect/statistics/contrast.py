"""What the runs of two cells tell of their ratio."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import fmean
from typing import NamedTuple

from dissect.statistics.between_starts import (
    BetweenStarts,
    are_many,
    estimate_of,
    estimate_starts,
    estimate_these,
    mean_of,
)
from dissect.statistics.log_estimate import LogEstimate, minus
from dissect.statistics.run_values import Groups, RunValue, by_start
from dissect.statistics.summarise import Scope, scope_of


class Basis(StrEnum):
    """What a comparison rests on, from the sharpest to the bluntest."""

    ROUNDS = "shared rounds"
    STARTS = "shared starts"
    BETWEEN = "no shared start"
    NOTHING = "not comparable"


@dataclass(frozen=True)
class Contrast:
    """The ratio right ÷ left and what it rests on."""

    ratio: float
    estimate: LogEstimate | None
    """The ratio on the log scale; None where the runs tell nothing of its error."""
    basis: Basis
    scope: Scope | None
    """What the ratio holds for; None without an estimate."""
    n_left: int
    n_right: int
    """Runs of each side, used or not."""
    used: "Used"
    """Of these what a ratio of shared rounds or starts rests on."""
    left_starts: int
    right_starts: int
    """Known starts of each side."""
    shared_starts: int
    shared_rounds: int
    reason: str
    """Why there is no estimate; empty if there is one."""
    between: BetweenStarts | None = None
    """How starts of the class differ, if the ratio rests on that."""

    @property
    def inverse(self) -> "Contrast":
        """That of left ÷ right."""
        used = self.used._replace(left=self.used.right, right=self.used.left)
        return replace(
            self, ratio=1 / self.ratio, estimate=self.estimate and self.estimate.inverse, used=used,
            n_left=self.n_right, n_right=self.n_left, left_starts=self.right_starts, right_starts=self.left_starts,
        )  # fmt: skip

    @property
    def words(self) -> str:
        """What the ratio rests on and holds for, or why nothing is known of its error."""
        if self.reason:
            return self.reason
        rests_on = self._rests_on()
        if self.between:
            df = f"{self.between.df:.3g} {_s(self.between.df, 'degree')} of freedom"
            return f"{rests_on}; starts of the class differ by {100 * self.between.sd:.2g} % ({df})"
        return rests_on if self.scope in (None, Scope.STARTS) else f"{rests_on}, {self.scope.value}"

    def _rests_on(self) -> str:
        left, right, starts = self.used
        if self.basis is Basis.ROUNDS:
            return f"{left} {_s(left, 'shared round')} of {starts} {_s(starts, 'start')}"
        if self.basis is Basis.STARTS:
            runs = "" if (left, right) == (self.n_left, self.n_right) else f"{left} and {right} runs of "
            return f"{runs}{starts} {_s(starts, 'shared start')}"
        return "all starts, as if none were shared" if self.shared_starts else self.basis.value


class Used(NamedTuple):
    """What a ratio rests on: runs of each side, or the rounds that both share, and their starts."""

    left: int = 0
    right: int = 0
    starts: int = 0


def _s(count: float, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"


def contrast(left: Sequence[RunValue], right: Sequence[RunValue], between: BetweenStarts | None = None) -> Contrast:
    """The ratio right ÷ left by the sharpest comparison that the two sides allow.

    - Rounds that both share: the differences of logarithms within rounds (paired t).
    - Starts that both share, without two shared rounds: the runs on these starts (Welch's t).
    - Otherwise the starts' variance counts in full: that of ``between``, else that of the sides' own starts. Those
      that both share then count as different ones, so what they have in common widens the interval.

    From three shared starts on the ratio is that of starts in general, otherwise that of these starts.

    Raises:
        ValueError: a side has no runs.
    """
    if not (left and right):
        raise ValueError("a side has no runs to compare")
    lefts, rights = by_start(left), by_start(right)
    shared = sorted(start for start in lefts if start is not None and start in rights)
    rounds = _paired(left, right)
    found = None
    if min(len(left), len(right)) > 1:
        found = _of_rounds(rounds) or _of_starts(lefts, rights, shared) or _of_others(lefts, rights, between)
    basis, estimate, scope, used, of_class = found or (Basis.NOTHING, None, None, Used(), None)
    return Contrast(
        ratio=(estimate or LogEstimate(mean_of(rights) - mean_of(lefts), 0, 0)).value,
        estimate=estimate,
        basis=basis,
        scope=scope,
        n_left=len(left),
        n_right=len(right),
        used=used,
        left_starts=len(lefts.keys() - {None}),
        right_starts=len(rights.keys() - {None}),
        shared_starts=len(shared),
        shared_rounds=sum(map(len, rounds.values())),
        reason="" if estimate else _reason(left, right, shared),
        between=of_class,
    )


class _Found(NamedTuple):
    basis: Basis
    estimate: LogEstimate
    scope: Scope
    used: Used = Used()
    between: BetweenStarts | None = None


def _paired(left: Sequence[RunValue], right: Sequence[RunValue]) -> Groups:
    """Start -> differences right - left of its shared rounds; several runs of a round and cell count as their mean."""
    lefts, rights = _by_round(left), _by_round(right)
    found: Groups = {}
    for start, name in lefts:
        if (start, name) in rights:
            found.setdefault(start, []).append(fmean(rights[start, name]) - fmean(lefts[start, name]))
    return found


def _by_round(runs: Sequence[RunValue]) -> dict[tuple[str, str], list[float]]:
    """Logarithms by start and round, of runs whose start and round are known."""
    found: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        if run.start is not None and run.round is not None:
            found.setdefault((run.start, run.round), []).append(math.log(run.value))
    return found


def _of_rounds(rounds: Groups) -> _Found | None:
    estimate = estimate_of(rounds) if rounds else None
    n = sum(map(len, rounds.values()))
    return _Found(Basis.ROUNDS, estimate, scope_of(rounds), Used(n, n, len(rounds))) if estimate else None


def _of_starts(lefts: Groups, rights: Groups, shared: Sequence[str]) -> _Found | None:
    if not shared:
        return None
    differences: Groups = {start: [fmean(rights[start]) - fmean(lefts[start])] for start in shared}
    of_left, of_right = (sum(len(side[start]) for start in shared) for side in (lefts, rights))
    used = Used(of_left, of_right, len(shared))
    if are_many(differences):
        return _Found(Basis.STARTS, estimate_starts(differences), Scope.STARTS, used)
    of, to = (estimate_these({start: side[start] for start in shared}) for side in (rights, lefts))
    return _Found(Basis.STARTS, minus(of, to), scope_of(differences), used) if of and to else None


def _of_others(lefts: Groups, rights: Groups, between: BetweenStarts | None) -> _Found | None:
    of, to = estimate_these(rights), estimate_these(lefts)
    if between and of and to:
        variances = [(between.variance * (1 / len(rights) + 1 / len(lefts)), between.df)]
        return _Found(Basis.BETWEEN, minus(of, to, *variances), Scope.STARTS, between=between)
    if are_many(lefts) and are_many(rights):
        return _Found(Basis.BETWEEN, minus(estimate_starts(rights), estimate_starts(lefts)), Scope.STARTS)
    return None


def _reason(left: Sequence[RunValue], right: Sequence[RunValue], shared: Sequence[str]) -> str:
    if min(len(left), len(right)) < 2:
        return "a side has one run; two are needed to know how runs differ"
    if shared:
        return "too few runs on the starts that both sides share"
    return "the sides share no start, and how starts differ is not known"
