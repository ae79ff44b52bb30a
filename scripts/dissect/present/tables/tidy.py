"""Results of one table's cells, and the tidy CSV made of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dissect.base.text import no_formula
from dissect.cells.manifest import Manifest, ManifestCell, PlatformFacts
from dissect.config.layout import Slo
from dissect.present.tables.columns import Record
from dissect.present.tables.view import View
from dissect.results.cell_runs import CellRuns, read_runs
from dissect.results.result import ResultError


def read_records(
    manifest: Manifest, project: Path, read: Callable[[Path], CellRuns | None] = read_runs
) -> list[Record]:
    """Every cell of the manifest with its published runs, or why they are broken, in the manifest's order."""
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
    """A cell with what ``read`` finds at its published path, or with the reason why that is broken."""
    try:
        runs = read(project / cell.path) if cell.path else None
        if runs and runs.key != cell.key:
            path = project / str(cell.path)
            raise ResultError(f"{path}: holds the cell {runs.key}, but {cell.key} is expected for {cell.id}")
    except ResultError as error:
        return Record(cell, platform, None, slo, broken=str(error).removeprefix(f"{project}/"))
    return Record(cell, platform, runs, slo)


def tidy_rows(records: Iterable[Record], view: View) -> list[dict[str, Any]]:
    """The rows of all cells by column name, with the values of single runs."""
    rows = [(record, dict(row)) for record in records for row in rows_once(record, view)]
    if view.across:
        view.across(rows)
    return [row for _, row in rows]


def rows_once(record: Record, view: View) -> Sequence[Mapping[str, Any]]:
    """The rows of one cell, the same ones for whoever asks; what compares cells of a table is empty."""
    known = record.rows_by_view
    if id(view) not in known:
        known[id(view)] = view.rows_of(record)
    return known[id(view)]


def framed(rows: list[dict[str, Any]], view: View) -> pd.DataFrame:
    """The rows as a frame, columns as the view documents them."""
    # Of dtype object, so that whole numbers stay whole beside empty fields.
    return pd.DataFrame(rows, columns=view.column_names(), dtype=object)


def to_csv(frame: pd.DataFrame) -> str:
    """Text of the CSV, in which no text is a formula; equal frames have equal bytes."""
    texts = frame.select_dtypes(["object", "str"])
    plain = {str(name): pd.Series(map(no_formula, column), frame.index, object) for name, column in texts.items()}
    return frame.assign(**plain).to_csv(index=False, lineterminator="\n")


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The frame's rows by column name, None where a field is empty."""
    names = [str(name) for name in frame.columns]
    columns = [column.astype(object).where(column.notna(), None) for _, column in frame.items()]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
