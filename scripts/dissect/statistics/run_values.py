"""Values of runs, on the scale on which they are compared: the logarithm."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Groups = dict[str | None, list[float]]
"""Start -> natural logarithms of the values of its runs; None: runs whose start is not known."""


@dataclass(frozen=True, slots=True)
class RunValue:
    """One number of one run, with where and when the run was measured.

    Raises:
        ValueError: the value is not a finite number above 0: it has no logarithm.
    """

    value: float
    """Positive, in any unit: the median of the run's steps, its throughput, ..."""
    start: str | None = None
    """The boot of a machine, in one allocation, on which the run was measured; None: not known."""
    round: str | None = None
    """The pass over all cells, in random order, that the run belongs to; None: it was measured by itself."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and self.value > 0):
            raise ValueError(f"the value of a run is {self.value}; runs are compared by ratios of positive numbers")


def by_start(runs: Sequence[RunValue]) -> Groups:
    """Logarithms of the values by start; runs of unknown starts form one group, which no other cell shares."""
    groups: Groups = {}
    for run in runs:
        groups.setdefault(run.start, []).append(math.log(run.value))
    return groups
