"""Publish what the store has already, before the workflow plans: such a cell needs no job and no environment."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dissect.cells.cell import Cell
from dissect.results.store import Store


def publish_stored(cells: Mapping[str, Cell], store: Store) -> list[str]:
    """Publish the valid results of cells (path -> cell) that are missing at their paths; the paths that are new.

    What cannot be published now, because somebody holds the cell's lock or the disk is full, is left to its job.
    """
    keys = store.keys()
    new = []
    for path, cell in cells.items():
        if cell.key in keys and not Path(path).exists():
            with suppress(OSError):
                if store.entry(cell.key).publish_if_idle(Path(path)):
                    new.append(path)
    return new
