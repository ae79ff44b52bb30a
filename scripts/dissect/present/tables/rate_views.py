"""Views of searches for the rate that holds: one row per cell, and one row per probe for the figure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from dissect.cells.spec import ServeSpec
from dissect.config.arrival import RateSearch
from dissect.metrics.serving import RateBracket, RateProbe, ServingMetrics
from dissect.present.tables.columns import (
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
from dissect.present.tables.view import View
from dissect.results.result import Result
from dissect.statistics.quantiles import quantile

BOUND = "rate_bound"
"""Column with what a search tells where it found no rate with one closely above it that failed."""
FAILURE = "server_failure"
"""Column with what ended a search whose server failed at a rate above one that held."""
_UNTRIED = "no rate of the search failed"
_IN_BRACKETS = (
    "in brackets its 95 % interval over runs, by Clopper and Pearson (1934) with the effective number of requests: "
    "those of a run wait for each other, so one run has none, nor have runs that all kept it"
)


@dataclass(frozen=True)
class MeasuredProbe:
    """One probe with the tokens of each answer."""

    probe: RateProbe
    output_tokens: int

    @property
    def share(self) -> float:
        """Share of the requests that kept the objective."""
        return self.probe.kept / self.probe.requests

    @property
    def latency_s(self) -> list[float]:
        """Seconds from the send of each answered request to the end of its answer, in the order of sending."""
        times = zip(self.probe.ttft_s, self.probe.tpot_s, strict=True)
        return [ttft + (self.output_tokens - 1) * tpot for ttft, tpot in times]

    @property
    def growth(self) -> float | None:
        """Median latency of the last quarter of the answered requests over that of the second quarter.

        The first quarter finds a server that is not yet full. None below four requests.
        """
        latencies = self.latency_s
        quarter = len(latencies) // 4
        return median(latencies[-quarter:]) / median(latencies[quarter : 2 * quarter]) if quarter else None

    def tokens_per_s(self, requests: int) -> float:
        """Generated tokens of so many requests over the time from the first send to the last answer."""
        return requests * self.output_tokens / self.probe.duration_s


@dataclass(frozen=True)
class MeasuredSearch:
    """A search that ended ``ok``, the input of the formulas."""

    search: RateSearch
    probes: list[RateProbe]
    output_tokens: int

    @cached_property
    def bracket(self) -> RateBracket:
        """Highest rate that held, and lowest that did not."""
        return RateBracket.of(self.probes, self.search.share)

    @property
    def rate(self) -> float | None:
        """Highest rate that held, requests per second; None where the bracket stayed wide, so that it is a bound."""
        return self.bracket.held if self.bracket.is_narrow(self.search.within) else None

    @property
    def bound(self) -> str | None:
        """What is known where the search found no rate."""
        held, failed = self.bracket
        if held is None:
            return f"< {failed:.4g}"
        if failed is None:
            return f"≥ {held:.4g}"
        return None if self.rate else f"{held:.4g} to {failed:.4g}"

    @property
    def measured(self) -> list[MeasuredProbe]:
        """The probes in the order of trying, each with the tokens of an answer."""
        return [MeasuredProbe(probe, self.output_tokens) for probe in self.probes]

    @property
    def chosen(self) -> MeasuredProbe:
        """The probe at the highest rate that held, or at the lowest rate where none did."""
        wanted = self.bracket.held or self.bracket.failed
        return next(each for each in self.measured if each.probe.rate == wanted)


def search_of(run: Result) -> MeasuredSearch | None:
    """The search of a run that ended ``ok``; None for any other cell."""
    metrics, spec = metrics_of(run, ServingMetrics), run.spec
    if metrics is None or not metrics.probes or not isinstance(spec, ServeSpec) or not spec.workload.arrival.search:
        return None
    return MeasuredSearch(spec.workload.arrival.search, metrics.probes, spec.workload.output_tokens)


def _searches(_: Record, run: Result) -> Iterator[tuple[Mapping[str, Scalar], MeasuredSearch]]:
    if found := search_of(run):
        yield {}, found


def _probes(record: Record, run: Result) -> Iterator[tuple[Mapping[str, Scalar], MeasuredProbe]]:
    found = search_of(run)
    if found is None:
        return
    number = next(number for number, each in enumerate(record.results, start=1) if each is run)
    for place, probe in enumerate(found.measured, start=1):
        yield {"run": number, "probe": place}, probe


def _bounds(record: Record) -> Scalar:
    """Bounds of the runs; where only some have one, the rates of the others among them."""
    found = [search for run in record.results if (search := search_of(run))]
    if not any(search.bound for search in found):
        return None
    return listed_once(search.bound or f"{search.rate:.4g}" for search in found)


def _asked(name: str) -> Callable[[Record], Scalar]:
    def value(record: Record) -> Scalar:
        search = record.spec.workload.arrival.search if isinstance(record.spec, ServeSpec) else None
        return getattr(search, name, None)

    return value


def _of_search(name: str) -> Callable[[Record], Scalar]:
    return lambda record: over_runs(record, lambda run: getattr(metrics_of(run, ServingMetrics), name, None))


_OBJECTIVE = (
    Column("objective_ttft_s", "longest time to the first token of the objective", _asked("ttft_s")),
    Column("objective_tpot_s", "longest time per output token of the objective", _asked("tpot_s")),
    Column("objective_share", "share of the requests that must keep the objective", _asked("share")),
)

RATES = View(
    points=_searches,
    quantities=(
        Quantity(
            "held_rate_per_s", "Rate that holds", "requests/s",
            "largest rate that was tried at which the objective held; bounds where the search found no rate closely "
            "above it at which it did not", lambda m: m.rate, instead=BOUND, told=FAILURE,
        ),
        Quantity(
            "failed_rate_per_s", "Next rate, which does not", "requests/s",
            "smallest rate that was tried at which it did not hold", lambda m: m.bracket.failed, absent=_UNTRIED,
        ),
        Quantity(
            "kept_share", "Within the objective", "%",
            f"share of the requests at that rate, or at the lowest where none held; {_IN_BRACKETS}",
            lambda m: m.chosen.share, Combination.SHARE, scale=1e2, decimals=2,
            trials=lambda m: m.chosen.probe.requests,
        ),
        Quantity(
            "latency_growth", "Growth of latency", "×",
            "median latency of the last quarter of the requests at that rate over that of the second quarter; above 1 "
            "requests piled up while it was tried, so it may not hold for longer",
            lambda m: m.chosen.growth, decimals=2, absent="too few requests",
        ),
        Quantity(
            "probes_tried", "Rates tried", "", "number of rates that were tried", lambda m: len(m.probes),
            Combination.LARGEST, decimals=0,
        ),
        Quantity(
            "goodput_tokens_per_s", "Goodput", "tokens/s",
            "generated tokens of the requests within the objective, over the time from the first send to the end",
            lambda m: m.chosen.tokens_per_s(m.chosen.probe.kept),
        ),
    ),
    origin=(
        Column(BOUND, "what is known where no rate held, all did, or the bracket stayed wide", _bounds),
        POLICY,
        Column("search_ended_by", "bracket, probes, budget, prompts, client or server", _of_search("search_ended_by")),
        Column(FAILURE, "how the server failed at a rate above one that held", _of_search(FAILURE)),
        *_OBJECTIVE,
    ),
)  # fmt: skip
"""View for tables of rates that hold."""


def _percentile(samples: list[float]) -> float | None:
    return quantile(sorted(samples), 0.99) if samples else None


PROBES = View(
    points=_probes,
    quantities=(
        Quantity(
            "offered_rate_per_s", "Nominal request rate", "requests/s", "mean rate of the Poisson process",
            lambda m: m.probe.rate, Combination.COMMON,
        ),
        Quantity(
            "ttft_p99_s", "TTFT p99", "s", "time to the first token that 99 % of the answered requests do not exceed",
            lambda m: _percentile(m.probe.ttft_s), Combination.COMMON,
        ),
        Quantity(
            "tpot_p99_s", "TPOT p99", "ms", "time per output token that 99 % of the answered requests do not exceed",
            lambda m: _percentile(m.probe.tpot_s), Combination.COMMON, scale=1e3,
        ),
        Quantity(
            "kept_share", "Within the objective", "%",
            "share of the requests of this rate; failed ones are not", lambda m: m.share, Combination.COMMON, scale=1e2,
            decimals=2,
        ),
        Quantity(
            "output_tokens_per_s", "Output throughput", "tokens/s",
            "generated tokens over the time from the first send to the last answer",
            lambda m: m.tokens_per_s(len(m.probe.ttft_s)), Combination.COMMON,
        ),
        Quantity(
            "goodput_tokens_per_s", "Goodput", "tokens/s", "the same of the requests within the objective",
            lambda m: m.tokens_per_s(m.probe.kept), Combination.COMMON,
        ),
    ),
    axes={
        "run": "number of the cell's run, in the order of measuring",
        "probe": "number of the rate, in the order of trying",
    },
    origin=_OBJECTIVE,
)  # fmt: skip
"""View for figures of latency over the nominal rate: every probe of every run."""
