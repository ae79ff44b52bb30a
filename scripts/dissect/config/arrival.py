"""The arrival process of requests at a server."""

from typing import Literal, Self

from pydantic import PositiveFloat, model_validator

from dissect.base.model import Model


class Arrival(Model):
    """The arrival process of requests: all at once, as in the paper, or one after the other at a rate."""

    kind: Literal["burst", "poisson", "constant"]
    """Kind of arrival: ``burst`` is all at once, ``poisson`` has random gaps, ``constant`` has equal gaps."""
    rate: PositiveFloat | None = None
    """Mean rate in requests per second; not for ``burst``."""

    @model_validator(mode="after")
    def _a_rate_unless_at_once(self) -> Self:
        if (self.rate is None) != (self.kind == "burst"):
            raise ValueError("'rate' is required for 'poisson' and 'constant', and not allowed for 'burst'")
        return self

    @property
    def label(self) -> str:
        """Name of the arrival in cell ids, such as ``burst`` or ``poisson4``."""
        return self.kind if self.rate is None else f"{self.kind}{self.rate:g}"
