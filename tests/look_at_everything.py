"""What the library makes of a project: every key of the whole study, every result, and every table."""

import hashlib
from pathlib import Path
from typing import Any

from dissect.cells.study import load_study
from dissect.present.claims.claims_table import build_claims
from dissect.present.tables.table import Table, build_table
from dissect.results.cell_runs import read_runs

WHOLE_STUDY = {"suite": "full", "tables": "all", "figures": "all", "platforms": ["cpu", "a800", "h200-x4"]}


def look(project: Path) -> dict[str, Any]:
    """Keys by id, how many published results and references are read, and a digest of each table that shows them."""
    tables = _tables(project)
    paths = [*project.glob("results/references/*/*/*/*/*/*/*/*.json"), *project.glob("results/cells/**/*.json")]
    return {
        "keys": keys(project),
        "results": len([read_runs(path).newest for path in paths]),
        "tables": {
            name: hashlib.sha256("".join((table.csv, table.markdown, table.latex, table.html)).encode()).hexdigest()
            for name, table in tables.items()
        },
    }


def keys(project: Path) -> dict[str, str | None]:
    """Key of each cell of the whole study, by id."""
    return {cell.id: cell.key for cells in load_study(project, WHOLE_STUDY).experiments.values() for cell in cells}


def csv_tables(project: Path) -> dict[str, str]:
    """Each table as it is published, by name."""
    return {name: table.csv for name, table in _tables(project).items()}


def _tables(project: Path) -> dict[str, Table]:
    shown = load_study(project, {})
    tables = {name: build_table(shown.manifest(name), project) for name in shown.catalog.wanted_experiments}
    return tables | {"claims": build_claims(shown.claims, project)}


def table_iii(project: Path) -> Table:
    """One of the tables as it is shown."""
    return build_table(load_study(project, {}).manifest("table_III"), project)
