"""The last lines of a run: what each outcome means for the tables, and where to look."""

import sys
from collections.abc import Iterator
from pathlib import Path

from dissect.cells.cell import Cell
from dissect.cells.study import Study
from dissect.store import Failure, Store

STORE_DIR = Path("results/store")


def summarise(study: Study) -> None:
    """Print failed cells with their logs, and the tables that they keep from being built."""
    for line in summary_lines(study, Store(STORE_DIR)):
        print(line, file=sys.stderr)


def summary_lines(study: Study, store: Store) -> Iterator[str]:
    """One line per failed cell and per table that is missing for it; none if no cell failed."""
    cells = {path: cell for path, cell in study.by_path.items() if not Path(path).exists()}
    failed = {path: failure for path, cell in cells.items() if (failure := _failure(cell, store))}
    for path, failure in failed.items():
        where = f" in phase {failure.phase}" if failure.phase else ""
        yield f"failed: {cells[path].id}: {failure.reason}{where} (attempt {failure.attempt}); log: {failure.log}"
    for name in study.catalog.wanted_experiments:
        missing = [cells[path].id for path in study.paths_of(name) if path in failed]
        if missing:
            yield f"not built: {name} needs {', '.join(missing)}"


def _failure(cell: Cell, store: Store) -> Failure | None:
    path = store.root / (cell.key or "") / "failure.json"
    return Failure.model_validate_json(path.read_bytes()) if path.exists() else None
