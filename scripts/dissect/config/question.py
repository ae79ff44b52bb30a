"""Keys of ``--config`` for ``recommend`` and ``compare``, which query finished cells.

The names in them are checked where the query runs, so that a wrong name cannot stop another target.
"""

from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    Field,
    JsonValue,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)

from dissect.base.model import Model
from dissect.config.names import check_unique

AskedStage = Literal["pretrain", "finetune", "serve"]
Percentile = Literal["p50", "p90", "p95", "p99"]
Objective = Literal["cost", "energy", "time", "memory", "throughput"]
HIGHER_IS_BETTER: tuple[Objective, ...] = ("throughput",)
_BY_THROUGHPUT = "maximise=throughput, which ranks by tokens/s per GPU, searches for the rate that holds at that rate"
_LIMITS = "a limit, max_ttft_s or max_tpot_s, beside an objective such as maximise=throughput"
MEANT = {
    **{each: f"minimise={each}" for each in get_args(Objective)},
    "throughput": "maximise=throughput",
    **dict.fromkeys(("rate", "requests_per_s", "rps", "goodput", "tokens_per_s"), _BY_THROUGHPUT),
    "latency": "minimise=time, for servers the latency at `percentile`",
    **dict.fromkeys(("ttft", "tpot"), _LIMITS),
    "inference": "stage=serve",
    **dict.fromkeys(("train", "training"), "stage=pretrain or stage=finetune"),
}
"""Word that users try as a stage or an objective -> what they mean."""
OneOrMore = str | Annotated[list[str], AfterValidator(check_unique)] | None


def _check_share(share: float) -> float:
    if not 0 < share < 1:
        raise ValueError("expected a share above 0 and below 1, such as 0.05 for 5 %")
    return share


_BOUNDS: dict[str, JsonValue] = {"exclusiveMinimum": 0, "exclusiveMaximum": 1}
Share = Annotated[float, AfterValidator(_check_share), Field(json_schema_extra=_BOUNDS)]


class Question(Model):
    """Query for the best of the measured settings: ``snakemake recommend``."""

    stage: AskedStage | None = None
    """Stage to recommend settings for."""
    model: str | None = None
    """Model to recommend settings for: the stem of a file in config/models/."""
    platform: OneOrMore = None
    """Platforms to choose from; default: the configured ones and those with reference results."""
    framework: OneOrMore = None
    """Frameworks or engines to choose from; default: all."""
    method: OneOrMore = None
    """Methods or policies to choose from; default: all."""
    n_gpus: PositiveInt | None = None
    """Exact number of GPUs; default: any."""
    memory_gb: PositiveFloat | None = None
    """Nominal memory of one GPU in units of 2^30 bytes; the measured peak must not exceed it."""
    max_ttft_s: PositiveFloat | None = None
    """Longest time to the first token in seconds, at ``percentile`` (stage ``serve``)."""
    max_tpot_s: PositiveFloat | None = None
    """Longest time per output token in seconds, at ``percentile`` (stage ``serve``)."""
    max_latency_s: PositiveFloat | None = None
    """Longest latency of a request in seconds, at ``percentile`` (stage ``serve``)."""
    percentile: Percentile = "p99"
    """Percentile of requests that must meet ``max_ttft_s``, ``max_tpot_s`` and ``max_latency_s``."""
    min_tokens_per_s: PositiveFloat | None = None
    """Least throughput in tokens per second over all GPUs; for servers in generated tokens."""
    minimise: Literal["cost", "energy", "time", "memory"] | None = None
    """Quantity to minimise; default, unless ``maximise`` is given: time."""
    maximise: Literal["throughput"] | None = None
    """Quantity to maximise, in place of ``minimise``."""

    predicted: bool = True
    """Whether predictions for settings that were not measured stand below the answer."""

    @field_validator("stage", "minimise", "maximise", mode="before")
    @classmethod
    def _means_another(cls, found: object, info: ValidationInfo) -> object:
        meant = MEANT.get(found) if isinstance(found, str) else None
        if meant and meant != f"{info.field_name}={found}":
            raise ValueError(f"expected {meant}")
        return found

    @property
    def objective(self) -> Objective:
        """Quantity by which settings are ranked."""
        return self.maximise or self.minimise or "time"


class Comparison(Model):
    """Comparison of two sets of cells: ``snakemake compare``."""

    left: OneOrMore = None
    """Left side of the comparison: ``results``, a file of ``export``, or a set of reference results, each with
    ``<platform>@`` in front for one platform of it; the runs of a list of sources count together."""
    right: OneOrMore = None
    """Right side of the comparison, in the same notation as ``left``."""
    margin: Share = 0.05
    """Largest relative difference that counts as equivalent, as a share: 0.05 is 5 %."""


def names(given: OneOrMore) -> list[str]:
    """The value of a key as a list; empty if the key was not given."""
    return [given] if isinstance(given, str) else list(given or [])
