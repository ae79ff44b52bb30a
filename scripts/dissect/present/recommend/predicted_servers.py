"""One serving setting that was not measured, as it is predicted: cache, throughput, latency and cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dissect.base.units import GIB
from dissect.cells.spec import ServeSpec
from dissect.config.question import Question
from dissect.predict.outlook import Outlook
from dissect.predict.predicted_value import PredictedValue
from dissect.predict.server_memory import predict_server_memory
from dissect.predict.server_times import OFF_LATENCY, LatencyName, ServerPrediction, cache_tokens, why_unpredicted
from dissect.present.recommend.answer_text import cost_words, setting_name
from dissect.present.recommend.predicted_rank import LIMITS, Beyond, Predicted, Unpredicted, Untimed
from dissect.present.tables.predicted_latency import predicted_latency
from dissect.statistics.numbers import Number

TITLES: dict[LatencyName, str] = {"ttft": "TTFT", "latency": "latency"}
"""Latencies that are shown."""


@dataclass(frozen=True)
class PredictedServer(Predicted):
    """One server and load with its predictions."""

    row: Mapping[str, Any]
    found: ServerPrediction
    memory: PredictedValue[float] | None
    """Peak per GPU in bytes with its interval; None without a prediction."""
    limit_w: float | None
    """Power limit of a GPU in watts; None where no result has it."""
    percentile: str
    """That of the question, such as ``p99``."""

    @property
    def tokens_per_s(self) -> float:
        """Predicted throughput over all GPUs, of generated tokens."""
        return self.found.tokens_per_s

    @property
    def waited_s(self) -> float:
        """Latency of a request at the percentile in seconds."""
        return self.latency("latency").value

    @property
    def memory_bytes(self) -> float | None:
        """Predicted peak per GPU, as its driver reports it."""
        return self.memory.value if self.memory else None

    @property
    def joules_per_token(self) -> float | None:
        """Predicted energy over all GPUs, of a generated token."""
        return self.found.energy_j(self.limit_w).value / self.found.tokens if self.limit_w else None

    def latency(self, name: LatencyName) -> Number:
        """TTFT, TPOT or latency at the percentile, in seconds; 0 for TPOT of answers of one token."""
        return predicted_latency(self.found, name, int(self.percentile[1:]) / 100) or Number(0.0)

    @property
    def text(self) -> str:
        """The setting and its load, and what is predicted of it, with where its times come from."""
        found = self.found
        ends, tokens = (found.duration_s, found.low_s, found.high_s), found.tokens
        rate = Number(tokens / ends[0], tokens / ends[2], tokens / ends[1])
        parts = [
            rate.show("tokens/s"), Number(*ends).show("s"),
            *(f"{title} {self.percentile} {self.latency(name).show('s')}" for name, title in TITLES.items()),
            f"cache {Number(found.cache_tokens, found.cache_low, found.cache_high).show('tokens')}",
        ]  # fmt: skip
        if self.limit_w:
            parts.append(Number(*(each / tokens for each in found.energy_j(self.limit_w))).show("J/token"))
        parts += cost_words(self.row, ends, tokens)
        return f"{setting_name(self.row)}, {self.row['work']}: {', '.join(parts)}, {Outlook.FITS} ({found.sources})"


def predicted_server(
    row: Mapping[str, Any], spec: ServeSpec, found: ServerPrediction | None, limit_w: float | None, question: Question
) -> PredictedServer:
    """The predictions of a setting.

    Raises:
        Beyond: its cache has no room for a request or may have none, or it does not keep within the question's limits.
        Unpredicted: its times are not predicted.
    """
    length = spec.workload.input_tokens + spec.workload.output_tokens
    if found is None:
        if (reason := why_unpredicted(spec)) or cache_tokens(spec).value >= length:
            raise Unpredicted(reason) if reason else Untimed("the times of its kernels are not known")
        raise Beyond(Outlook.RUNS_OUT)
    if found.cache_low < length:
        raise Beyond(Outlook.CLOSE)
    memory = predict_server_memory(spec)
    server = PredictedServer(row, found, memory, limit_w, question.percentile)
    limits = {name: getattr(question, f"max_{name}_s") for name in OFF_LATENCY}
    is_within = all(bound is None or server.latency(name).value <= bound for name, bound in limits.items())
    if question.memory_gb:
        is_within &= memory is not None and memory.high <= question.memory_gb * GIB
    if not is_within or server.tokens_per_s < (question.min_tokens_per_s or 0):
        raise Beyond(LIMITS)
    return server
