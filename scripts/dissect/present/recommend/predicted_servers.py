"""One serving setting that was not measured, as it is predicted: cache, throughput, latency and cost."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dissect.cells.spec import ServeSpec
from dissect.config.question import Question
from dissect.predict.outlook import Outlook
from dissect.predict.server_times import OFF_LATENCY, LatencyName, ServerPrediction
from dissect.present.recommend.answer_text import cost_words, setting_name
from dissect.present.tables.predicted_latency import predicted_latency
from dissect.statistics.numbers import Number


@dataclass(frozen=True)
class PredictedServer:
    """One server and load with its predictions."""

    row: Mapping[str, Any]
    found: ServerPrediction
    limit_w: float | None
    """Power limit of a GPU in watts; None where no result has it."""
    percentile: str
    """That of the question, such as ``p99``."""

    @property
    def tokens_per_s(self) -> float:
        """Predicted throughput over all GPUs, of generated tokens."""
        return self.found.tokens_per_s

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
            f"TTFT {self.percentile} {self.latency('ttft').show('s')}",
            f"cache {Number(found.cache_tokens, found.cache_low, found.cache_high).show('tokens')}",
        ]  # fmt: skip
        if self.limit_w:
            parts.append(Number(*(each / tokens for each in found.energy_j(self.limit_w))).show("J/token"))
        parts += cost_words(self.row, ends, tokens)
        return f"{setting_name(self.row)}, {self.row['work']}: {', '.join(parts)}, {Outlook.FITS} ({found.sources})"


def predicted_servers(
    row: Mapping[str, Any], spec: ServeSpec, found: ServerPrediction | None, limit_w: float | None, question: Question
) -> Iterator[PredictedServer]:
    """The setting if its cache certainly has room for a request and it keeps within the limits of the question.

    Peak memory of a server is not predicted, so that none keeps within a limit of it.
    """
    load = spec.workload
    if found is None or question.memory_gb or found.cache_low < load.input_tokens + load.output_tokens:
        return
    server = PredictedServer(row, found, limit_w, question.percentile)
    limits = {name: getattr(question, f"max_{name}_s") for name in OFF_LATENCY}
    is_within = all(bound is None or server.latency(name).value <= bound for name, bound in limits.items())
    if is_within and server.tokens_per_s >= (question.min_tokens_per_s or 0):
        yield server
