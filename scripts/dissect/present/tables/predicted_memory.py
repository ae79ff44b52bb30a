"""Predicted against measured peak memory: how wrong the predictions are, by framework and method."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from dissect.base.outcome import Status
from dissect.base.units import GIB
from dissect.cells.manifest import Manifest
from dissect.cells.spec import TrainingSpec
from dissect.predict.memory import MemoryPrediction, predict_memory
from dissect.predict.outlook import Outlook, outlook
from dissect.present.tables.columns import Record
from dissect.present.tables.grid import Grid
from dissect.present.tables.prediction_error import PredictedNumber, errors_and_coverage
from dissect.present.tables.prediction_groups import error_grid, grouped, names_of, training_numbers
from dissect.statistics.numbers import Number

MEMORY_COLUMNS = {
    "stage": "pretrain, finetune, profile or serve",
    "platform": "id of the platform file",
    "model": "id of the model file",
    "framework": "framework or serving engine that ran the cell",
    "method": "the paper's letters, or the policy of a server",
    "workload": "readable id of the workload",
    "batch": "sequences per GPU; of max the largest that passed",
    "status": "outcome of the cell",
    "phase": "phase in which it ran out of memory",
    "measured_bytes": "largest peak of the allocator over GPUs and runs; empty where it ran out",
    "predicted_bytes": "predicted peak of the allocator",
    "predicted_low": "lower end of the interval",
    "predicted_high": "upper end of the interval",
    "error": "predicted / measured - 1",
    "covered": "whether the interval has the measured peak",
    "predicted_phase": "phase of the step in which the peak is predicted",
    "device_memory_bytes": "memory of one GPU that processes may use",
    "outlook": "what is said of such a cell before it runs",
    "fits": "whether it did not run out of memory",
    "call": "right or wrong: whether what was said came; open where it may run out of memory",
    "host_bytes": "predicted host memory of a node, without the processes themselves",
    "parts": "what makes up the predicted peak: name, bytes and origin, separated by ;",
    "reference": "set of reference results; empty for this clone's own",
    "key": "key of the cell in the store",
}
"""Column of the CSV -> its meaning."""
OUTCOMES = (Status.OK, Status.OOM)
"""Outcomes that a call can be held against; what was proven not to fit was not tried."""
COLUMN_HEADERS = (
    "Cells",
    "Median error (%)",
    "Largest error (%)",
    "In the interval",
    "Fits: right",
    "Fits: open",
    "Fits: wrong",
)
RULES = (
    "Errors are predicted / measured - 1, without sign. Right and wrong count cells that ran, and cells that were tried"
    " and ran out of memory, by whether that was expected; open is what may run out of memory. How much of the memory "
    "fragments was set from the largest batches of the shipped cells, which are therefore no test of it "
    "(docs/prediction.md). Cells on cpu and compiled layers have no prediction."
)
Call = Literal["right", "open", "wrong"]


@dataclass(frozen=True)
class ComparedMemory:
    """A measured cell beside its prediction."""

    record: Record
    spec: TrainingSpec
    prediction: MemoryPrediction
    peak: PredictedNumber
    """Peak memory in bytes; not measured where the cell ran out of memory."""

    @property
    def outlook(self) -> Outlook:
        """What is said of such a cell before it runs."""
        return outlook(self.prediction, self.spec.hardware)

    @property
    def call(self) -> Call:
        """Whether the cell did what was said of it; open where that was no answer."""
        if self.outlook is Outlook.CLOSE:
            return "open"
        return "right" if (self.outlook is Outlook.FITS) == (self.peak.measured is not None) else "wrong"


def compare_memory(records: Sequence[Record]) -> Iterator[ComparedMemory]:
    """Each cell with an outcome, beside its prediction; those without a prediction are left out."""
    for record in records:
        spec = record.spec
        if not isinstance(spec, TrainingSpec) or record.runs is None or record.runs.status not in OUTCOMES:
            continue
        found = [metrics for run in record.results if (metrics := training_numbers(run.metrics)) is not None]
        prediction = predict_memory(spec, found[0].batch if found else None)
        if prediction is not None:
            measured = max((metrics.peak_memory_bytes for metrics in found), default=None)
            peak = Number(prediction.peak_bytes, prediction.low_bytes, prediction.high_bytes)
            yield ComparedMemory(record, spec, prediction, PredictedNumber(measured, peak))


def memory_row(each: ComparedMemory) -> dict[str, Any]:
    """The row of a cell by column."""
    cell, found = each.record.cell, each.prediction
    parts = ";".join(f"{part.name}: {part.size} ({part.origin})" for part in found.parts)
    peak = each.peak.columns("measured_bytes", "predicted_bytes", "predicted_low", "predicted_high", "error", "covered")
    return names_of(cell) | peak | {
        "batch": found.batch, "status": each.record.runs and each.record.runs.status.value, "phase": each.record.phase,
        "predicted_phase": found.phase.value, "device_memory_bytes": each.spec.hardware.device_memory_bytes,
        "outlook": each.outlook.value, "fits": each.peak.measured is not None, "call": each.call,
        "host_bytes": found.host_bytes or None, "parts": parts,
        "reference": cell.reference, "key": cell.key,
    }  # fmt: skip


def memory_grid(manifest: Manifest, compared: Sequence[ComparedMemory]) -> Grid:
    """One row over all cells, and one per platform, stage, framework and method."""
    groups = {("all", "", "", ""): list(compared), **grouped(manifest, compared)}
    return error_grid(manifest, "peak memory", groups, COLUMN_HEADERS, _texts, [RULES, _misses(compared)])


def _texts(group: Sequence[ComparedMemory]) -> list[str]:
    calls = [each.call for each in group]
    numbers = errors_and_coverage((each.peak for each in group), 2)
    return [str(len(group)), *numbers, *(str(calls.count(call)) for call in get_args(Call))]


def _misses(compared: Sequence[ComparedMemory]) -> str:
    """The largest errors in words, so that one can look for their cause."""
    wrong = sorted((each for each in compared if each.peak.error), key=lambda each: -abs(each.peak.error or 0))[:3]
    sizes = [(each.prediction.peak_bytes / GIB, (each.peak.measured or 0) / GIB) for each in wrong]
    cells = (
        f"{each.record.cell.id} ({predicted:.2f} GiB for {measured:.2f} GiB)"
        for each, (predicted, measured) in zip(wrong, sizes, strict=True)
    )
    return f"The largest errors: {', '.join(cells)}." if wrong else "No cell fitted."
