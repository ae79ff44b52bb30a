"""Publish what the store has, and withdraw what lacks runs, before the workflow plans.

A published cell needs no job and no environment; a withdrawn one gets the job that measures the missing runs.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dissect.cells.cell import Cell
from dissect.results.cell_runs import CellRuns, read_runs
from dissect.results.result import ResultError
from dissect.results.store import Entry, Store, withdrawn_copy


@dataclass
class Published:
    """Paths of published files of which something is to be said."""

    changed: list[str] = field(default_factory=list)
    """Published or withdrawn."""
    withheld: list[str] = field(default_factory=list)
    """Of cells that lack runs, and not withdrawn because another run may read them."""

    @property
    def notices(self) -> list[str]:
        """What the user should know."""
        if not self.withheld:
            return []
        return [
            f"Another snakemake is active in this folder: {len(self.withheld)} cells that lack runs keep their "
            "published results and are not measured; run this again when the other one has ended"
        ]


def publish_stored(cells: Mapping[str, Cell], store: Store, alone: bool = True) -> Published:
    """Bring the published files of cells (path -> cell) in line with the store.

    Beside an active run (not ``alone``) no file disappears. What cannot be published now, because somebody holds the
    cell's lock or the disk is full, is left to its job.
    """
    keys, found = store.keys(), Published()
    for path, cell in cells.items():
        with suppress(OSError):
            entry = store.entry(cell.key or "")
            _settle(cell, entry, entry if cell.key in keys else None, path, alone, found)
    return found


def _settle(cell: Cell, entry: Entry, stored: Entry | None, path: str, alone: bool, found: Published) -> None:
    """Publish or withdraw one cell; ``stored`` is its entry if the store has it."""
    published, runs = Path(path), cell.runs
    withdrawn, exists = withdrawn_copy(published), published.exists()
    if exists and _is_settled(stored, published, runs):
        return
    known = stored.peek() if stored else None
    if known is None and not (stored and stored.was_set_aside):
        known, stored = _read(published if exists else withdrawn), None  # copied without its store
    enough = known is not None and not known.lacking(runs)
    if alone and known and not stored and not enough:
        entry.adopt_published(published, cell.canonical or "")
    if enough and not exists and _is_current(withdrawn, stored):
        withdrawn.replace(published)  # with its old time, so that nothing is drawn again
        found.changed.append(path)
    elif enough and stored and stored.publish_if_idle(published):
        found.changed.append(path)
    elif exists and not enough and alone:
        published.replace(withdrawn)
        found.changed.append(path)
    elif exists and not enough:
        found.withheld.append(path)


def _is_settled(stored: Entry | None, published: Path, runs: int) -> bool:
    """Whether a file holds enough runs, those of its store if it has one; valid or not is seen where they are read."""
    if stored:
        return not stored.lacks_runs(runs) and not stored.differs_from(published)
    try:
        document = json.loads(published.read_bytes())
    except ValueError:
        return False
    return isinstance(document, dict) and len(document.get("runs", [document])) >= runs


def _is_current(withdrawn: Path, stored: Entry | None) -> bool:
    """Whether a withdrawn file is there, with the runs of its store if it has one."""
    return withdrawn.exists() and (not stored or withdrawn.read_bytes() == stored.published_bytes())


def _read(path: Path) -> CellRuns | None:
    """A file whose runs the store does not have; None where it is missing or broken."""
    try:
        return read_runs(path)
    except ResultError:
        return None
