"""The arrival process of requests at a server, and the search for the rate that holds."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from dissect.base.model import Model, added

MOST_REQUESTS = 1_000_000
"""Most requests of a load: each is kept in memory, by its prediction too."""
Requests = Annotated[int, Field(gt=0, le=MOST_REQUESTS)]


class RateSearch(Model):
    """Search for the largest rate at which requests keep an objective, by bisection on one warm server."""

    ttft_s: PositiveFloat = 2.0
    """Longest time to the first token of a request that keeps the objective, in seconds."""
    tpot_s: PositiveFloat = 0.2
    """Longest time per output token of a request that keeps the objective, in seconds."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.99
    """Share of the requests that must keep the objective for a rate to hold."""
    lowest: PositiveFloat = 1.0
    """Lower end of the search, in requests per second."""
    highest: PositiveFloat = 64.0
    """Upper end of the search, in requests per second."""
    within: Annotated[float, Field(gt=0)] = 0.1
    """Largest distance, as a share, between a rate that holds and one that does not; the search ends with it."""
    probes: PositiveInt = 6
    """Most rates that are tried."""
    probe_s: PositiveFloat = 60.0
    """Shortest time over which the requests of one rate arrive, in seconds; ``requests`` is their least number."""

    @model_validator(mode="after")
    def _ends_are_apart(self) -> Self:
        if self.highest <= self.lowest * (1 + self.within):
            raise ValueError("'highest' is not above 'lowest' by more than 'within', so there is nothing to search")
        if (most := self.highest * self.probe_s) > MOST_REQUESTS:
            raise ValueError(f"'highest' times 'probe_s' is {most:g} requests, more than {MOST_REQUESTS}")
        return self


class Arrival(Model):
    """The arrival process of requests: all at once, as in the paper, or one after the other at a rate."""

    kind: Literal["burst", "poisson", "constant"]
    """Kind of arrival: ``burst`` is all at once, ``poisson`` has random gaps, ``constant`` has equal gaps."""
    rate: PositiveFloat | None = None
    """Mean rate in requests per second; not for ``burst``."""
    search: RateSearch | None = added(None)
    """Search for the rate that holds, in place of a ``rate``; for ``poisson`` only."""

    @model_validator(mode="after")
    def _a_rate_unless_at_once(self) -> Self:
        if self.search and (self.kind != "poisson" or self.rate is not None):
            raise ValueError("'search' is for 'poisson' without a 'rate'")
        if (self.rate is None) != (self.kind == "burst" or self.search is not None):
            raise ValueError("'rate' is required for 'poisson' and 'constant', and not allowed for 'burst'")
        return self

    @property
    def label(self) -> str:
        """Name of the arrival in cell ids, such as ``burst``, ``poisson4`` or ``holds99-ttft2-tpot0.2``."""
        if self.search:
            return f"holds{100 * self.search.share:g}-ttft{self.search.ttft_s:g}-tpot{self.search.tpot_s:g}"
        return self.kind if self.rate is None else f"{self.kind}{self.rate:g}"
