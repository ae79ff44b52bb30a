"""Numbers of a serving cell."""

from collections.abc import Iterable
from typing import Literal, NamedTuple, Self

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from dissect.base.model import Model
from dissect.config.arrival import RateSearch


class RequestSamples(Model):
    """One value per request, in the order of sending; distributions and percentiles are computed from these only."""

    sent_s: list[NonNegativeFloat]
    """Time of sending in seconds after the first send of its burst."""
    latency_s: list[PositiveFloat]
    """Seconds from the send to the end of the answer."""
    ttft_s: list[PositiveFloat] | None
    """Seconds from the send to the first token; None without streaming."""
    tpot_s: list[NonNegativeFloat] | None
    """Seconds per token after the first; None without streaming or for answers of a single token."""
    inter_token_s: list[NonNegativeFloat] | None
    """Mean gap in seconds between the chunks of a streamed answer; None without streaming."""


class GapHistogram(Model):
    """The gaps between the tokens of all answers, as the engine counts them."""

    upper_s: list[PositiveFloat]
    """Upper bounds of the classes in seconds, ascending."""
    counts: list[NonNegativeInt]
    """Number of gaps of each class; the last, beyond all bounds, has none."""


class EngineTerms(Model):
    """Terms under which an engine served, as the running engine reported them; None where it does not."""

    max_sequences: PositiveInt | None = None
    """Most requests that it processes at the same time."""
    most_running: PositiveInt | None = None
    """Most requests that it reported to be running at one moment."""
    cache_tokens: PositiveInt | None = None
    """Capacity of the KV cache in tokens over all requests."""
    cache_bytes: PositiveInt | None = None
    """Capacity of the KV cache in bytes over all GPUs."""
    prefill_tokens: PositiveInt | None = None
    """Most tokens of prompts in one step."""
    graph_sequences: NonNegativeInt | None = None
    """Largest number of requests with a CUDA graph of the decoding step; 0 without graphs."""
    prefix_cache: bool | None = None
    """Whether the prefix cache is on."""


class Calibration(Model):
    """Numbers of the same load, sent once more to the same server by another load generator."""

    load_generator: Literal["vllm_bench"]
    requests_per_s: PositiveFloat
    output_tokens_per_s: PositiveFloat
    median_latency_s: PositiveFloat
    median_ttft_s: PositiveFloat


LATE_S = 0.5
"""Seconds after which a request that was due is sent too late: more than a loaded machine is late by now and then."""


def count_kept(ttft_s: Iterable[float], tpot_s: Iterable[float], objective: RateSearch) -> int:
    """Number of requests of which neither time is longer than the objective's."""
    times = zip(ttft_s, tpot_s, strict=True)
    return sum(ttft <= objective.ttft_s and tpot <= objective.tpot_s for ttft, tpot in times)


def is_enough(kept: int, requests: int, share: float) -> bool:
    """Whether at least this share of the requests kept an objective; counted, without an interval."""
    return kept >= share * requests - 1e-9


class RateProbe(Model):
    """One rate of a search for the rate that holds."""

    rate: PositiveFloat
    """Mean rate of arrival in requests per second."""
    requests: PositiveInt
    """Requests that were sent; one that failed, left no record or was sent late did not keep the objective."""
    kept: NonNegativeInt
    """Requests that kept the objective."""
    duration_s: PositiveFloat
    """Seconds from the first send to the end of the last answer; where the server failed, until that was known."""
    loads: PositiveInt
    """Number of times that the load was sent: more than one where records that the load generator lost decided it."""
    lost: NonNegativeInt | None = None
    """Requests that left no record, and so count as not kept; None in results that do not have it."""
    late: NonNegativeInt | None = None
    """Answered requests that were sent late, and so count as not kept; None in results that do not have it."""
    client_cpu: NonNegativeFloat
    """CPU seconds per second of the load generator's busiest process."""
    ttft_s: list[PositiveFloat]
    """Seconds from the send to the first token of each answered request, in the order of sending.

    None is there where the server failed: its requests count as not kept.
    """
    tpot_s: list[NonNegativeFloat]
    """Seconds per token after the first of the same requests."""

    def holds(self, share: float) -> bool:
        """Whether at least this share of the requests kept the objective."""
        return is_enough(self.kept, self.requests, share)


class RateBracket(NamedTuple):
    """What probes tell of the rate that holds."""

    held: float | None
    """Highest rate that held; None where none did."""
    failed: float | None
    """Lowest rate that did not hold; None where all did."""

    @classmethod
    def of(cls, probes: Iterable[RateProbe], share: float) -> Self:
        """The bracket of these probes."""
        found = [(probe.rate, probe.holds(share)) for probe in probes]
        held, failed = ([rate for rate, holds in found if holds is wanted] for wanted in (True, False))
        return cls(max(held, default=None), min(failed, default=None))

    def is_narrow(self, within: float) -> bool:
        """Whether a rate held, one did not, and the two differ by no more than this share."""
        return self.held is not None and self.failed is not None and self.failed <= self.held * (1 + within)


SearchEnd = Literal["bracket", "probes", "budget", "prompts", "client", "server"]
"""What ended a search: a narrow bracket, the number of probes, the time budget, or a rate that does not count.

The prompts that were left were too few for that rate, or the load generator was too slow or lost too many records.
``server``: the server failed under the load of the last rate, which does not hold.
"""


class ServingMetrics(Model):
    """Numbers of one serving cell; docs/metrics.md has the formulas."""

    kind: Literal["serving"] = "serving"
    requests: PositiveInt
    """Requests of all bursts, as all numbers below are of all bursts unless they say otherwise."""
    prompt_tokens: PositiveInt
    """Prompt tokens of all requests, as the server counts them."""
    completion_tokens: PositiveInt
    """Generated tokens of all requests, as the server counts them."""
    duration_s: PositiveFloat
    """Seconds from the first send to the end of the last answer, summed over the bursts."""
    burst_durations_s: list[PositiveFloat] | None = None
    """The same of each burst."""
    send_spread_s: NonNegativeFloat
    """Seconds from the first send of a burst to its last; the longest."""
    samples: RequestSamples
    ready_s: PositiveFloat
    """Seconds from the server's start to its first answer."""
    loads: PositiveInt
    """Number of times that the load was sent: more than the bursts where the load generator lost a record."""
    client_cpu: NonNegativeFloat
    """CPU seconds per second of the load generator's busiest process, between the first send and the last answer."""
    server_memory_bytes: PositiveInt | None
    """Peak memory of the server: of one GPU as its driver reports it, on ``cpu`` the resident sets of its processes.

    None on ``cpu`` for a server that this project did not start.
    """
    server_memory_source: str
    """Source of the peak memory: ``nvml`` or another driver's name, or ``rss``."""
    kv_cache_tokens: PositiveInt | None
    """Capacity of the KV cache in tokens as the engine reports it; None where it does not."""
    kv_cache_bytes: PositiveInt | None
    """Capacity of the KV cache in bytes over all GPUs, from the model's sizes."""
    prefix_cache_hits: NonNegativeInt | None
    """Prefix-cache hits in tokens as the engine reports them; None where it does not."""
    energy_j: PositiveFloat | None
    """Energy in joules over all GPUs from the first send to the last answer, from the driver's energy counter.

    None without the counter, and for bursts below 10 s.
    """
    inter_token_pooled_s: NonNegativeFloat | None = None
    """Mean gap in seconds over all gaps of all answers; None without streaming, and in results that do not have it."""
    inter_token_gaps: GapHistogram | None = None
    """Distribution of single gaps on the server's side; None where the engine does not report it."""
    preemptions: NonNegativeInt | None = None
    """How often the engine stopped a request for lack of cache, to compute it again; None where it does not say."""
    most_answering: PositiveInt | None = None
    """Most requests whose answers were under way at one moment, by the client's clock; None without streaming."""
    terms: EngineTerms | None = None
    """Terms that the engine reported; None in results that do not have them."""
    engine_version: str | None
    """Version that the running engine reports."""
    calibration: Calibration | None = None
    no_calibration: str | None = None
    """Why the second load generator has no numbers, in one sentence; None where it has, or was not asked for any."""
    probes: list[RateProbe] | None = None
    """All rates of a search, in the order of trying; None for other loads.

    The other numbers are then those of the highest rate that held, or of the lowest rate where none did.
    """
    search_ended_by: SearchEnd | None = None
    server_failure: str | None = None
    """How the server failed at the last rate of a search, in one sentence; None where it did not."""
