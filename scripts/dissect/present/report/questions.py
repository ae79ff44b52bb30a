"""What the form of the page answers from: the candidates of ``snakemake recommend``, small enough to embed."""

from collections.abc import Iterable, Mapping
from typing import Any

from dissect.cells.terms import Terms
from dissect.present.recommend.candidates import candidates
from dissect.present.tables.columns import Record
from dissect.present.tables.tidy import plain_rows

_NOT_SHOWN = ("price_per_gpu_hour", "reference", "measured_at", "machine", "git_commit")


def embedded_candidates(records: Iterable[Record], terms: Mapping[str, Terms]) -> list[dict[str, Any]]:
    """Per stage its columns that hold anything, and a list of values per candidate."""
    stages: dict[str, list[dict[str, Any]]] = {}
    for row in plain_rows(candidates(records, terms)):
        stages.setdefault(row["stage"], []).append(row)
    return [_columns_and_rows(rows) for rows in stages.values()]


def _columns_and_rows(rows: list[dict[str, Any]]) -> dict[str, Any]:
    columns = [name for name in rows[0] if name not in _NOT_SHOWN and any(row[name] is not None for row in rows)]
    return {"columns": columns, "rows": [[row[name] for name in columns] for row in rows]}
