"""How requests reach a server."""

from typing import Literal, Self

from pydantic import PositiveFloat, model_validator

from dissect.base.model import Model


class Arrival(Model):
    """All requests at once, as in the paper, or one after the other at a rate."""

    kind: Literal["burst", "poisson", "constant"]
    """``burst``: all at once; ``poisson``: random gaps; ``constant``: equal gaps."""
    rate: PositiveFloat | None = None
    """Requests per second; a burst has none."""

    @model_validator(mode="after")
    def _a_rate_unless_at_once(self) -> Self:
        if (self.rate is None) != (self.kind == "burst"):
            raise ValueError("a burst has no 'rate', every other arrival needs one")
        return self

    @property
    def label(self) -> str:
        """Such as ``burst`` or ``poisson4``."""
        return self.kind if self.rate is None else f"{self.kind}{self.rate:g}"
