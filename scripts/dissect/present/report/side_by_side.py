"""The same work on several platforms, in tables that no experiment lays out."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dissect.cells.manifest import Manifest
from dissect.config.layout import QuantityName, TableLayout, ViewName
from dissect.present.report.grid_table import GridTable, grid_table
from dissect.present.tables.columns import Record
from dissect.present.tables.pivot import pivot
from dissect.present.tables.tidy import rows_alone
from dissect.present.tables.views import VIEWS

_GPUS = re.compile(r"-n\d+$")
Work = tuple[Any, ...]


@dataclass(frozen=True)
class SideBySide:
    """One stage on all platforms that did the same work."""

    name: str
    title: str
    caption: str
    tables: Sequence[GridTable]


@dataclass(frozen=True)
class _Kind:
    title: str
    view: ViewName
    rows: Sequence[str]
    values: Sequence[QuantityName]


_TRAINING_ROWS = ("model", "framework", "method", "seq_len", "batch")
_TRAINING_VALUES: Sequence[QuantityName] = ("tokens_per_s", "device_tokens_per_s", "peak_memory_gib")
_KINDS = {
    "pretrain": _Kind("Pre-training", "training", _TRAINING_ROWS, _TRAINING_VALUES),
    "finetune": _Kind("Fine-tuning", "training", _TRAINING_ROWS, _TRAINING_VALUES),
    "serve": _Kind(
        "Serving", "serving", ("model", "framework", "method", "workload"), ("output_tokens_per_s", "latency_p50_s")
    ),
}
_CAPTION = (
    "What two platforms or more did with the same model, framework, method and load, each with as many GPUs as it was "
    "measured with at most. A platform marked as a reference was measured elsewhere and ships with the project."
)


def side_by_side(laid: Iterable[tuple[Manifest, Sequence[Record]]]) -> list[SideBySide]:
    """A comparison per stage in which at least two platforms did the same work."""
    manifests = list(laid)
    return [made for stage in _KINDS if (made := _comparison(stage, manifests))]


def _comparison(stage: str, laid: Sequence[tuple[Manifest, Sequence[Record]]]) -> SideBySide | None:
    kind = _KINDS[stage]
    widest: dict[Work, dict[str, Record]] = {}
    for _, records in laid:
        for record in records:
            if record.cell.stage == stage:
                fields = vars(record.cell) | {"workload": _without_gpus(record.cell.workload)}
                by_platform = widest.setdefault(tuple(fields[axis] for axis in kind.rows), {})
                known = by_platform.setdefault(record.cell.platform, record)
                if known.cell.n_gpus < record.cell.n_gpus:
                    by_platform[record.cell.platform] = record
    shared = [by.values() for by in widest.values() if sum(record.runs is not None for record in by.values()) > 1]
    records = [record for several in shared for record in several]
    if not records:
        return None
    fields = {"rows": [*kind.rows], "columns": ["platform"], "values": [*kind.values]}
    layout = TableLayout.model_validate({"kind": "pivot", "view": kind.view, **fields})
    manifest = _manifest(stage, kind, layout, records, [manifest for manifest, _ in laid])
    rows = rows_alone(records, VIEWS[kind.view])
    if "workload" in kind.rows:
        rows = [{**row, "workload": _without_gpus(row["workload"])} for row in rows]
    tables = [grid_table(grid, manifest.title) for grid in pivot(manifest, layout, rows)]
    return SideBySide(manifest.name, manifest.title, manifest.caption, tables)


def _without_gpus(workload: str) -> str:
    """A workload that says nothing of GPUs, of which each platform has its own number."""
    return _GPUS.sub("", workload)


def _manifest(
    stage: str, kind: _Kind, layout: TableLayout, records: Sequence[Record], others: Sequence[Manifest]
) -> Manifest:
    models: Mapping[str, Any] = {name: facts for each in others for name, facts in each.models.items()}
    methods: Mapping[str, Any] = {name: facts for each in others for name, facts in each.methods.items()}
    return Manifest(
        name=f"side_by_side_{stage}",
        kind="table",
        title=f"{kind.title} side by side",
        caption=_CAPTION,
        layout=layout.model_dump(),
        platforms={record.cell.platform: record.platform for record in records},
        models=dict(models),
        methods=dict(methods),
        cells=[record.cell for record in records],
    )
