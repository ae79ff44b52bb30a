"""Numbers of a serving cell."""

from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from dissect.base.model import Model


class RequestSamples(Model):
    """One value per request, in the order of sending; distributions and percentiles are made of these alone."""

    sent_s: list[NonNegativeFloat]
    """After the first send."""
    latency_s: list[PositiveFloat]
    """From the send to the end of the answer."""
    ttft_s: list[PositiveFloat] | None
    """From the send to the first token; None where answers came whole."""
    tpot_s: list[NonNegativeFloat] | None
    """From the first token to the end of the answer, per token after the first; None also for a single token."""
    inter_token_s: list[NonNegativeFloat] | None
    """Mean gap between the pieces that the answer came in."""


class Calibration(Model):
    """The same load sent once more by another load generator, to the same server."""

    load_generator: Literal["vllm_bench"]
    requests_per_s: PositiveFloat
    output_tokens_per_s: PositiveFloat
    median_latency_s: PositiveFloat
    median_ttft_s: PositiveFloat


class ServingMetrics(Model):
    """What one serving cell measured; docs/metrics.md has the formulas."""

    kind: Literal["serving"] = "serving"
    requests: PositiveInt
    prompt_tokens: PositiveInt
    """Of all requests, as the server counted them."""
    completion_tokens: PositiveInt
    """Of all requests, as the server counted them."""
    duration_s: PositiveFloat
    """From the first send to the end of the last answer."""
    send_spread_s: NonNegativeFloat
    """From the first send to the last."""
    samples: RequestSamples
    ready_s: PositiveFloat
    """From the server's start to its first answer."""
    loads: PositiveInt
    """How often the load was sent: 2 where the load generator had lost a record."""
    client_cpu: NonNegativeFloat
    """CPU seconds per second of the load generator's busiest process, between the first send and the last answer."""
    server_memory_bytes: PositiveInt
    """Most that the server held: of one GPU as its driver saw it, on ``cpu`` the resident sets of its processes."""
    server_memory_source: str
    """``nvml`` or another driver's name, or ``rss``."""
    kv_cache_tokens: PositiveInt | None
    """Room of the key-value cache as the engine reports it; None where it does not."""
    kv_cache_bytes: PositiveInt | None
    """The same over all GPUs, from the model's sizes."""
    prefix_cache_hits: NonNegativeInt | None
    """Tokens that the engine reports to have found in a prefix cache; None where it does not report."""
    energy_j: PositiveFloat | None
    """Over all GPUs, from the driver's accumulating counter, between the first send and the last answer."""
    engine_version: str | None
    """As the running engine reports it."""
    calibration: Calibration | None = None
