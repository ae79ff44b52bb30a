"""Predicted KV cache, duration and latencies of a serving cell."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from dissect.cells.engines import engine_facts
from dissect.cells.spec import ServeSpec
from dissect.predict.curves import MEASURED, Curves, Datasheet, MeasuredOperator, TimeOrigin
from dissect.predict.gpu_power import energy_of
from dissect.predict.predicted_value import PredictedValue
from dissect.predict.server_queue import Served, ServerQueue
from dissect.predict.server_step import StepLoad, StepPace
from dissect.workloads.kv_cache import asked_cache_tokens, cache_bytes_of, room_bytes

LatencyName = Literal["ttft", "tpot", "latency"]
NO_LOAD = "a search for a rate has no load of its own: `plan rates=true` predicts the rate"
"""Why the times of a search are not predicted."""
STEP_S = 1.0e-3
"""Seconds that a step takes beside its kernels: the median over the shipped bursts on H200."""
OFF_BURST: dict[TimeOrigin, float] = {MEASURED: 0.07, "datasheet": 0.34}
"""Share by which times may be off, by where those of the operators come from.

Measured: the largest error of the 11 bursts of the set ``h200``, each predicted from the others, which is their
conformal quantile for 90 %. That of datasheets is that of training steps. It also counts where no burst of the engine
is known on that GPU, since what the others show of an unknown scheduler was not measured.
"""
OFF_LATENCY: dict[LatencyName, float] = {"ttft": 0.36, "tpot": 0.15, "latency": 0.07}
"""Share by which a latency at any percentile may be off, if that is more than for the duration.

Measured: the largest error of these bursts at p50, p90 and p99, relative to the prediction, as that of durations.
"""


@dataclass(frozen=True)
class StepCost:
    """What a step takes beside its kernels, and what it was taken from."""

    seconds: float
    source: str
    """In words."""
    cells: tuple[str, ...] = ()
    """Cells that show it."""
    is_own: bool = False
    """Whether these are bursts of the same engine on the same GPU."""


@dataclass(frozen=True)
class MeasuredBurst:
    """What a measured cell shows of the steps of an engine on a GPU."""

    cell: str
    """Its readable id."""
    identity: str
    """What it serves on which GPUs: cells of one identity are repetitions."""
    gpu_model: str
    engine: str
    step_s: float
    """Seconds of a step beside its kernels with which the burst lasts as long as measured."""


@dataclass(frozen=True)
class ServerPrediction:
    """Predicted cache and times of a load on a server; times are seconds."""

    cache_tokens: int
    """Capacity of the KV cache over all requests."""
    cache_low: int
    cache_high: int
    served: Served
    low_s: float
    high_s: float
    """Ends of the interval of the duration."""
    off: float
    """Share by which steps may be off."""
    ends: tuple[Served, Served] | None
    """A load that arrives over time with steps as short and as long as they may be; None where all arrive at once."""
    origin: TimeOrigin
    cost: StepCost
    """What a step takes beside its kernels; its cells correct the prediction."""
    n_gpus: int

    def energy_j(self, limit_w: float) -> PredictedValue[float]:
        """Joules of the load over all GPUs, each with a power limit of ``limit_w`` watts."""
        work = self.served.stepped_s - self.cost.seconds * self.served.steps
        works = PredictedValue(work, (1 - self.off) * work, (1 + self.off) * work)
        return energy_of(PredictedValue(self.duration_s, self.low_s, self.high_s), works, self.n_gpus * limit_w)

    @property
    def duration_s(self) -> float:
        """From the first send to the end of the last answer."""
        return self.served.duration_s

    @property
    def tokens_per_s(self) -> float:
        """Generated tokens over the duration."""
        return self.tokens / self.duration_s

    @property
    def sources(self) -> str:
        """Where its times come from, in words."""
        return f"kernels: {self.origin}; beside them: {self.cost.source}"

    @property
    def tokens(self) -> int:
        """Generated tokens of all answers."""
        return sum(answer.tokens for answer in self.served.answers)


def predict_server(
    spec: ServeSpec, operators: Sequence[MeasuredOperator], sheet: Datasheet, cost: StepCost
) -> ServerPrediction | None:
    """The predicted cache and times of a serving cell.

    None where ``why_unpredicted`` has a reason, where not one request fits, and where operators' times are unknown.
    """
    rules, load = engine_facts(spec.framework).batching, spec.workload
    if rules is None or why_unpredicted(spec):
        return None
    curves = Curves(operators, sheet, spec.hardware, load.dtype)
    pace = StepPace(spec, curves)
    if pace.origin == "unknown":
        return None
    tokens, low, high = cache_tokens(spec)
    if tokens < load.input_tokens + load.output_tokens:
        return None
    off = OFF_BURST[pace.origin if cost.is_own else "datasheet"]

    def serve(factor: float) -> Served:
        def seconds(step: StepLoad) -> float:
            return factor * (cost.seconds + pace.seconds(step))

        return ServerQueue(load, rules(spec), tokens, seconds).serve()

    served = serve(1.0)
    duration = served.duration_s
    sent = served.answers[-1].sent_s  # what arrives over time cannot end before its last request is there
    ends = (serve(1 - off), serve(1 + off)) if load.arrival.rate is not None else None
    least = max(sent, duration * (1 - off))
    most, n_gpus = duration * (1 + off), spec.hardware.n_gpus
    return ServerPrediction(tokens, low, high, served, least, most, off, ends, pace.origin, cost, n_gpus)


def why_unpredicted(spec: ServeSpec) -> str | None:
    """Why no times of a serving cell are predicted, in words; None where they are, if those of operators are known."""
    return why_unmodelled(spec) or (NO_LOAD if spec.workload.arrival.search else None)


def why_unmodelled(spec: ServeSpec) -> str | None:
    """Why nothing of a server is predicted, in words; None where its cache and memory are."""
    facts = engine_facts(spec.framework)
    if spec.hardware.device == "cpu":
        return "engines on a CPU are not modelled"
    return f"{facts.label}: {facts.unpredicted}" if facts.batching is None else None


def cache_tokens(spec: ServeSpec) -> PredictedValue[int]:
    """Room of the cache in tokens over all requests; 0 where weights leave none.

    What a spec asks for is certain. Else the engine gives it what its share of memory leaves.

    Raises:
        ValueError: the engine does not say how it forms batches.
    """
    if (asked := asked_cache_tokens(spec)) is not None:
        return PredictedValue(*(max(0, asked),) * 3)
    rules = engine_facts(spec.framework).batching
    if rules is None:
        raise ValueError(f"{spec.framework} does not say how it forms batches")
    kept, each = rules(spec), cache_bytes_of(spec, 1) / spec.hardware.n_gpus
    rooms = (
        room_bytes(spec, kept.memory_share, kept.beside_bytes * (1 + sign * kept.beside_off)) for sign in (0, 1, -1)
    )
    return PredictedValue(*(max(0, int(room / each)) for room in rooms))


def step_cost(known: Iterable[MeasuredBurst], gpu_model: str, engine: str) -> StepCost:
    """The median over measured bursts: of the engine on that GPU, else on others, else of other engines on that GPU.

    A constant where none is known. The host's share of a step differs more between engines than between GPUs.
    """
    bursts = list(known)
    own = [each for each in bursts if each.engine == engine]
    same = [each for each in bursts if each.gpu_model == gpu_model]
    both = [each for each in own if each.gpu_model == gpu_model]
    for found, source in (
        (both, f"measured bursts of {engine} on {gpu_model}"),
        (own, f"measured bursts of {engine} on other GPUs"),
        (same, f"measured bursts of other engines on {gpu_model}"),
    ):
        if found:
            cells = tuple(dict.fromkeys(each.cell for each in found))
            return StepCost(median(each.step_s for each in found), source, cells, is_own=found is both)
    return StepCost(STEP_S, "a constant, measured with H200")


def shown_step_s(predicted: ServerPrediction, measured_s: float) -> float | None:
    """Seconds per step beside its kernels with which a burst lasts ``measured_s``, from one predicted without any.

    None where requests arrive over time, whose steps are not those of a burst.
    """
    if predicted.cost.seconds or predicted.served.answers[-1].sent_s:
        return None
    return max(0.0, measured_s - predicted.duration_s) / predicted.served.steps
