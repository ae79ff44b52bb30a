"""Finished cells, each with its most telling number: one small table over all stages."""

from collections.abc import Iterable

from tabulate import tabulate

from dissect.base.outcome import Status
from dissect.cells.cell import Cell
from dissect.config.layout import QuantityName, ViewName
from dissect.present.compare.readings import record_of, views_of
from dissect.present.tables.marks import mark
from dissect.present.tables.views import VIEWS
from dissect.results.cell_runs import CellRuns
from dissect.results.store import Failure

_TELLING: dict[ViewName, tuple[QuantityName, QuantityName | None]] = {
    "training": ("tokens_per_s", "peak_memory_gib"),
    "phases": ("unprofiled_time_s", None),
    "serving": ("output_tokens_per_s", "server_memory_gib"),
    "rates": ("held_rate_per_s", None),
    "gemm": ("tflops", None),
    "memcpy": ("gb_per_s", None),
    "collectives": ("bus_gb_per_s", None),
    "attention_kernels": ("tflops", None),
}
"""View -> its most telling number, and its memory."""
_HEAD = ("cell", "number", "unit", "GiB", "runs", "outcome", "flags")
_ALIGN = ("left", "right", "left", "right", "right", "left", "left")


def finished_text(cells: Iterable[tuple[Cell, CellRuns | Failure | None]]) -> str:
    """A line per cell with its runs or its last failure, and one that counts them; of an operator its best size."""
    found = list(cells)
    lines = [_line(cell, runs) for cell, runs in found]
    measured = sum(isinstance(runs, CellRuns) for _, runs in found)
    counted = f"{measured} of {len(found)} cells are measured"
    return f"{tabulate(lines, _HEAD, tablefmt='plain', colalign=_ALIGN, disable_numparse=True)}\n\n{counted}"


def _line(cell: Cell, runs: CellRuns | Failure | None) -> tuple[str, ...]:
    if not isinstance(runs, CellRuns):
        outcome = f"failed: {runs.reason}" if runs else "not measured"
        return cell.id, "", "", "", "0", f"unsupported: {cell.unsupported}" if cell.unsupported else outcome, ""
    count, record = str(len(runs.runs)), record_of(cell.id, runs)
    views = views_of(record)
    if not views:
        return cell.id, "", "", "", count, runs.status.value, ""
    (name, memory), view = _TELLING[views[0]], VIEWS[views[0]]
    row = max(view.rows_of(record), key=lambda point: point[name] or 0)
    if runs.status is not Status.OK or row[name] is None:
        return cell.id, "", "", "", count, mark(row).text if runs.status is not Status.OK else "no number", ""
    quantity = view.by_name[name]
    gib = view.by_name[memory].show(row[memory]) if memory and row[memory] else ""
    flags = str(row["flags"] or "").replace(";", "; ")
    return cell.id, quantity.show_row(row), quantity.unit, gib, count, "ok", flags
