"""The answer to ``show``: the selected cells with their numbers, in one small table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dissect.cells.study import Study
from dissect.present.finished_cells import finished_text
from dissect.results.store import STORE_DIR, Store


def answer(study: Study, project: Path, _given: Mapping[str, Any]) -> str:
    """The cells that are selected, or all of this configuration.

    Raises:
        ResultError: a published file is broken.
    """
    store = Store(project / STORE_DIR)
    cells = {cell.id: cell for cell in study.selected}.values()
    return finished_text((cell, store.runs_at(project / cell.path) if cell.path else None) for cell in cells)
