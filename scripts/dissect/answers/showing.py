"""The answer to ``show``: the selected cells with their numbers, in one small table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dissect.cells.cell import Cell
from dissect.cells.study import Study
from dissect.present.finished_cells import finished_text
from dissect.present.no_cells import why_no_cells
from dissect.results.cell_runs import CellRuns
from dissect.results.store import STORE_DIR, Failure, Store


def answer(study: Study, project: Path, _given: Mapping[str, Any]) -> str:
    """The cells that are selected, or all of this configuration.

    Raises:
        ResultError: a published file is broken.
    """
    store = Store(project / STORE_DIR)
    cells = {cell.id: cell for cell in study.selected}.values()
    if not cells:
        return why_no_cells(study.catalog)
    return finished_text((cell, _found(cell, store, project)) for cell in cells)


def _found(cell: Cell, store: Store, project: Path) -> CellRuns | Failure | None:
    if cell.path is None or cell.key is None:
        return None
    return store.runs_at(project / cell.path) or store.entry(cell.key).failure()
