"""Keys of ``--config`` that ask something of finished cells: ``recommend`` and ``compare``. No other target reads them.

Names in them are checked where the question is answered, so that none can keep another target from running.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, NonNegativeFloat, PositiveFloat, PositiveInt

from dissect.base.model import Model
from dissect.config.names import check_unique

AskedStage = Literal["pretrain", "finetune", "serve"]
Percentile = Literal["p50", "p90", "p95", "p99"]
Objective = Literal["cost", "energy", "time", "memory", "throughput"]
OneOrMore = str | Annotated[list[str], AfterValidator(check_unique)] | None


class Question(Model):
    """Which of the measured settings is best: ``snakemake recommend``."""

    stage: AskedStage | None = None
    """What is to be done."""
    model: str | None = None
    """Which model: the stem of a file in config/models/."""
    platform: OneOrMore = None
    """Platforms to choose from; default: the configured ones, and those of reference results."""
    framework: OneOrMore = None
    """Frameworks or engines to choose from; default: all."""
    method: OneOrMore = None
    """Methods or policies to choose from; default: all."""
    n_gpus: PositiveInt | None = None
    """GPUs to be used, exactly; default: any number."""
    memory_gb: PositiveFloat | None = None
    """Memory of one GPU as cards are sold, in units of 2^30 bytes; the measured peak must not exceed it."""
    max_ttft_s: PositiveFloat | None = None
    """Longest time to the first token (stage ``serve``), at ``percentile``."""
    max_tpot_s: PositiveFloat | None = None
    """Longest time per output token (stage ``serve``), at ``percentile``."""
    max_latency_s: PositiveFloat | None = None
    """Longest time to the end of an answer (stage ``serve``), at ``percentile``."""
    percentile: Percentile = "p99"
    """Share of the requests that must keep within the three limits above."""
    min_tokens_per_s: PositiveFloat | None = None
    """Least throughput over all GPUs; of servers that of generated tokens."""
    minimise: Literal["cost", "energy", "time", "memory"] | None = None
    """What to minimise; without this and ``maximise``: time."""
    maximise: Literal["throughput"] | None = None
    """What to maximise in place of that."""

    @property
    def objective(self) -> Objective:
        """What settings are ranked by."""
        return self.maximise or self.minimise or "time"


class Comparison(Model):
    """Which two sets of cells stand side by side: ``snakemake compare``."""

    left: OneOrMore = None
    """What is compared with: ``results``, a file of ``export``, or a set of reference results, each with
    ``<platform>@`` in front for one platform of it; a list for repeated measurements."""
    right: OneOrMore = None
    """What is compared, spelt likewise."""
    margin: NonNegativeFloat = 0.05
    """Differences up to this share do not matter."""


def names(given: OneOrMore) -> list[str]:
    """A key's value as a list; empty if it was not given."""
    return [given] if isinstance(given, str) else list(given or [])
