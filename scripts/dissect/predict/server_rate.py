"""Predicted largest rate of requests at which a server keeps an objective."""

from collections.abc import Callable
from functools import cache
from math import ceil, log, log1p, log2, sqrt
from typing import NamedTuple

from dissect.cells.spec import ServeSpec
from dissect.config.arrival import Arrival, RateSearch
from dissect.predict.server_queue import Served, send_times
from dissect.predict.server_times import OFF_LATENCY, ServerPrediction

Predict = Callable[[ServeSpec], ServerPrediction | None]
"""The prediction of a load at a rate."""


class RatePrediction(NamedTuple):
    """Requests per second; an end of the search stands for all that is beyond it."""

    rate: float
    low: float
    high: float
    sources: str
    """Where the times come from, in words."""


def predict_rate(spec: ServeSpec, predict: Predict) -> RatePrediction | None:
    """The largest rate that holds of a search, between the ends of the search and to the same width as it.

    Its interval is that of a server whose steps are as short or as long as they may be, and whose latencies are off by
    as much beside. None for other loads, and where loads are not predicted.
    """
    search = spec.workload.arrival.search
    if search is None:
        return None

    @cache
    def at(rate: float) -> ServerPrediction | None:
        number = max(spec.workload.requests, ceil(rate * search.probe_s))
        load = spec.workload.model_copy(update={"requests": number})
        # Each run draws gaps of its own, so those of one seed are scaled: requests arrive at the rate on average.
        drawn = (number - 1) / send_times(load.model_copy(update={"arrival": Arrival(kind="poisson", rate=1)}))[-1]
        load = load.model_copy(update={"arrival": Arrival(kind="poisson", rate=rate / drawn)})
        return predict(spec.model_copy(update={"workload": load}))

    told = at(search.lowest)
    if told is None:
        return None

    def largest(sign: int) -> float:
        def holds(rate: float) -> bool:
            found = at(rate)
            if found is None or found.ends is None:
                return False
            served = (found.served, found.ends[1], found.ends[0])[sign]
            return kept_share(served, search, sign) >= search.share

        return _largest(search, holds)

    return RatePrediction(largest(0), largest(1), largest(-1), told.sources)


def kept_share(served: Served, search: RateSearch, sign: int = 0) -> float:
    """Share of the requests that keep the objective, with latencies as long (1) or as short (-1) as they may be."""
    ttft, tpot = (1 + sign * OFF_LATENCY[name] for name in ("ttft", "tpot"))
    kept = sum(
        ttft * (each.first_s - each.sent_s) <= search.ttft_s
        and tpot * (each.end_s - each.first_s) / max(1, each.tokens - 1) <= search.tpot_s
        for each in served.answers
    )
    return kept / len(served.answers)


def _largest(search: RateSearch, holds: Callable[[float], bool]) -> float:
    """The largest rate of a grid as fine as the search that holds; its lowest where none does."""
    low, high = search.lowest, search.highest
    if holds(high):
        return high
    for _ in range(ceil(log2(log(high / low) / log1p(search.within)))):
        middle = sqrt(low * high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
