"""Results of one table's cells, and the tidy rows made of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from dissect.cells.manifest import Manifest, ManifestCell, PlatformFacts
from dissect.config.layout import Slo
from dissect.present.tables.columns import Record, Unread
from dissect.present.tables.view import View
from dissect.results.activity import slurm_jobs, under_way
from dissect.results.cell_runs import CellRuns, read_runs
from dissect.results.result import ResultError
from dissect.results.store import STORE_DIR, Store

_HOW_FAR = "'snakemake progress' tells how far the run is"
_running_jobs = cache(slurm_jobs)


def read_records(
    manifest: Manifest, project: Path, read: Callable[[Path], CellRuns | None] = read_runs
) -> list[Record]:
    """Every cell of the manifest with its published runs, or why there are none, in the manifest's order."""
    slo = slo_of(manifest)
    return [read_record(cell, manifest.platforms[cell.platform], project, read, slo) for cell in manifest.cells]


def slo_of(manifest: Manifest) -> Slo | None:
    """The latency objective of a table, if it has one."""
    objective = manifest.layout.get("slo")
    return Slo.model_validate(objective) if objective else None


def read_record(
    cell: ManifestCell,
    platform: PlatformFacts,
    project: Path,
    read: Callable[[Path], CellRuns | None] = read_runs,
    slo: Slo | None = None,
) -> Record:
    """A cell with what ``read`` finds at its published path, or with the reason why that cannot be read."""
    try:
        runs = read(project / cell.path) if cell.path else None
        if runs and runs.key != cell.key:
            path = project / str(cell.path)
            raise ResultError(f"{path}: holds the cell {runs.key}, but {cell.key} is expected for {cell.id}")
    except ResultError as error:
        return Record(cell, platform, None, slo, _unread(cell, project, error))
    return Record(cell, platform, runs, slo)


def _unread(cell: ManifestCell, project: Path, error: ResultError) -> Unread:
    """Why the runs of a cell cannot be read; one without a result is another run's, whose manifests tables show."""
    if cell.reference or not cell.key or (project / str(cell.path)).exists():
        return Unread("broken", str(error).removeprefix(f"{project}/"))
    entry = Store(project / STORE_DIR).entry(cell.key)
    if attempt := under_way(entry, _running_jobs):
        return Unread("running", f"is measured now, on {attempt.host}; {_HOW_FAR}")
    if failure := entry.failure():
        return Unread("failed", f"attempt {failure.attempt} failed: {failure.reason}; log: {failure.log}")
    return Unread("waiting", f"is not measured yet; {_HOW_FAR}")


def tidy_rows(records: Iterable[Record], view: View) -> list[Mapping[str, Any]]:
    """The rows of all cells by column name, with the values of single runs."""
    if not view.across:
        return rows_alone(records, view)
    rows = [(record, dict(row)) for record in records for row in rows_once(record, view)]
    view.across(rows)
    return [row for _, row in rows]


def rows_alone(records: Iterable[Record], view: View) -> list[Mapping[str, Any]]:
    """The rows of all cells, not copied; what compares cells of a table is empty."""
    return [row for record in records for row in rows_once(record, view)]


def rows_once(record: Record, view: View) -> Sequence[Mapping[str, Any]]:
    """The rows of one cell, the same ones for whoever asks; what compares cells of a table is empty."""
    known = record.rows_by_view
    if id(view) not in known:
        known[id(view)] = view.rows_of(record)
    return known[id(view)]
