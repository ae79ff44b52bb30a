"""Predicted latencies of a load on a server at a percentile of its requests, with their intervals."""

from dissect.predict.server_queue import Served
from dissect.predict.server_times import OFF_LATENCY, LatencyName, ServerPrediction
from dissect.statistics.numbers import Number
from dissect.statistics.quantiles import quantile


def predicted_latency(found: ServerPrediction, name: LatencyName, share: float) -> Number | None:
    """Seconds that ``share`` of the requests keep within; None for TPOT of answers of one token.

    What arrives over time waits longer or shorter where steps do, which may be much more than their share.
    """
    value = _latency(found.served, name, share)
    if value is None:
        return None
    low, high = (_latency(end, name, share) or 0.0 for end in found.ends or (found.served, found.served))
    off = latency_off(found, name)
    return Number(value, min(low, (1 - off) * value), max(high, (1 + off) * value))


def latency_off(found: ServerPrediction, name: LatencyName) -> float:
    """Share by which a latency may be off where all requests arrive at once."""
    return max(found.off, OFF_LATENCY[name])


def _latency(served: Served, name: LatencyName, share: float) -> float | None:
    answers = served.answers
    match name:
        case "ttft":
            samples = [each.first_s - each.sent_s for each in answers]
        case "tpot":
            samples = [(each.end_s - each.first_s) / (each.tokens - 1) for each in answers if each.tokens > 1]
        case "latency":
            samples = [each.end_s - each.sent_s for each in answers]
    return quantile(sorted(samples), share) if samples else None
