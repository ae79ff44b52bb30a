"""A measured quantity with its uncertainty."""

from pydantic import PositiveFloat, PositiveInt

from dissect.base.model import Model


class Estimate(Model):
    """The median of ``n`` samples with its distribution-free 95 % interval, and their mean.

    Times and rates, so none is zero.
    """

    median: PositiveFloat
    low: PositiveFloat
    high: PositiveFloat
    mean: PositiveFloat
    n: PositiveInt

    @property
    def relative_half_width(self) -> float:
        """Half width of the interval as a share of the median."""
        return (self.high - self.low) / 2 / self.median
