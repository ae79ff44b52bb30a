"""The ``layout`` section of an experiment: how its table or figure is arranged. No part of any cell's identity."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from dissect.config.names import check_unique
from dissect.model import Model

Axis = Literal["platform", "model", "framework", "method", "workload", "n_gpus", "seq_len", "batch"]
"""What tells the cells of one table apart: the ids and sizes in its manifest."""

QuantityName = Literal[
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
"""What a table can show; ``dissect.tables.quantities`` says how each is computed and in which unit."""

Axes = Annotated[list[Axis], AfterValidator(check_unique)]
QuantityNames = Annotated[list[QuantityName], AfterValidator(check_unique), Field(min_length=1)]


class TableLayout(Model):
    """A table of numbers: every cell of the experiment is found at its row and column."""

    kind: Literal["pivot"]
    """Numbers of cells, arranged by their axes."""
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
        return self


class PlatformTableLayout(Model):
    """Table I: what each platform declares against what was detected on it."""

    kind: Literal["platforms"]
    """Facts of platforms, declared and detected."""


class FigureLayout(Model):
    """A figure; ``kind`` says which."""

    kind: Literal["scaling"]
    """Scaling efficiency over the number of GPUs."""
    series: Annotated[Axes, Field(min_length=1)] = ["platform"]
    """Axes that make one line per value."""


Layout = Annotated[TableLayout | PlatformTableLayout | FigureLayout, Field(discriminator="kind")]
"""Any experiment's layout; ``kind`` is always given."""
