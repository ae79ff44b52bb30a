"""The ``layout`` section of an experiment: how its table or figure is arranged. No part of any cell's identity."""

from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, PositiveFloat, model_validator

from dissect.config.names import check_unique
from dissect.model import Model

CellAxis = Literal["platform", "model", "framework", "method", "workload", "n_gpus", "seq_len", "batch"]
"""What tells the cells of one table apart: the ids and sizes in its manifest."""
Axis = Literal[CellAxis, "request"]
"""The same, and what tells the numbers of one cell apart."""

TrainingQuantity = Literal[
    "batch_measured",
    "tokens_per_s",
    "paper_tokens_per_s",
    "step_time_s",
    "step_time_mean_s",
    "step_time_cv",
    "peak_memory_bytes",
    "peak_memory_gib",
    "nvml_peak_memory_bytes",
    "nvml_peak_memory_gib",
    "paper_memory_gib",
    "mfu",
    "hfu",
    "energy_per_step_j",
    "tokens_per_joule",
    "tokens_per_step",
    "model_flops_per_step",
    "hardware_flops_per_step",
    "parameters",
    "trainable_parameters",
    "first_loss",
    "last_loss",
]
ServingQuantity = Literal[
    "output_tokens_per_s",
    "total_tokens_per_s",
    "requests_per_s",
    "goodput_per_s",
    "load_duration_s",
    "ttft_mean_s",
    "ttft_p50_s",
    "ttft_p90_s",
    "ttft_p95_s",
    "ttft_p99_s",
    "tpot_mean_s",
    "tpot_p50_s",
    "tpot_p90_s",
    "tpot_p95_s",
    "tpot_p99_s",
    "inter_token_mean_s",
    "inter_token_p50_s",
    "inter_token_p90_s",
    "inter_token_p95_s",
    "inter_token_p99_s",
    "latency_mean_s",
    "latency_p50_s",
    "latency_p90_s",
    "latency_p95_s",
    "latency_p99_s",
    "server_memory_gib",
    "kv_cache_gib",
    "kv_cache_tokens",
    "tokens_per_joule_served",
    "ready_time_s",
    "send_spread_s",
    "client_cpu",
    "calibration_difference",
]
RequestQuantity = Literal["latency_s", "ttft_s", "tpot_s", "sent_s"]
QuantityName = TrainingQuantity | ServingQuantity | RequestQuantity
"""What a table can show; the view's module in ``dissect.tables`` says how each is computed and in which unit."""

ViewName = Literal["training", "serving", "requests"]
VIEW_QUANTITIES: dict[ViewName, tuple[str, ...]] = {
    "training": get_args(TrainingQuantity),
    "serving": get_args(ServingQuantity),
    "requests": get_args(RequestQuantity),
}
"""View -> its quantities, in the order of its CSV."""
VIEW_AXES: dict[ViewName, tuple[Axis, ...]] = {"training": (), "serving": (), "requests": ("request",)}
"""View -> its own axes, below the cell."""
VIEW_OF_STAGE: dict[str, tuple[ViewName, ...]] = {
    "pretrain": ("training",),
    "finetune": ("training",),
    "serve": ("serving", "requests"),
}
"""Stage -> views that its cells have."""

Axes = Annotated[list[Axis], AfterValidator(check_unique)]
QuantityNames = Annotated[list[QuantityName], AfterValidator(check_unique), Field(min_length=1)]


class Slo(Model):
    """A service-level objective: what a request must keep within to count as good."""

    ttft_s: PositiveFloat
    """Longest time to the first token."""
    tpot_s: PositiveFloat
    """Longest time per output token."""


class TableLayout(Model):
    """A table of numbers: every cell of the experiment is found at its row and column."""

    kind: Literal["pivot"]
    """Numbers of cells, arranged by their axes."""
    view: ViewName = "training"
    """Which numbers: the view's module in ``dissect.tables`` lists its axes and quantities."""
    rows: Annotated[Axes, Field(min_length=1)]
    """Axes that make the rows, outermost first."""
    columns: Axes = []
    """Axes that make the columns, outermost first; one with a single value moves to the caption."""
    split: Axes = []
    """Axes that make a part of their own per value, for tables too wide to read as one."""
    values: QuantityNames = ["tokens_per_s", "peak_memory_gib", "paper_tokens_per_s", "paper_memory_gib"]
    """Quantities shown side by side in each column; the first also carries the outcome of a cell without numbers."""
    slo: Slo | None = None
    """Objective behind the goodput of serving cells."""

    @model_validator(mode="after")
    def _axes_once(self) -> Self:
        check_unique([*self.rows, *self.columns, *self.split])
        _check_view(self.view, [*self.rows, *self.columns, *self.split], self.values)
        return self


def _check_view(view: ViewName, axes: list[Axis], values: list[QuantityName]) -> None:
    """Refuse axes and quantities that the view does not have."""
    known = (*get_args(CellAxis), *VIEW_AXES[view])
    if foreign := [axis for axis in axes if axis not in known]:
        raise ValueError(f"the view '{view}' has no axis '{foreign[0]}'; it has {', '.join(known)}")
    if missing := [value for value in values if value not in VIEW_QUANTITIES[view]]:
        raise ValueError(f"the view '{view}' has no '{missing[0]}'; it has {', '.join(VIEW_QUANTITIES[view])}")


class PlatformTableLayout(Model):
    """Table I: what each platform declares against what was detected on it."""

    kind: Literal["platforms"]
    """Facts of platforms, declared and detected."""


class FigureLayout(Model):
    """A figure; ``kind`` says which."""

    kind: Literal["scaling", "throughput", "distribution"]
    """``scaling``: efficiency over the number of GPUs; ``throughput``: bars; ``distribution``: shares of requests."""
    view: ViewName = "training"
    """Which numbers are in its CSV."""
    draws: QuantityName = "tokens_per_s"
    """Which of them is drawn."""
    series: Annotated[Axes, Field(min_length=1)] = ["platform"]
    """Axes that make one line, or one group, per value."""
    x: Axes = ["n_gpus"]
    """Axes that tell the points of a series apart; both make the rows of the table behind the figure.

    Of two, the first makes a panel per value.
    """
    table_view: ViewName | None = None
    """Which numbers the table behind it shows; default: those of its CSV."""
    values: QuantityNames = ["tokens_per_s", "peak_memory_gib", "paper_tokens_per_s", "paper_memory_gib"]
    """Quantities of that table."""
    slo: Slo | None = None
    """Objective behind the goodput of serving cells."""

    @model_validator(mode="after")
    def _of_its_views(self) -> Self:
        _check_view(self.view, [*self.series, *self.x], [self.draws])
        _check_view(self.table_view or self.view, [*self.series, *self.x], self.values)
        return self

    @property
    def table(self) -> TableLayout:
        """The table behind it: one row per point."""
        rows = [*self.series, *self.x]
        return TableLayout(kind="pivot", view=self.table_view or self.view, rows=rows, values=self.values, slo=self.slo)


Layout = Annotated[TableLayout | PlatformTableLayout | FigureLayout, Field(discriminator="kind")]
"""Any experiment's layout; ``kind`` is always given."""
