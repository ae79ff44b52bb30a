"""Sentences below a table: machines, meanings of the columns, limitations of a method."""

from collections.abc import Mapping, Sequence
from typing import Any

from dissect.cells.cell_id import NO_NAME
from dissect.cells.manifest import Manifest
from dissect.config.layout import Axis
from dissect.present.tables.columns import Quantity
from dissect.present.tables.labels import axis_label, axis_order

Row = Mapping[str, Any]

INTERVAL = "; in brackets its distribution-free 95 % confidence interval"

_SETTING_AXES: tuple[Axis, ...] = ("model", "framework", "method", "seq_len", "batch")


def remarks(
    manifest: Manifest, rows: Sequence[Row], shown: Sequence[Axis], quantities: Sequence[Quantity]
) -> list[str]:
    """All sentences in their printed order; ``shown`` are the axes of the table itself."""
    columns = [f"{q.header}: {q.meaning}{INTERVAL if q.interval else ''}." for q in quantities]
    return [
        _setting(manifest, rows, shown),
        *columns,
        *_method_notes(manifest, rows),
        *_dates(rows),
        *_references(manifest, rows),
    ]


def _setting(manifest: Manifest, rows: Sequence[Row], shown: Sequence[Axis]) -> str:
    """Machines, and the axes with a single value, which the table does not show."""
    order = axis_order(rows)
    machines = [_machine(manifest, platform, rows, shown) for platform in order["platform"]]
    constant = [axis for axis in _SETTING_AXES if axis not in shown and len(order[axis]) == 1]
    labels = [axis_label(manifest, axis, order[axis][0]) for axis in constant if order[axis][0] not in (None, NO_NAME)]
    return "; ".join(["Setting: " + ", ".join(machines), *labels]) + "."


def _machine(manifest: Manifest, platform: str, rows: Sequence[Row], shown: Sequence[Axis]) -> str:
    """Machine such as ``H200 (4 × H200-141G)``, with its sequence lengths if these differ between machines."""
    here, everywhere = axis_order([row for row in rows if row["platform"] == platform]), axis_order(rows)
    facts = manifest.platforms[platform]
    counts = "" if "n_gpus" in shown else ", ".join(map(str, here["n_gpus"])) + " × "
    several = "seq_len" not in shown and len(everywhere["seq_len"]) > 1
    lengths = ", sequence length " + ", ".join(map(str, here["seq_len"])) if several else ""
    return f"{facts.label} ({counts}{facts.gpu_label}{lengths})"


def _method_notes(manifest: Manifest, rows: Sequence[Row]) -> list[str]:
    methods = [manifest.methods[name] for name in axis_order(rows)["method"] if name in manifest.methods]
    return list(dict.fromkeys(method.note for method in methods if method.note))


def _dates(rows: Sequence[Row]) -> list[str]:
    own = _when([row for row in rows if not row["reference"]])
    return [f"Measured {own} (UTC); the CSV has every cell's key, commit and reason."] if own else []


def _references(manifest: Manifest, rows: Sequence[Row]) -> list[str]:
    """Origin of reference results: machine, dates and commits."""
    others = [row for row in rows if row["reference"]]
    sentences = []
    for platform in dict.fromkeys(row["platform"] for row in others):
        own = [row for row in others if row["platform"] == platform]
        commits = ", ".join(dict.fromkeys(str(row["git_commit"])[:7] for row in own if row["git_commit"])) or "unknown"
        machines = "; ".join(dict.fromkeys(str(row["machine"]) for row in own if row["machine"]))
        label = manifest.platforms[platform].label
        sentences.append(
            f"{label}: results that the project ships, not of this clone; measured {_when(own)} (UTC) on {machines}; "
            f"commit {commits}."
        )
    return sentences


def _when(rows: Sequence[Row]) -> str:
    days = sorted({row["measured_at"][:10] for row in rows if row["measured_at"]})
    return " to ".join(dict.fromkeys((days[0], days[-1]))) if days else ""
