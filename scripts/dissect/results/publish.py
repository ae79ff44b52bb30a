"""Publish what the store has, and withdraw what lacks runs, before the workflow plans.

A published cell needs no job and no environment; a withdrawn one gets the job that measures the missing runs.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dissect.cells.cell import Cell
from dissect.results.cell_runs import CellRuns, read_runs
from dissect.results.result import ResultError
from dissect.results.store import Entry, Store, withdrawn_copy


def publish_stored(cells: Mapping[str, Cell], store: Store, withdraw: bool = True) -> list[str]:
    """Bring the published files of cells (path -> cell) in line with the store; returns the paths that changed.

    Without ``withdraw`` no file disappears: another run may read it. What cannot be published now, because somebody
    holds the cell's lock or the disk is full, is left to its job.
    """
    keys, changed = store.keys(), []
    for path, cell in cells.items():
        with suppress(OSError):
            stored = store.entry(cell.key) if cell.key in keys and cell.key else None
            if _settle(stored, Path(path), cell.runs, withdraw):
                changed.append(path)
    return changed


def _settle(stored: Entry | None, published: Path, runs: int, withdraw: bool) -> bool:
    """Publish or withdraw one cell; returns whether its file changed."""
    withdrawn, exists = withdrawn_copy(published), published.exists()
    if exists and (_is_settled(stored, published, runs) if stored else _has(published, runs)):
        return False
    known = stored.peek() if stored else None
    if known is None and not (stored and stored.was_set_aside):
        known = _read(published if exists else withdrawn)  # copied without its store
        stored = None
    if known is None or known.lacking(runs):
        if exists and withdraw:
            published.replace(withdrawn)
        return exists and withdraw
    if exists and stored is None:
        return False
    if not exists and withdrawn.exists() and (not stored or withdrawn.read_bytes() == stored.published_bytes()):
        withdrawn.replace(published)  # with its old time, so that nothing is drawn again
        return True
    return stored is not None and stored.publish_if_idle(published)


def _is_settled(stored: Entry, published: Path, runs: int) -> bool:
    return stored.count() >= runs and not stored.differs_from(published)


def _has(published: Path, runs: int) -> bool:
    """Whether a file without its store holds so many runs; valid or not is seen where they are read."""
    try:
        document = json.loads(published.read_bytes())
    except ValueError:
        return False
    return isinstance(document, dict) and len(document.get("runs", [document])) >= runs


def _read(path: Path) -> CellRuns | None:
    """A file whose runs the store does not have, or None."""
    try:
        return read_runs(path)
    except ResultError:
        return None
