"""One serving setting that was not measured, as it is predicted: cache, throughput, latency and cost."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dissect.cells.spec import ServeSpec
from dissect.config.question import Question
from dissect.predict.outlook import Outlook
from dissect.predict.server_times import ServerPrediction
from dissect.present.recommend.answer_text import setting_name
from dissect.statistics.numbers import Number
from dissect.statistics.quantiles import quantile


@dataclass(frozen=True)
class PredictedServer:
    """One server and load with its predictions."""

    row: Mapping[str, Any]
    found: ServerPrediction
    percentile: str
    """That of the question, such as ``p99``."""

    @property
    def tokens_per_s(self) -> float:
        """Predicted throughput over all GPUs, of generated tokens."""
        return self.found.tokens_per_s

    @property
    def times_s(self) -> dict[str, float]:
        """TTFT, TPOT and latency at the percentile."""
        answers, share = self.found.served.answers, int(self.percentile[1:]) / 100
        samples = {
            "ttft": [each.first_s - each.sent_s for each in answers],
            "tpot": [(each.end_s - each.first_s) / (each.tokens - 1) for each in answers if each.tokens > 1],
            "latency": [each.end_s - each.sent_s for each in answers],
        }
        return {name: quantile(sorted(times), share) if times else 0.0 for name, times in samples.items()}

    @property
    def text(self) -> str:
        """The setting and its load, and what is predicted of it; the predictor has no interval for latencies."""
        found = self.found
        ends = (found.duration_s, found.low_s, found.high_s)
        tokens = sum(answer.tokens for answer in found.served.answers)
        rate = Number(tokens / ends[0], tokens / ends[2], tokens / ends[1])
        parts = [
            rate.show("tokens/s"), Number(*ends).show("s"),
            f"TTFT {self.percentile} {Number(self.times_s['ttft']).show('s')}",
            f"cache {Number(found.cache_tokens, found.cache_low, found.cache_high).show('tokens')}",
        ]  # fmt: skip
        if price := self.row["price_per_gpu_hour"]:
            per_token = [price * self.row["n_gpus"] * seconds / 3600 * 1e6 / tokens for seconds in ends]
            parts.append(Number(*per_token).show(f"{self.row['currency']} per million tokens"))
        return f"{setting_name(self.row)}, {self.row['work']}: {', '.join(parts)}, {Outlook.FITS}"


def predicted_servers(
    row: Mapping[str, Any], spec: ServeSpec, found: ServerPrediction | None, question: Question
) -> Iterator[PredictedServer]:
    """The setting if its cache certainly has room for a request and it keeps within the limits of the question.

    Peak memory of a server is not predicted, so that none keeps within a limit of it.
    """
    load = spec.workload
    if found is None or question.memory_gb or found.cache_low < load.input_tokens + load.output_tokens:
        return
    server = PredictedServer(row, found, question.percentile)
    limits = {name: getattr(question, f"max_{name}_s") for name in server.times_s}
    is_within = all(bound is None or server.times_s[name] <= bound for name, bound in limits.items())
    if is_within and server.tokens_per_s >= (question.min_tokens_per_s or 0):
        yield server
