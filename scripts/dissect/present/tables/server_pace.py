"""What measured cells say of how long loads on servers take that were not measured."""

from collections.abc import Sequence
from typing import Any

from dissect.cells.manifest import PlatformFacts
from dissect.cells.spec import ServeSpec
from dissect.config.arrival import Arrival, RateSearch
from dissect.metrics.serving import RateBracket
from dissect.predict.repetition import load_identity
from dissect.predict.server_times import ServerPrediction, predict_server, step_cost
from dissect.predict.wall_time import LoadTime, Tries
from dissect.present.tables.columns import Record
from dissect.present.tables.measured_pace import datasheet_of, operators_of, power_limits
from dissect.present.tables.predicted_serving import measured_bursts
from dissect.stages.serving.bisection import Bisection

OFF_ARRIVAL = 0.1
"""Share by which the time of sending may be off, whose gaps are random: three standard deviations of 1,000 requests."""


class ServerPace:
    """Predictions from the records of measured cells, each burst once: it is replayed request by request."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._operators = list(operators_of(records))
        self._bursts = list(measured_bursts(records, self._operators))
        self.limits_w = power_limits(records)
        """GPU model -> power limit in watts."""
        self._known: dict[tuple[Any, ...], LoadTime | None] = {}

    def predict(self, spec: ServeSpec, facts: PlatformFacts) -> ServerPrediction | None:
        """Cache and times of a serving cell, corrected by what was measured; None without a prediction."""
        cost = step_cost(self._bursts, spec.hardware.gpu_model, spec.framework)
        return predict_server(spec, self._operators, datasheet_of(facts), cost)

    def load(self, spec: ServeSpec, facts: PlatformFacts) -> LoadTime | None:
        """How long a load takes: that of a burst, or of sending it, if that is longer; None without a prediction.

        Of a search for a rate those of all rates that it tries, if the rate that holds is that at which a burst is
        answered; the upper end is that of a server on which no rate holds, since lower rates take longer to send.
        """
        arrival, burst = spec.workload.arrival, self._burst(spec, facts)
        if burst is None or arrival.kind == "burst":
            return burst
        if search := arrival.search:
            return _searched(search, spec.workload.requests, burst)
        assert arrival.rate is not None
        sent_s = spec.workload.requests / arrival.rate
        return LoadTime(
            max(burst.seconds, sent_s),
            max(burst.low_s, (1 - OFF_ARRIVAL) * sent_s),
            max(burst.high_s, (1 + OFF_ARRIVAL) * sent_s),
        )

    def _burst(self, spec: ServeSpec, facts: PlatformFacts) -> LoadTime | None:
        if spec.workload.arrival.kind != "burst":
            at_once = {"arrival": Arrival(kind="burst")}
            spec = spec.model_copy(update={"workload": spec.workload.model_copy(update=at_once)})
        name = (load_identity(spec), repr(spec.hardware), repr(datasheet_of(facts)))
        if name not in self._known:
            found = self.predict(spec, facts)
            self._known[name] = LoadTime(found.duration_s, found.low_s, found.high_s) if found else None
        return self._known[name]


def _searched(search: RateSearch, requests: int, burst: LoadTime) -> LoadTime:
    def tried(burst_s: float, holding: float) -> list[float]:
        """Seconds of the load at each rate, if that of ``holding`` is the largest that holds."""
        bisection, bracket, found = Bisection(search), RateBracket(None, None), list[float]()
        while (rate := bisection.next_rate(bracket, len(found))) is not None:
            number = max(requests, rate * search.probe_s)
            found.append(number * max(1 / rate, burst_s / requests))
            bracket = bracket._replace(**{"held" if rate <= holding else "failed": rate})
        return found

    middle, fast = (tried(seconds, requests / seconds) for seconds in (burst.seconds, burst.low_s))
    slow = tried(burst.high_s, 0.0)
    numbers = [len(each) for each in (middle, fast, slow)]
    return LoadTime(sum(middle), sum(fast), sum(slow), Tries(numbers[0], min(numbers), max(numbers)))
