"""Views of serving cells: one row per cell, and one row per request for distributions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from statistics import fmean, median

from dissect.base.units import GIB
from dissect.cells.spec import ServeSpec
from dissect.config.layout import ServingQuantity, Slo
from dissect.metrics.serving import EngineTerms, RequestSamples, ServingMetrics
from dissect.present.tables.columns import (
    NO_ENERGY,
    Column,
    Combination,
    Quantity,
    Record,
    Scalar,
    listed_once,
    metrics_of,
    over_runs,
)
from dissect.present.tables.policies import POLICY
from dissect.present.tables.rate_views import search_of
from dissect.present.tables.view import View
from dissect.results.result import Result
from dissect.statistics.quantiles import quantile

_NOT_STREAMED = "answers are not streamed"


@dataclass(frozen=True)
class MeasuredServing:
    """A serving cell that ended ``ok``, the input of the formulas."""

    spec: ServeSpec
    metrics: ServingMetrics
    slo: Slo | None
    energy_j: float | None
    """Energy of all bursts over all GPUs."""

    @cached_property
    def ordered(self) -> dict[str, list[float]]:
        """Name -> ascending samples, for the samples that the cell has."""
        named = {name: getattr(self.metrics.samples, name) for name in RequestSamples.model_fields}
        return {name: sorted(values) for name, values in named.items() if values}

    @cached_property
    def burst_s(self) -> float:
        """Seconds from the first send of a burst to its last answer, the median over the bursts of the server."""
        return median(self.metrics.burst_durations_s or [self.metrics.duration_s])

    def per_second(self, count: float) -> float:
        """Rate of a count over all bursts in the time of the median burst."""
        return count / len(self.metrics.burst_durations_s or [0]) / self.burst_s

    @property
    def goodput(self) -> float | None:
        """Requests per second that kept within the objective; None without one or without streaming."""
        samples = self.metrics.samples
        if self.slo is None or samples.ttft_s is None or samples.tpot_s is None:
            return None
        pairs = zip(samples.ttft_s, samples.tpot_s, strict=True)
        return self.per_second(sum(ttft <= self.slo.ttft_s and tpot <= self.slo.tpot_s for ttft, tpot in pairs))

    @property
    def calibration_share(self) -> float | None:
        """Difference of the other load generator's throughput from guidellm's, as a share of the latter."""
        other, metrics = self.metrics.calibration, self.metrics
        return other.output_tokens_per_s / self.per_second(metrics.completion_tokens) - 1 if other else None


def _points(record: Record, run: Result) -> Iterator[tuple[Mapping[str, Scalar], MeasuredServing | None]]:
    metrics, search = metrics_of(run, ServingMetrics), search_of(run)
    if metrics and isinstance(run.spec, ServeSpec):
        # Numbers at a bound would pass for those of the rate that holds. One such run leaves the cell without numbers.
        is_bound = search and search.rate is None
        yield {}, None if is_bound else MeasuredServing(run.spec, metrics, record.slo, run.energy_j)


def _requests(record: Record, run: Result) -> Iterator[tuple[Mapping[str, Scalar], Mapping[str, float]]]:
    metrics = metrics_of(run, ServingMetrics)
    if metrics is None:
        return
    number = next(number for number, each in enumerate(record.results, start=1) if each is run)
    named = {name: getattr(metrics.samples, name) for name in RequestSamples.model_fields}
    for request in range(metrics.requests):
        yield (
            {"run": number, "request": request + 1},
            {name: values[request] for name, values in named.items() if values},
        )


def _mean(name: str, measured: MeasuredServing) -> float | None:
    samples = measured.ordered.get(name)
    return fmean(samples) if samples else None


def _at(name: str, share: float, measured: MeasuredServing) -> float | None:
    samples = measured.ordered.get(name)
    return quantile(samples, share) if samples else None


_KINDS = {
    "ttft": ("TTFT", "ms", 1e3, "from the send to the first token"),
    "tpot": ("TPOT", "ms", 1e3, "time per output token: from the first token to the end, per token after the first"),
    "inter_token": ("Inter-token latency", "ms", 1e3, "mean gap between the pieces of an answer"),
    "latency": ("Latency", "s", 1.0, "from the send to the end of the answer"),
}
_SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def _distribution(kind: str) -> Iterator[Quantity]:
    """Quantities for mean and percentiles of one kind of latency."""
    header, unit, scale, meaning = _KINDS[kind]
    names: Sequence[ServingQuantity] = [name for name in _NAMES if name.rsplit("_", 2)[0] == kind]
    for name in names:
        part = name.rsplit("_", 2)[1]
        value: Callable[[MeasuredServing], Scalar]
        if part == "mean":
            title, value = f"{header} mean", partial(_mean, f"{kind}_s")
        else:
            title, value = f"{header} {part}", partial(_at, f"{kind}_s", _SHARES[part])
        of = "over requests" if part == "mean" else f"{part[1:]} % of the requests stay at or below"
        yield Quantity(name, title, unit, f"{meaning}; {of}", value, scale=scale, absent=_NOT_STREAMED)


_NAMES: tuple[ServingQuantity, ...] = (
    "ttft_mean_s", "ttft_p50_s", "ttft_p90_s", "ttft_p95_s", "ttft_p99_s",
    "tpot_mean_s", "tpot_p50_s", "tpot_p90_s", "tpot_p95_s", "tpot_p99_s",
    "inter_token_mean_s", "inter_token_p50_s", "inter_token_p90_s", "inter_token_p95_s", "inter_token_p99_s",
    "latency_mean_s", "latency_p50_s", "latency_p90_s", "latency_p95_s", "latency_p99_s",
)  # fmt: skip


def _terms() -> Iterator[Quantity]:
    """Quantities for the terms that an engine reports."""
    said: Sequence[tuple[ServingQuantity, str, str, str, Callable[[EngineTerms], int | None]]] = (
        ("max_sequences", "Limit", "requests", "most requests that it processes at once", lambda t: t.max_sequences),
        ("most_running", "Running", "requests", "most requests that ran at once", lambda t: t.most_running),
        ("prefill_budget_tokens", "Prefill", "tokens", "most tokens of prompts in a step", lambda t: t.prefill_tokens),
        ("graph_sequences", "CUDA graphs", "requests", "largest batch with a CUDA graph", lambda t: t.graph_sequences),
    )
    for name, header, unit, meaning, value in said:
        combination = Combination.LARGEST if name == "most_running" else Combination.COMMON
        yield Quantity(
            name, header, unit, f"{meaning}, as the engine reports it", partial(_reported, value), combination,
            decimals=0, absent="the engine does not report it, or an earlier result",
        )  # fmt: skip


def _reported(value: Callable[[EngineTerms], int | None], measured: MeasuredServing) -> int | None:
    return value(measured.metrics.terms) if measured.metrics.terms else None


_QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "output_tokens_per_s", "Output throughput", "tokens/s",
        "generated tokens over the time from the first send to the last answer",
        lambda m: m.per_second(m.metrics.completion_tokens),
    ),
    Quantity(
        "total_tokens_per_s", "Total throughput", "tokens/s", "the same with the tokens of the prompts",
        lambda m: m.per_second(m.metrics.completion_tokens + m.metrics.prompt_tokens),
    ),
    Quantity(
        "requests_per_s", "Requests", "1/s", "answered requests over the same time",
        lambda m: m.per_second(m.metrics.requests),
    ),
    Quantity(
        "goodput_per_s", "Goodput", "1/s", "answered requests that kept within the objective, over the same time",
        lambda m: m.goodput, absent="no objective is given, or answers are not streamed",
    ),
    Quantity(
        "load_duration_s", "Duration", "s", "from the first send to the end of the last answer",
        lambda m: m.burst_s,
    ),
    *_distribution("ttft"),
    *_distribution("tpot"),
    *_distribution("inter_token"),
    Quantity(
        "inter_token_pooled_s", "Pooled inter-token latency", "ms",
        "mean of all gaps between the pieces of all answers; a request counts by its number of gaps",
        lambda m: m.metrics.inter_token_pooled_s, scale=1e3, absent="answers are not streamed, or an earlier result",
    ),
    *_distribution("latency"),
    Quantity(
        "preemptions", "Preemptions, all bursts", "",
        "how often a request was stopped for lack of cache, and computed again; summed over the bursts of a server",
        lambda m: m.metrics.preemptions, Combination.MEAN, decimals=0, absent="the engine does not report it",
    ),
    Quantity(
        "server_memory_gib", "Server's memory", "GiB",
        "most that the server held: of one GPU as NVML saw it; on cpu the resident sets of its processes",
        lambda m: m.metrics.server_memory_bytes / GIB if m.metrics.server_memory_bytes else None,
        Combination.LARGEST, decimals=2, absent="its processes are not known here",
    ),
    Quantity(
        "kv_cache_gib", "KV cache", "GiB", "capacity of the KV cache over all GPUs, as the engine reports it",
        lambda m: m.metrics.kv_cache_bytes / GIB if m.metrics.kv_cache_bytes else None, Combination.COMMON,
        decimals=2,
        absent="the engine does not report it",
    ),
    Quantity(
        "kv_cache_tokens", "KV cache", "tokens", "capacity of the KV cache, as the engine reports it",
        lambda m: m.metrics.kv_cache_tokens, Combination.COMMON, decimals=0, absent="the engine does not report it",
    ),
    *_terms(),
    Quantity(
        "most_answering", "Answering", "requests", "most requests whose answers were under way at one moment",
        lambda m: m.metrics.most_answering, Combination.LARGEST, decimals=0,
        absent="answers are not streamed, or an earlier result",
    ),
    Quantity(
        "tokens_per_joule_served", "Tokens per joule", "tokens/J", "generated tokens over the energy of all GPUs",
        lambda m: m.metrics.completion_tokens / m.energy_j if m.energy_j else None, absent=NO_ENERGY,
    ),
    Quantity(
        "ready_time_s", "Start", "s", "from the server's start to its first answer", lambda m: m.metrics.ready_s,
    ),
    Quantity(
        "send_spread_s", "Spread of sends", "s", "from the first send to the last", lambda m: m.metrics.send_spread_s,
        Combination.MEAN,
    ),
    Quantity(
        "client_cpu", "Client's CPU", "%", "of a core, by the load generator's busiest process",
        lambda m: m.metrics.client_cpu, Combination.MEAN, scale=1e2, decimals=0,
    ),
    Quantity(
        "calibration_difference", "vllm bench against guidellm", "%",
        "difference of the output throughput that the two load generators find on one server",
        lambda m: m.calibration_share, Combination.MEAN, scale=1e2, decimals=1,
        absent="the second load generator was not asked for, or failed: the result says why in no_calibration, and "
        "remeasure with the cell's id as select tries it again",
    ),
)  # fmt: skip


def _metric(record: Record, name: str) -> Scalar:
    return over_runs(record, lambda run: getattr(metrics_of(run, ServingMetrics), name, None))


def _prefix_cache(record: Record) -> Scalar:
    terms = (getattr(metrics_of(run, ServingMetrics), "terms", None) for run in record.results)
    return listed_once(each.prefix_cache for each in terms if each)


def _workload(record: Record, name: str) -> Scalar:
    value: Scalar = getattr(record.spec.workload, name) if isinstance(record.spec, ServeSpec) else None
    return value


_ORIGIN = (
    POLICY,
    Column("input_tokens", "of every prompt", lambda r: _workload(r, "input_tokens")),
    Column("output_tokens", "of every answer", lambda r: _workload(r, "output_tokens")),
    Column("requests", "number of requests", lambda r: _workload(r, "requests")),
    Column("stream", "whether answers came token by token", lambda r: _workload(r, "stream")),
    Column("engine_version", "as the running engine reports it", lambda r: _metric(r, "engine_version")),
    Column("loads", "how often the load was sent", lambda r: _metric(r, "loads")),
    Column("prefix_cache", "whether the engine reports that it is on", _prefix_cache),
    Column("prefix_cache_hits", "tokens found in a prefix cache", lambda r: _metric(r, "prefix_cache_hits")),
    Column("server_memory_source", "nvml or rss", lambda r: _metric(r, "server_memory_source")),
)

SERVING = View(points=_points, quantities=_QUANTITIES, origin=_ORIGIN)
"""View for tables of serving cells."""

REQUESTS = View(
    points=_requests,
    quantities=(
        Quantity("latency_s", "Latency", "s", _KINDS["latency"][3], lambda m: m["latency_s"], Combination.COMMON),
        Quantity(
            "ttft_s", "TTFT", "s", _KINDS["ttft"][3], lambda m: m.get("ttft_s"), Combination.COMMON,
            absent=_NOT_STREAMED,
        ),
        Quantity(
            "tpot_s", "TPOT", "ms", _KINDS["tpot"][3], lambda m: m.get("tpot_s"), Combination.COMMON, scale=1e3,
            absent=_NOT_STREAMED,
        ),
        Quantity("sent_s", "Send", "s", "after the first send", lambda m: m["sent_s"], Combination.COMMON),
    ),
    axes={
        "run": "number of the cell's run, in the order of measuring",
        "request": "number of the request, in the order of sending",
    },
)  # fmt: skip
"""View for figures of distributions: every request of every run."""
