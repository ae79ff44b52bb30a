"""Table I: facts that each platform declares, and facts detected on it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from dissect.base.units import GIB
from dissect.cells.manifest import Fact, Manifest
from dissect.metrics.inspection import InspectMetrics
from dissect.present.tables.columns import Record, Scalar, metrics_of, status_of
from dissect.present.tables.grid import Grid, GridEntry, Origin
from dissect.present.tables.marks import NOT_AVAILABLE, mark

COLUMNS = {
    "platform": "id of the platform file",
    "fact": "what is declared or detected",
    "declared": "by the platform file, with its unit; empty if it says nothing",
    "detected": "on the machine, with its unit; empty if it was not or cannot be",
    "agrees": "yes or no; empty where there is nothing to compare",
    "source": "published result that has the detected value, or why there is none",
}
"""Column of Table I's CSV -> its meaning."""

NOT_MEASURED = "not measured: no cell inspects this platform"
UNDETECTABLE = "no driver reports it"
STAND_IN = "processes stand for GPUs on this platform"


@dataclass(frozen=True)
class Detector:
    """How to read one fact from an inspection, and how to compare it with its declaration."""

    read: Callable[[InspectMetrics], str | None]
    agree: Callable[[str, InspectMetrics], bool | None]
    """Whether the declaration agrees; None if it names nothing comparable."""
    of_gpus: bool = False
    """Whether the fact is about GPUs, so that processes in place of GPUs have no value for it."""


def table_rows(manifest: Manifest, records: list[Record]) -> list[dict[str, Scalar]]:
    """One row per platform and fact, in the declared order."""
    by_platform = {record.cell.platform: record for record in records}
    facts = _fact_names(manifest)
    return [_row(manifest, name, fact, by_platform.get(name)) for name in manifest.platforms for fact in facts]


def table_grid(manifest: Manifest, records: list[Record], rows: Sequence[Mapping[str, Scalar]]) -> Grid:
    """Facts as rows, and a pair of columns (declared, detected) per platform."""
    by_platform = {record.cell.platform: record for record in records}
    cells = {(row["platform"], row["fact"]): row for row in rows}
    facts = _fact_names(manifest)
    labels = {name: platform.label for name, platform in manifest.platforms.items()}
    return Grid(
        name=manifest.name,
        title=manifest.title,
        caption=manifest.caption,
        row_names=("Fact",),
        rows=[(fact,) for fact in facts],
        columns=[(label, what) for label in labels.values() for what in ("declared", "detected")],
        entries=[
            [entry for name in labels for entry in _pair(cells[name, fact], by_platform.get(name))] for fact in facts
        ],
        alignment="left",
        remarks=[f"{p.label}: peaks from {p.peak_source}." for p in manifest.platforms.values() if p.peak_source],
    )


def _row(manifest: Manifest, name: str, fact: str, record: Record | None) -> dict[str, Scalar]:
    declared = manifest.platforms[name].declared.get(fact)
    row: dict[str, Scalar] = {"platform": name, "fact": fact, "declared": declared, "detected": None, "agrees": None}
    metrics = _inspected(record)
    if record is None or metrics is None:
        return row | {"source": _why_not_inspected(record)}
    detector = DETECTORS.get(fact)
    if detector is None:
        return row | {"source": UNDETECTABLE}
    on_cpu = record.spec is not None and record.spec.hardware.device == "cpu"
    if detector.of_gpus and (on_cpu or not metrics.gpu_names):
        return row | {"source": STAND_IN if on_cpu else "no GPU was found"}
    # The platform cpu may be any machine: what its file declares are budgets.
    agrees = detector.agree(declared, metrics) if declared and not on_cpu else None
    return row | {
        "detected": detector.read(metrics),
        "agrees": None if agrees is None else "yes" if agrees else "no",
        "source": record.cell.path,
    }


def _pair(row: Mapping[str, Scalar], record: Record | None) -> list[GridEntry]:
    """Entries of the declared and of the detected value."""
    entries = [_declared_entry(row), _detected(row, record)]
    if record is None:
        return entries
    cell = record.cell
    reason = None if _inspected(record) else _why_not_inspected(record)
    origin = Origin(cell.key, cell.stage, cell.platform, cell.model, cell.framework, cell.method, reason)
    return [replace(entry, origin=origin) for entry in entries]


def _declared_entry(row: Mapping[str, Scalar]) -> GridEntry:
    return GridEntry(str(row["declared"] or "not declared"))


def _detected(row: Mapping[str, Scalar], record: Record | None) -> GridEntry:
    if record is None:
        return GridEntry("not measured", (NOT_MEASURED,))
    if _inspected(record) is None:
        return mark({"status": status_of(record), "phase": record.phase, "reason": row["source"]})
    if row["detected"] is None:
        return GridEntry(
            NOT_AVAILABLE, (f"{NOT_AVAILABLE}: {row['source'] if row['source'] != record.cell.path else UNDETECTABLE}",)
        )
    return GridEntry(f"{row['detected']} (differs)" if row["agrees"] == "no" else str(row["detected"]))


def _inspected(record: Record | None) -> InspectMetrics | None:
    return metrics_of(record.runs.newest, InspectMetrics) if record and record.runs else None


def _why_not_inspected(record: Record | None) -> str | None:
    if record is None:
        return NOT_MEASURED
    return record.reason


def _fact_names(manifest: Manifest) -> list[str]:
    """Declared facts in the order in which platforms first name them, followed by facts that are only detected."""
    declared = [fact for platform in manifest.platforms.values() for fact in platform.declared]
    return list(dict.fromkeys([*declared, *DETECTORS]))


def _near(declared: str, size_bytes: int, tolerance: float) -> bool | None:
    """Whether a size agrees with a declaration such as ``80 GiB``, apart from what firmware and kernel reserve."""
    match = re.search(r"([\d.]+) GiB", declared)
    return abs(size_bytes / GIB / float(match[1]) - 1) <= tolerance if match else None


def _same_processor(declared: str, metrics: InspectMetrics) -> bool | None:
    """Whether two names have the same model number (``7402``), since vendors spell names in many ways."""
    numbers = re.findall(r"\d{3,}\w*", declared)
    return all(number in metrics.cpu_model for number in numbers) if numbers else None


def _same_link(declared: str, metrics: InspectMetrics) -> bool | None:
    """Whether two links are of the same kind, their first word: NVLink or PCIe."""
    return declared.split()[0].strip(",").lower() in metrics.interconnect.lower() if metrics.interconnect else None


def _distinct(values: list[str]) -> str:
    return ", ".join(dict.fromkeys(values))


DETECTORS: dict[str, Detector] = {
    Fact.GPU: Detector(lambda m: _distinct(m.gpu_names), lambda d, m: set(m.gpu_names) == {d}, of_gpus=True),
    Fact.GPUS: Detector(lambda m: str(len(m.gpu_names)), lambda d, m: str(len(m.gpu_names)) == d, of_gpus=True),
    Fact.GPU_MEMORY: Detector(
        lambda m: _distinct([f"{size / GIB:.1f} GiB" for size in m.gpu_memory_bytes]),
        lambda d, m: _near(d, min(m.gpu_memory_bytes), 0.05),
        of_gpus=True,
    ),
    Fact.INTERCONNECT: Detector(lambda m: m.interconnect, _same_link, of_gpus=True),
    Fact.CPU: Detector(lambda m: m.cpu_model, _same_processor),
    Fact.HOST_MEMORY: Detector(
        lambda m: f"{m.host_memory_bytes / GIB:.0f} GiB", lambda d, m: _near(d, m.host_memory_bytes, 0.1)
    ),
    Fact.CPU_CORES: Detector(lambda m: str(m.cpu_cores), lambda d, m: d == str(m.cpu_cores)),
    Fact.GPU_DRIVER: Detector(lambda m: m.driver, lambda d, m: d == m.driver, of_gpus=True),
}
"""Fact -> detector of a fact that a machine can report; any other fact is declared only."""
