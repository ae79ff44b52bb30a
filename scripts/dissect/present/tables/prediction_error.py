"""Predicted numbers beside measured ones: relative errors, and whether the intervals have what was measured."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

from dissect.present.tables.marks import NOT_AVAILABLE
from dissect.statistics.numbers import Number


@dataclass(frozen=True)
class PredictedNumber:
    """A predicted number beside the measured one; None for what there is not."""

    measured: float | None
    predicted: Number | None

    @property
    def error(self) -> float | None:
        """Relative error of the prediction; None where a side is missing."""
        return self.predicted.value / self.measured - 1 if self.predicted and self.measured else None

    @property
    def covered(self) -> bool | None:
        """Whether the interval has the measured number; None where a side is missing."""
        if not self.measured or self.predicted is None or self.predicted.low is None or self.predicted.high is None:
            return None
        return self.predicted.low <= self.measured <= self.predicted.high

    def columns(self, *names: str) -> dict[str, Any]:
        """By these names: measured, predicted, lower end, upper end, error, whether the interval has it."""
        found = self.predicted
        ends = (found.value, found.low, found.high) if found else (None, None, None)
        return dict(zip(names, (self.measured, *ends, self.error, self.covered), strict=False))


def errors_and_coverage(compared: Iterable[PredictedNumber], decimals: int = 1) -> list[str]:
    """Median and largest error without sign, in percent, and how many intervals have the measured number."""
    known = [each for each in compared if each.error is not None]
    if not known:
        return [NOT_AVAILABLE, NOT_AVAILABLE, "0 of 0"]
    errors = [abs(each.error or 0.0) for each in known]
    covered = sum(bool(each.covered) for each in known)
    return [*(f"{100 * error:.{decimals}f}" for error in (median(errors), max(errors))), f"{covered} of {len(known)}"]
