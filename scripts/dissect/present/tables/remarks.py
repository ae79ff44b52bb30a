"""Sentences below a table: machines, meanings of the columns, limitations of a method."""

from collections.abc import Mapping, Sequence
from typing import Any

from dissect.base.outcome import Status
from dissect.cells.cell_id import NO_NAME
from dissect.cells.manifest import Manifest
from dissect.config.layout import Axis
from dissect.present.tables.columns import Quantity
from dissect.present.tables.labels import axis_label, axis_order
from dissect.present.tables.policies import policy_remarks
from dissect.statistics.between_starts import MIN_STARTS

Row = Mapping[str, Any]

_SETTING_AXES: tuple[Axis, ...] = ("model", "framework", "method", "seq_len", "batch")


def remarks(
    manifest: Manifest, rows: Sequence[Row], shown: Sequence[Axis], quantities: Sequence[Quantity]
) -> list[str]:
    """All sentences in their printed order; ``shown`` are the axes of the table itself."""
    columns = [f"{q.header}: {q.meaning}." for q in quantities]
    return [
        _setting(manifest, rows, shown),
        *_held(manifest, rows),
        *_data_types(manifest, rows),
        *columns,
        *(interval_remarks(rows) if any(q.has_interval for q in quantities) else []),
        *_method_notes(manifest, rows),
        *_dates(rows),
        *_references(manifest, rows),
        *policy_remarks(rows),
    ]


def _setting(manifest: Manifest, rows: Sequence[Row], shown: Sequence[Axis]) -> str:
    """Machines, and the axes with a single value, which the table does not show."""
    order = axis_order(rows)
    machines = [_machine(manifest, platform, rows, shown) for platform in order["platform"]]
    constant = [axis for axis in _SETTING_AXES if axis not in shown and len(order[axis]) == 1]
    labels = [axis_label(manifest, axis, order[axis][0]) for axis in constant if order[axis][0] not in (None, NO_NAME)]
    return "; ".join(["Setting: " + ", ".join(machines), *labels]) + "."


def _held(manifest: Manifest, rows: Sequence[Row]) -> list[str]:
    """What the numbers of platforms with held memory are good for."""
    labels = [manifest.platforms[platform].label for platform in axis_order(rows)["platform"]
              if manifest.platforms[platform].memory_is_held]  # fmt: skip
    if not labels:
        return []
    return [f"{', '.join(labels)}: outcomes and memory are those of a smaller card, speeds are those of no card."]


def _data_types(manifest: Manifest, rows: Sequence[Row]) -> list[str]:
    """Platforms, or methods there, that compute in another data type than methods and texts name."""
    sentences = []
    for platform in axis_order(rows)["platform"]:
        here = [row for row in rows if row["platform"] == platform and row["dtype"]]
        others = [row for row in here if row["dtype"] != "bf16"]
        if others:
            methods = dict.fromkeys(axis_label(manifest, "method", row["method"]) for row in others)
            of = "" if len(others) == len(here) else f", {', '.join(methods)}"
            sentences.append(f"{manifest.platforms[platform].label}{of}: fp32 wherever bf16 is named.")
    return sentences


def _machine(manifest: Manifest, platform: str, rows: Sequence[Row], shown: Sequence[Axis]) -> str:
    """Machine such as ``H200 (4 × H200-141G)``, with its sequence lengths if these differ between machines."""
    here, everywhere = axis_order([row for row in rows if row["platform"] == platform]), axis_order(rows)
    facts = manifest.platforms[platform]
    counts = "" if "n_gpus" in shown else ", ".join(map(str, here["n_gpus"])) + " × "
    several = "seq_len" not in shown and len(everywhere["seq_len"]) > 1
    lengths = ", sequence length " + ", ".join(map(str, here["seq_len"])) if several else ""
    return f"{facts.label} ({counts}{facts.gpu_label}{lengths})"


def interval_remarks(rows: Sequence[Row]) -> list[str]:
    """What the numbers in brackets are, or why there are none; nothing where no cell has a number."""
    measured = [row for row in rows if row["status"] == Status.OK]
    if not measured:
        return []
    several = [row for row in measured if _has_interval(row)]
    without = [row["runs"] for row in measured if not _has_interval(row)]
    if not several:
        return [f"One run of each cell{', or one on each of two starts' * (max(without) > 1)}: no interval."]
    starts = [row["starts"] for row in several if row["starts"]]
    over = _counted([row["runs"] for row in several], "run")
    on = f" on {_counted(starts, 'start')}" if starts else ", on starts that are not known"
    here = "; over fewer than three starts it holds for these only" if starts and min(starts) < MIN_STARTS else ""
    single = f"; one run{', or one on each of two starts' * (max(without) > 1)}: no interval" if without else ""
    return [f"In brackets: 95 % confidence interval over {over}{on}{here}{single}."]


def _has_interval(row: Row) -> bool:
    """Whether ``summarise`` gives so many runs on so many starts an interval."""
    starts = row["starts"] or 1
    return bool(row["runs"] > starts or starts >= MIN_STARTS)


def _counted(numbers: Sequence[int], noun: str) -> str:
    """Such as ``5 runs`` or ``3 to 5 runs``."""
    counts = " to ".join(map(str, dict.fromkeys((min(numbers), max(numbers)))))
    return f"{counts} {noun}{'s' if max(numbers) > 1 else ''}"


def _method_notes(manifest: Manifest, rows: Sequence[Row]) -> list[str]:
    methods = [manifest.methods[name] for name in axis_order(rows)["method"] if name in manifest.methods]
    return list(dict.fromkeys(method.note for method in methods if method.note))


def _dates(rows: Sequence[Row]) -> list[str]:
    own = _when([row for row in rows if not row["reference"]])
    return [f"Measured {own} (UTC); the CSV has every cell's key, commit and reason."] if own else []


def _references(manifest: Manifest, rows: Sequence[Row]) -> list[str]:
    """Origin of reference results, a sentence per platform."""
    others = [row for row in rows if row["reference"]]
    sentences = []
    for platform in dict.fromkeys(row["platform"] for row in others):
        own = [row for row in others if row["platform"] == platform]
        label = manifest.platforms[platform].label
        sentences.append(f"{label}: results that the project ships, not of this clone; {origin(own)}.")
    return sentences


def origin(rows: Sequence[Row]) -> str:
    """When, on which machines and at which commits the runs of cells were measured, as a part of a sentence."""
    machines = "; ".join(_each(rows, "machine"))
    commits = ", ".join(dict.fromkeys(commit[:7] for commit in _each(rows, "git_commit"))) or "unknown"
    # Cells whose states alone do not fit are told without a machine.
    return f"measured {_when(rows)} (UTC) on {machines}; commit {commits}" if machines else "none was measured"


def _each(rows: Sequence[Row], field: str) -> list[str]:
    """The values of a field that lists those of a cell's runs, each once."""
    values = (value for row in rows for value in str(row[field] or "").split(";"))
    return [value for value in dict.fromkeys(values) if value]


def _when(rows: Sequence[Row]) -> str:
    days = sorted({time[:10] for time in _each(rows, "measured_at")})
    return " to ".join(dict.fromkeys((days[0], days[-1]))) if days else ""
