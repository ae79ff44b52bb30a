"""The answer to ``show``: the selected cells with their numbers, in one small table."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dissect.cells.cell import Cell
from dissect.cells.study import Study
from dissect.present.finished_cells import FinishedCell, finished_text
from dissect.present.no_cells import why_no_cells
from dissect.results.cell_runs import CellRuns, read_runs
from dissect.results.store import STORE_DIR, Failure, Store


def answer(study: Study, project: Path, _given: Mapping[str, Any]) -> str:
    """The cells that are selected, or all of this configuration, each with its reference results.

    Raises:
        ResultError: a published file is broken.
    """
    store = Store(project / STORE_DIR)
    cells = {cell.id: cell for cell in study.selected}
    if not cells:
        return why_no_cells(study.catalog)
    shared: dict[str, list[FinishedCell]] = {name: [] for name in cells}
    for finished in _references(study, project, cells):
        shared[finished.cell.id].append(finished)
    return finished_text(
        finished
        for cell in cells.values()
        for finished in (FinishedCell(cell, _found(cell, store, project)), *shared[cell.id])
    )


def _references(study: Study, project: Path, cells: Mapping[str, Cell]) -> Iterator[FinishedCell]:
    """Those of these cells; of a set that could not be copied to results/ none."""
    every = (each for found in study.informed.references.values() for each in found if each.cell.id in cells)
    for reference in dict.fromkeys(every):
        path = project / str(reference.cell.path)
        if path.exists():
            yield FinishedCell(reference.cell, read_runs(path), reference.set_name)


def _found(cell: Cell, store: Store, project: Path) -> CellRuns | Failure | None:
    if cell.path is None or cell.key is None:
        return None
    return store.runs_at(project / cell.path) or store.entry(cell.key).failure()
