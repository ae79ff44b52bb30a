"""Which runs of the store may go, by age, protocol or glob, and removing them.

The store only gains runs. What a user no longer wants leaves by ``snakemake prune`` alone: valid runs, those that were
set aside, and broken ones.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dissect.cells.globs import Selection
from dissect.results.activity import is_measured_elsewhere
from dissect.results.run_files import RESULT, files_of_run
from dissect.results.store import Entry, Store, withdrawn_copy


@dataclass(frozen=True)
class PruneQuestion:
    """Which runs to name; all that is given must fit."""

    selection: Selection = field(default_factory=lambda: Selection(()))
    older_than: timedelta | None = None
    protocol: int | None = None
    """Highest protocol number."""

    def names_cell(self, cell_id: str) -> bool:
        """Whether a glob without wildcards names this very cell."""
        return any(not glob.is_wild and glob.matches(cell_id) for glob in self.selection.globs)


@dataclass(frozen=True)
class Prunable:
    """A run that fits a question."""

    cell_id: str
    """Readable id of the cell; empty if neither the configuration nor a published file knows its key."""
    key: str
    what: str
    """``run``, ``set aside`` or ``broken``."""
    path: Path
    """Its folder, or its ``result.json`` in the layout of earlier versions."""
    measured_at: datetime
    size: int
    """Bytes of its files."""
    kept: bool
    """Whether it stays: the newest run of a cell that the configuration wants."""


def find_prunable(
    store: Store, question: PruneQuestion, ids: Mapping[str, str], wanted: Iterable[str], now: datetime
) -> list[Prunable]:
    """Runs that fit, in the order of keys and times; ``ids`` has the readable id of known keys, ``wanted`` keys."""
    needed, found = set(wanted), []
    for key in sorted(store.keys()):
        entry, cell_id = store.entry(key), ids.get(key, "")
        if not _fits(entry, cell_id, question):
            continue
        last = _newest(entry) if key in needed and not question.names_cell(cell_id) else None
        for what, path in _runs_of(entry):
            measured_at = _measured_at(path)
            if question.older_than is None or now - measured_at > question.older_than:
                size = sum(each.stat().st_size for each in files_of_run(path))
                found.append(Prunable(cell_id, key, what, path, measured_at, size, path == last))
    return sorted(found, key=lambda run: (run.cell_id, run.key, run.measured_at))


def remove(entry: Entry, paths: Iterable[Path], published: Iterable[Path]) -> bool:
    """Remove runs of an entry and bring its published files in line; returns False where a process measures it.

    Raises:
        OSError: a file cannot be removed or written.
    """
    with entry.locked_if_idle() as idle:
        if not idle or is_measured_elsewhere(entry):
            return False
        for path in paths:
            for file in files_of_run(path):  # the result first: it makes the others count
                file.unlink(missing_ok=True)
            if path.is_dir():
                shutil.rmtree(path)
        for output in published:
            withdrawn_copy(output).unlink(missing_ok=True)
            if entry.peek() is None:
                output.unlink(missing_ok=True)
            elif output.exists():
                entry.publish(output)
    return True


def _fits(entry: Entry, cell_id: str, question: PruneQuestion) -> bool:
    if question.selection.globs and not (cell_id and question.selection.matches(cell_id)):
        return False
    if question.protocol is None:
        return True
    protocol = (entry.spec() or {}).get("protocol")
    return protocol is not None and protocol <= question.protocol


def _runs_of(entry: Entry) -> Iterator[tuple[str, Path]]:
    """What each run is, and its folder, or its ``result.json`` without one."""
    runs = entry.folder / "runs"
    known = {run.whole for run in entry.run_files()}
    yield from (("run", path) for path in known)
    yield from (("broken", path) for path in runs.glob("*") if path not in known and not path.name.startswith("."))
    yield from (("broken", path) for path in entry.folder.glob(f"{RESULT}.invalid-*"))
    yield from (("set aside", path) for path in entry.folder.glob("set_aside/*/*"))


def _newest(entry: Entry) -> Path | None:
    known = entry.peek()
    return next((run.whole for run in entry.run_files() if known and run.id == known.ids[-1]), None)


def _measured_at(path: Path) -> datetime:
    """When a run was measured, or else written."""
    result = path / RESULT if path.is_dir() else path
    try:
        found = datetime.fromisoformat(json.loads(result.read_bytes())["provenance"]["measured_at"])
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except (OSError, ValueError, KeyError, TypeError):
        return datetime.fromtimestamp((result if result.exists() else path).stat().st_mtime, UTC)
