"""Numbers of a cell that are compared: those of its views, with the values of its runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dissect.cells.cell_id import CellId
from dissect.cells.manifest import ManifestCell, PlatformFacts
from dissect.config.layout import VIEW_OF_FAMILY, VIEW_OF_STAGE, QuantityName, ViewName
from dissect.metrics.training import TrainingMetrics
from dissect.present.tables.columns import Record
from dissect.present.tables.over_runs import mean_of_runs, values_of
from dissect.present.tables.rate_views import search_of
from dissect.present.tables.start_classes import START_CLASS
from dissect.present.tables.views import VIEWS
from dissect.results.cell_runs import CellRuns
from dissect.statistics.numbers import Number
from dissect.statistics.run_values import RunValue

Better = Literal["higher", "lower"]
_OF_OPERATORS: dict[QuantityName, Better] = {"call_time_s": "lower"}
_COMPARED: dict[ViewName, dict[QuantityName, Better]] = {
    "training": {
        "tokens_per_s": "higher", "device_time_s": "lower", "nvml_peak_memory_gib": "lower", "peak_memory_gib": "lower",
        "tokens_per_joule": "higher",
    },
    "phases": {"unprofiled_time_s": "lower", "compute_time_s": "lower"},
    "serving": {
        "output_tokens_per_s": "higher", "ttft_p50_s": "lower", "ttft_p99_s": "lower", "tpot_p50_s": "lower",
        "latency_p50_s": "lower", "latency_p99_s": "lower", "server_memory_gib": "lower",
        "tokens_per_joule_served": "higher",
    },
    "rates": {"held_rate_per_s": "higher"},
    **dict.fromkeys(VIEW_OF_FAMILY.values(), _OF_OPERATORS),
}  # fmt: skip
"""View -> its quantities that are compared."""


_OF_TOKENS: frozenset[QuantityName] = frozenset(("tokens_per_s", "tokens_per_joule"))
"""Those of training that compare where batches differ."""


@dataclass(frozen=True)
class CellNumber:
    """One number of one cell."""

    quantity: str
    better: Better
    number: Number
    """Mean of the runs, of which the ratio is one, even where tables show the largest run."""
    runs: Sequence[RunValue]
    """The number in each run."""
    point: str
    """Size of an operator, phase of a step; empty for a cell as a whole."""
    start_class: str
    """Class of the cell within which starts differ alike."""


def readings_of(cell_id: str, runs: CellRuns) -> Mapping[tuple[str, str], CellNumber]:
    """The positive numbers of a cell by point and quantity; none unless all runs ended ``ok``."""
    return {(reading.point, reading.quantity): reading for reading in _readings(record_of(cell_id, runs))}


def _readings(record: Record) -> Iterator[CellNumber]:
    for name in views_of(record):
        for row in VIEWS[name].rows_of(record):
            point = " ".join(f"{axis}={row[axis]}" for axis in VIEWS[name].axes)
            for quantity, better in _COMPARED[name].items():
                if runs := values_of(row, quantity):
                    yield CellNumber(quantity, better, mean_of_runs(runs), runs, point, row[START_CLASS])


def is_comparable(quantity: str, *sides: CellRuns) -> bool:
    """Whether a number of these cells compares: of steps of several batches, each the largest, only throughputs do."""
    metrics = [run.metrics for side in sides for run in side.runs]
    batches = {each.batch for each in metrics if isinstance(each, TrainingMetrics)}
    return len(batches) < 2 or quantity in _OF_TOKENS


def views_of(record: Record) -> list[ViewName]:
    """The views of a cell whose numbers compare."""
    cell = record.cell
    if cell.stage == "serve":
        # Latencies at rates that differ do not compare.
        return ["rates" if any(map(search_of, record.results)) else "serving"]
    if cell.stage == "operators":
        return [view for family, view in VIEW_OF_FAMILY.items() if family == cell.framework]
    return [view for view in VIEW_OF_STAGE.get(cell.stage, ()) if view in _COMPARED]


def record_of(cell_id: str, runs: CellRuns) -> Record:
    """The cell as views read it; what they compare needs no fact of the platform."""
    named = CellId.parse(cell_id)
    cell = ManifestCell.model_validate(
        {**named._asdict(), "n_gpus": runs.spec.hardware.n_gpus, "key": runs.key, "path": None, "unsupported": None}
    )
    return Record(cell, PlatformFacts(label=named.platform), runs)
