"""The ``layout`` section of an experiment: how its table or figure is arranged. No part of any cell's identity."""

from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from dissect.config.kinds import OperatorFamily
from dissect.config.names import check_unique
from dissect.model import Model

CellAxis = Literal["platform", "model", "framework", "method", "workload", "n_gpus", "seq_len", "batch"]
"""What tells the cells of one table apart: the ids and sizes in its manifest."""
OperatorAxis = Literal["product", "rows", "size_bytes", "sequence"]
"""What tells the sizes of one operator apart."""
Axis = Literal[CellAxis, "step_phase", "module", "direction", OperatorAxis]
"""The cells, and what tells the numbers of one cell apart."""

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
    PhaseQuantity,
    ModuleQuantity,
    AttentionQuantity,
    GemmQuantity,
    MemcpyQuantity,
    CollectiveQuantity,
    KernelQuantity,
]
"""What a table can show; the view's module in ``dissect.tables`` says how each is computed and in which unit."""

OperatorView = Literal["gemm", "memcpy", "collectives", "attention_kernels"]
ViewName = Literal["training", "phases", "modules", "attention", OperatorView]
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
}
"""View -> its quantities, in the order of its CSV."""
VIEW_AXES: dict[ViewName, tuple[Axis, ...]] = {
    "training": (),
    "gemm": ("product", "rows"),
    "memcpy": ("size_bytes",),
    "collectives": ("size_bytes",),
    "attention_kernels": ("sequence", "direction"),
    "phases": ("step_phase",),
    "modules": ("module", "direction"),
    "attention": ("module", "direction"),
}
"""View -> its own axes, below the cell."""
VIEW_OF_STAGE: dict[str, tuple[ViewName, ...]] = {
    "pretrain": ("training",),
    "finetune": ("training",),
    "operators": get_args(OperatorView),
    "profile": ("phases", "modules", "attention"),
}
"""Stage -> views that its cells have."""

Axes = Annotated[list[Axis], AfterValidator(check_unique)]
QuantityNames = Annotated[list[QuantityName], AfterValidator(check_unique), Field(min_length=1)]


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

    kind: Literal["scaling", "phases", "curve", "roofline"]
    """``scaling``: efficiency over the number of GPUs; ``phases``: busy and idle share of each phase of a step;
    ``curve``: a quantity over a size; ``roofline``: throughput over arithmetic intensity."""
    view: ViewName = "training"
    """Which numbers."""
    panels: Axes = []
    """Axes that make a panel of their own per value (``curve``)."""
    series: Annotated[Axes, Field(min_length=1)] = ["platform"]
    """Axes that make one line, or one group, per value."""
    x: Axes = ["n_gpus"]
    """Axes that tell the points of a series apart; a ``curve`` runs over the first. All make the rows of the table
    behind the figure."""
    values: QuantityNames = ["tokens_per_s", "peak_memory_gib", "paper_tokens_per_s", "paper_memory_gib"]
    """Quantities of that table; a ``curve`` shows the first."""

    @model_validator(mode="after")
    def _of_one_view(self) -> Self:
        check_unique([*self.panels, *self.series, *self.x])
        _check_view(self.view, [*self.panels, *self.series, *self.x], self.values)
        view = {"scaling": "training", "roofline": "gemm"}.get(self.kind, self.view)
        if view != self.view or (self.kind == "curve" and not self.x):
            raise ValueError(f"the layout '{self.kind}' needs the view '{view}'" + " and an axis 'x'" * (not self.x))
        return self


Layout = Annotated[TableLayout | PlatformTableLayout | FigureLayout, Field(discriminator="kind")]
"""Any experiment's layout; ``kind`` is always given."""
