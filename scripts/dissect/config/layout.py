"""The ``layout`` section of an experiment: how its table or figure is arranged. Not part of a cell's identity."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, PositiveFloat, model_validator

from dissect.base.model import Model
from dissect.config.kinds import OperatorFamily
from dissect.config.names import check_unique

CellAxis = Literal["platform", "model", "framework", "method", "workload", "n_gpus", "seq_len", "batch"]
"""Axes that distinguish the cells of a table: the ids and sizes in its manifest."""
OperatorAxis = Literal["product", "rows", "size_bytes", "sequence"]
"""Axes that distinguish the sizes of one operator."""
Axis = Literal[CellAxis, "step_phase", "module", "direction", "run", "request", "probe", OperatorAxis]
"""Axes that distinguish cells, and the numbers of one cell."""

TrainingQuantity = Literal[
    "batch_measured",
    "tokens_per_s",
    "paper_tokens_per_s",
    "step_time_s",
    "step_time_mean_s",
    "step_time_cv",
    "device_tokens_per_s",
    "device_time_s",
    "device_compute_time_s",
    "device_communication_time_s",
    "scaling_efficiency",
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
    "inter_token_pooled_s",
    "latency_mean_s",
    "latency_p50_s",
    "latency_p90_s",
    "latency_p95_s",
    "latency_p99_s",
    "preemptions",
    "server_memory_gib",
    "kv_cache_gib",
    "kv_cache_tokens",
    "max_sequences",
    "most_running",
    "prefill_budget_tokens",
    "graph_sequences",
    "most_answering",
    "tokens_per_joule_served",
    "ready_time_s",
    "send_spread_s",
    "client_cpu",
    "calibration_difference",
]
RateQuantity = Literal[
    "held_rate_per_s", "failed_rate_per_s", "kept_share", "latency_growth", "probes_tried", "goodput_tokens_per_s"
]
ProbeQuantity = Literal[
    "offered_rate_per_s", "ttft_p99_s", "tpot_p99_s", "kept_share", "output_tokens_per_s", "goodput_tokens_per_s"
]
RequestQuantity = Literal["latency_s", "ttft_s", "tpot_s", "sent_s"]
GemmQuantity = Literal[
    "tflops",
    "peak_share",
    "call_time_s",
    "call_time_cv",
    "arithmetic_intensity",
    "flops",
    "traffic_bytes",
    "m",
    "n",
    "k",
]
MemcpyQuantity = Literal["gb_per_s", "call_time_s", "call_time_cv"]
CollectiveQuantity = Literal["algorithm_gb_per_s", "bus_gb_per_s", "call_time_s", "call_time_cv", "message_bytes"]
KernelQuantity = Literal["tflops", "peak_share", "call_time_s", "call_time_cv", "flops"]
PhaseQuantity = Literal[
    "phase_time_s",
    "unprofiled_time_s",
    "compute_time_s",
    "compute_share",
    "recomputation_time_s",
    "communication_overlapped_s",
    "communication_exposed_s",
    "communication_share",
    "busy_share",
    "idle_share",
]
ModuleQuantity = Literal["module_time_s", "module_share", "module_calls"]
AttentionQuantity = Literal["module_time_s", "improvement"]
QuantityName = Literal[
    TrainingQuantity,
    ServingQuantity,
    RequestQuantity,
    RateQuantity,
    ProbeQuantity,
    PhaseQuantity,
    ModuleQuantity,
    AttentionQuantity,
    GemmQuantity,
    MemcpyQuantity,
    CollectiveQuantity,
    KernelQuantity,
]
"""Quantities that a table can show; the view's module in ``dissect.present.tables`` has formulas and units."""

OperatorView = Literal["gemm", "memcpy", "collectives", "attention_kernels"]
ViewName = Literal["training", "phases", "modules", "attention", "serving", "requests", "rates", "probes", OperatorView]
VIEW_OF_FAMILY: dict[OperatorFamily, OperatorView] = {
    "gemm": "gemm",
    "memcpy": "memcpy",
    "collectives": "collectives",
    "attention": "attention_kernels",
}
"""Family of operators -> the view of its cells."""
VIEW_QUANTITIES: dict[ViewName, tuple[str, ...]] = {
    "training": get_args(TrainingQuantity),
    "phases": get_args(PhaseQuantity),
    "modules": get_args(ModuleQuantity),
    "gemm": get_args(GemmQuantity),
    "memcpy": get_args(MemcpyQuantity),
    "collectives": get_args(CollectiveQuantity),
    "attention_kernels": get_args(KernelQuantity),
    "attention": get_args(AttentionQuantity),
    "serving": get_args(ServingQuantity),
    "requests": get_args(RequestQuantity),
    "rates": get_args(RateQuantity),
    "probes": get_args(ProbeQuantity),
}
"""View -> its quantities, in the order of its CSV columns."""
VIEW_AXES: dict[ViewName, tuple[Axis, ...]] = {
    "training": (),
    "gemm": ("product", "rows"),
    "memcpy": ("size_bytes",),
    "collectives": ("size_bytes",),
    "attention_kernels": ("sequence", "direction"),
    "phases": ("step_phase",),
    "modules": ("module", "direction"),
    "attention": ("module", "direction"),
    "serving": (),
    "requests": ("run", "request"),
    "rates": (),
    "probes": ("run", "probe"),
}
"""View -> its axes within one cell."""
VIEW_OF_STAGE: dict[str, tuple[ViewName, ...]] = {
    "pretrain": ("training",),
    "finetune": ("training",),
    "serve": ("serving", "requests", "rates", "probes"),
    "operators": get_args(OperatorView),
    "profile": ("phases", "modules", "attention"),
}
"""Stage -> the views of its cells."""

Axes = Annotated[list[Axis], AfterValidator(check_unique)]
QuantityNames = Annotated[list[QuantityName], AfterValidator(check_unique), Field(min_length=1)]


class Slo(Model):
    """A service-level objective: the limits that a request must meet to count for goodput."""

    ttft_s: PositiveFloat
    """Longest time to the first token, in seconds."""
    tpot_s: PositiveFloat
    """Longest time per output token, in seconds."""


_TRAINING_VALUES: list[QuantityName] = [
    "tokens_per_s", "device_tokens_per_s", "peak_memory_gib", "paper_tokens_per_s", "paper_memory_gib",
]  # fmt: skip


class TableLayout(Model):
    """A table of numbers: every cell of the experiment has its row and column."""

    kind: Literal["pivot"]
    """Kind of layout: numbers of cells, arranged by their axes."""
    view: ViewName = "training"
    """View that the table shows; its module in ``dissect.present.tables`` lists its axes and quantities."""
    rows: Annotated[Axes, Field(min_length=1)]
    """Axes of the rows, outermost first."""
    columns: Axes = []
    """Axes of the columns, outermost first; an axis with a single value moves to the caption."""
    split: Axes = []
    """Axes that split the table into one part per value, for tables that are too wide."""
    values: QuantityNames = _TRAINING_VALUES
    """Quantities shown side by side in each column; the first also shows the outcome of a cell without numbers."""
    slo: Slo | None = None
    """Service-level objective of the goodput of serving cells."""

    @model_validator(mode="after")
    def _axes_once(self) -> Self:
        check_unique([*self.rows, *self.columns, *self.split])
        check_view(self.view, [*self.rows, *self.columns, *self.split], self.values)
        return self


def check_stage_view(stage: str, view: ViewName) -> None:
    """Check that the cells of a stage have a view.

    Raises:
        ValueError: they have not.
    """
    views = VIEW_OF_STAGE.get(stage, ())
    if view not in views:
        raise ValueError(f"the stage '{stage}' has no view '{view}' (known: {', '.join(views) or 'none'})")


def check_view(view: ViewName, axes: Sequence[Axis], values: Sequence[str]) -> None:
    """Check that a view has the axes and quantities.

    Raises:
        ValueError: it lacks one of them.
    """
    known = (*get_args(CellAxis), *VIEW_AXES[view])
    if foreign := [axis for axis in axes if axis not in known]:
        raise ValueError(f"the view '{view}' has no axis '{foreign[0]}' (known: {', '.join(known)})")
    if missing := [value for value in values if value not in VIEW_QUANTITIES[view]]:
        quantities = ", ".join(VIEW_QUANTITIES[view])
        raise ValueError(f"the view '{view}' has no quantity '{missing[0]}' (known: {quantities})")


class PlatformTableLayout(Model):
    """Table I: the declared facts of each platform beside those detected on it."""

    kind: Literal["platforms"]
    """Kind of layout: facts of platforms, declared and detected."""


class FigureLayout(Model):
    """A figure and the table behind it."""

    kind: Literal["scaling", "phases", "curve", "roofline", "throughput", "distribution", "rate"]
    """Kind of figure: ``scaling`` is efficiency over the number of GPUs, ``phases`` busy and idle share of each phase
    of a step, ``curve`` a quantity over a size, ``roofline`` throughput over arithmetic intensity, ``throughput`` bars,
    ``distribution`` cumulative shares of requests, ``rate`` latencies over the offered rate."""
    view: ViewName = "training"
    """View of the figure's CSV."""
    draws: QuantityName | None = None
    """Quantity that a ``throughput`` or ``distribution`` draws; default: the first of ``values``."""
    panels: Axes = []
    """Axes with one panel per value."""
    series: Annotated[Axes, Field(min_length=1)] = ["platform"]
    """Axes with one line, or one group of bars, per value."""
    x: Axes = ["n_gpus"]
    """Axes that distinguish the points of a series, and make the rows of the table behind the figure. The first is the
    x axis of a ``curve``; without ``panels`` a ``throughput`` or ``distribution`` has one panel per value of it."""
    table_view: ViewName | None = None
    """View of the table behind the figure; default: that of its CSV."""
    values: QuantityNames = _TRAINING_VALUES
    """Quantities of the table behind the figure; a ``curve`` draws the first."""
    slo: Slo | None = None
    """Service-level objective of the goodput of serving cells."""

    @model_validator(mode="after")
    def _of_its_views(self) -> Self:
        axes = [*self.panels, *self.series, *self.x]
        check_unique([*self.panels, *self.series, *self.x])
        check_view(self.view, axes, [self.draws] if self.draws else [])
        check_view(self.table_view or self.view, axes, self.values)
        view = {"scaling": "training", "roofline": "gemm", "rate": "probes"}.get(self.kind, self.view)
        if view != self.view or (self.kind in ("curve", "throughput") and not self.x):
            raise ValueError(f"the layout '{self.kind}' needs the view '{view}'" + " and an axis 'x'" * (not self.x))
        return self

    @property
    def drawn(self) -> QuantityName:
        """Quantity that a ``throughput`` or ``distribution`` draws."""
        return self.draws or self.values[0]

    @property
    def table(self) -> TableLayout:
        """Layout of the table behind the figure: one row per point."""
        rows = [*self.panels, *self.series, *self.x]
        return TableLayout(kind="pivot", view=self.table_view or self.view, rows=rows, values=self.values, slo=self.slo)


Layout = Annotated[TableLayout | PlatformTableLayout | FigureLayout, Field(discriminator="kind")]
"""Layout of any experiment; ``kind`` is required."""
