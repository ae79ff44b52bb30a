"""Results of one table's cells, and the tidy CSV made of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from dissect.cells.manifest import Manifest, ManifestCell
from dissect.config.layout import Slo
from dissect.present.tables.columns import Record
from dissect.present.tables.view import View
from dissect.results.cell_runs import read_runs
from dissect.results.result import Result, ResultError


def newest_run(path: Path) -> Result:
    """The newest run of a published or stored file.

    Raises:
        ResultError: the file is missing or broken.
    """
    return read_runs(path).newest


def read_records(manifest: Manifest, project: Path, read: Callable[[Path], Result] = newest_run) -> list[Record]:
    """Every cell of the manifest with its published result, in the manifest's order.

    Raises:
        ResultError: a result is missing, broken or another cell's; the message names the file.
    """
    objective = manifest.layout.get("slo")
    slo = Slo.model_validate(objective) if objective else None
    return [
        Record(cell, manifest.platforms[cell.platform], _read(cell, project, read) if cell.path else None, slo)
        for cell in manifest.cells
    ]


def tidy_frame(records: list[Record], view: View) -> pd.DataFrame:
    """The rows of all cells, columns as the view documents them."""
    rows = [(record, row) for record in records for row in view.rows_of(record)]
    if view.across:
        view.across(rows)
    # Of dtype object, so that whole numbers stay whole beside empty fields.
    return pd.DataFrame([row for _, row in rows], columns=view.column_names(), dtype=object)


def to_csv(frame: pd.DataFrame) -> str:
    """Text of the CSV; equal frames have equal bytes."""
    return frame.to_csv(index=False, lineterminator="\n")


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The frame's rows by column name, None where a field is empty."""
    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _read(cell: ManifestCell, project: Path, read: Callable[[Path], Result]) -> Result:
    path = project / str(cell.path)
    result = read(path)
    if result.key != cell.key:
        raise ResultError(f"{path}: holds the cell {result.key}, but the manifest wants {cell.key} for {cell.id}")
    return result
