"""Finished cells, each with its most telling number: one small table over all stages."""

from collections.abc import Iterable
from dataclasses import dataclass

from tabulate import tabulate

from dissect.base.outcome import Status
from dissect.cells.cell import Cell
from dissect.config.layout import QuantityName, ViewName
from dissect.present.compare.readings import record_of, views_of
from dissect.present.tables.marks import mark
from dissect.present.tables.views import VIEWS
from dissect.results.cell_runs import CellRuns
from dissect.results.store import Failure

_TELLING: dict[ViewName, tuple[QuantityName, ...]] = {
    "training": ("tokens_per_s", "nvml_peak_memory_gib", "peak_memory_gib"),
    "phases": ("unprofiled_time_s",),
    "serving": ("output_tokens_per_s", "server_memory_gib"),
    "rates": ("held_rate_per_s",),
    "gemm": ("tflops",),
    "memcpy": ("gb_per_s",),
    "collectives": ("bus_gb_per_s",),
    "attention_kernels": ("tflops",),
}
"""View -> its most telling number, and its memory: the first that it has, that of the driver before the allocator's."""
_HEAD = ("cell", "number", "unit", "GiB", "runs", "outcome", "flags")
_ALIGN = ("left", "right", "left", "right", "right", "left", "left")


@dataclass(frozen=True)
class FinishedCell:
    """What is known of a cell from one source."""

    cell: Cell
    found: CellRuns | Failure | None = None
    """Its runs or its last failure."""
    set_name: str = ""
    """Set of reference results that the runs are from; empty where they are this clone's."""


def finished_text(finished: Iterable[FinishedCell]) -> str:
    """A line per cell and source, and one that counts cells; of an operator its best size.

    A cell that only sets of reference results have has their lines alone.
    """
    listed = list(finished)
    shared = {each.cell.id for each in listed if each.set_name}
    told = [each for each in listed if each.found or each.cell.unsupported or each.cell.id not in shared]
    own = [each for each in listed if not each.set_name]
    measured = sum(isinstance(each.found, CellRuns) for each in own)
    counted = f"{measured} of {len(own)} cells are measured"
    counted += f" here, {len(shared)} have reference results" if shared else ""
    return f"{tabulate(map(_line, told), _HEAD, tablefmt='plain', colalign=_ALIGN, disable_numparse=True)}\n\n{counted}"


def _line(each: FinishedCell) -> tuple[str, ...]:
    cell, runs = each.cell, each.found
    if not isinstance(runs, CellRuns):
        outcome = f"failed: {runs.reason}" if runs else "not measured"
        return cell.id, "", "", "", "0", f"unsupported: {cell.unsupported}" if cell.unsupported else outcome, ""
    origin = f" (reference {each.set_name})" if each.set_name else ""
    *numbers, outcome, flags = _numbers(cell, runs)
    return cell.id, *numbers, outcome + origin, flags


def _numbers(cell: Cell, runs: CellRuns) -> tuple[str, ...]:
    """What ``_HEAD`` has beside the cell."""
    count, record = str(len(runs.runs)), record_of(cell.id, runs)
    views = views_of(record)
    if not views:
        return "", "", "", count, runs.status.value, ""
    (name, *memories), view = _TELLING[views[0]], VIEWS[views[0]]
    row = max(view.rows_of(record), key=lambda point: point[name] or 0)
    if runs.status is not Status.OK or row[name] is None:
        return "", "", "", count, mark(row).text if runs.status is not Status.OK else "no number", ""
    quantity = view.by_name[name]
    gib = next((view.by_name[memory].show(row[memory]) for memory in memories if row[memory]), "")
    flags = str(row["flags"] or "").replace(";", "; ")
    return quantity.show_row(row), quantity.unit, gib, count, "ok", flags
