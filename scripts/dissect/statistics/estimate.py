"""A measured quantity with its uncertainty."""

from pydantic import PositiveInt

from dissect.base.model import Model


class Estimate(Model):
    """The median of ``n`` samples with its distribution-free 95 % interval, and their mean."""

    median: float
    low: float
    high: float
    mean: float
    n: PositiveInt

    @property
    def relative_half_width(self) -> float:
        """Half width of the interval as a share of the median."""
        return (self.high - self.low) / 2 / self.median
