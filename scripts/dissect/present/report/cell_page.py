"""The page of one cell: everything that is known of it, so that a number can be doubted."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from dissect.base.outcome import Flag, Status
from dissect.cells.cell_id import without_set
from dissect.config.kinds import Suite
from dissect.config.layout import VIEW_OF_FAMILY, VIEW_OF_STAGE, ViewName
from dissect.present.remeasure_command import OF_REFERENCES, remeasure
from dissect.present.report.page import CellEntry
from dissect.present.report.samples import samples_svg
from dissect.present.tables.columns import Combination, Quantity, Record, count_starts, start_of
from dissect.present.tables.further_runs import FURTHER_RUNS, further_runs
from dissect.present.tables.labels import axis_label, row_header
from dissect.present.tables.over_runs import only_some_runs, values_of
from dissect.present.tables.remarks import interval_remarks
from dissect.present.tables.view import View
from dissect.present.tables.views import VIEWS
from dissect.results.result import Result, ResultError
from dissect.results.run_files import files_of_runs
from dissect.results.store import STORE_DIR, Entry, Failure
from dissect.statistics.run_values import RunValue
from dissect.statistics.summarise import summarise

REFERENCES_DIR = "results/references"
TAIL_LINES = 40
_TAIL_BYTES = 16_384
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_UNPRINTABLE = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd]")


@dataclass(frozen=True)
class Numbers:
    """Measured numbers in one table."""

    title: str
    head: Sequence[str]
    lines: Sequence[Sequence[str]]
    down: bool
    """One quantity per line with its meaning, in place of one point per line."""


@dataclass(frozen=True)
class ShownRun:
    """One run of the cell."""

    title: str
    samples: str
    """Pictures of them, as SVG; empty if there are none."""
    fault: str
    """Why samples that are there cannot be drawn."""
    provenance: Sequence[tuple[str, str]]
    durations: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class ShownMeasurement:
    """The cell as this clone, or a set of references, measured it."""

    platform: str
    reference: str | None
    outcome: str
    """Status, and the phase where it ended."""
    ok: bool
    reason: str | None
    numbers: Sequence[Numbers]
    over: str
    """What the intervals are, or why there are none."""
    flags: Sequence[tuple[str, str]]
    runs: Sequence[ShownRun]


@dataclass(frozen=True)
class CellPage:
    """Everything on one cell's page."""

    key: str
    id: str
    title: str
    measurements: Sequence[ShownMeasurement]
    items: Sequence[tuple[str, str]]
    """Name and title of where it stands."""
    spec: Sequence[tuple[str, str]]
    log: str
    failure: Failure | None
    command: str


def build_cell_page(entry: CellEntry, project: Path, suite: Suite) -> CellPage | None:
    """Read what is known of a cell, None where no run can be read; log and failure are those of this clone's store."""
    found = [(source.manifest, source.record(project)) for source in entry.sources]
    records = [(manifest, record) for manifest, record in found if record.runs]
    if not records:
        return None
    manifest, record = records[0]
    cell, folder = record.cell, project / STORE_DIR / entry.key
    own = any(record.cell.reference is None for _, record in records)
    labels = [axis_label(manifest, axis, getattr(cell, axis)) for axis in ("model", "framework", "method")]
    bare = cell.model_copy(update={"platform": without_set(cell.platform)}).id
    assert record.spec is not None
    return CellPage(
        key=entry.key,
        id=bare,
        title=", ".join([*(label for label in labels if label not in ("-", "no model")), cell.workload]),
        measurements=[_measurement(record, project) for _, record in records],
        items=entry.items,
        spec=list(flattened(record.spec.model_dump(mode="json"))),
        log=tail(folder / "log.txt") if own else "",
        failure=Entry(folder).failure() if own else None,
        command=remeasure([bare], suite if own else OF_REFERENCES),
    )


def flattened(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of nested dicts: dotted name -> value as text."""
    for name, value in tree.items():
        path = f"{above}.{name}" if above else name
        if isinstance(value, dict) and value:
            yield from flattened(value, path)
        else:
            yield path, value if isinstance(value, str) else _as_json(value)


def _as_json(value: Any) -> str:
    match value:
        case list() | dict():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return _scalar_as_json(value)


@lru_cache(maxsize=4096, typed=True)
def _scalar_as_json(value: float | bool | None) -> str:
    """Most numbers of a spec are those of the spec before."""
    return json.dumps(value)


def tail(path: Path) -> str:
    """The last lines of a log as plain text, or nothing if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    # A progress bar writes over itself: what is left of a line is its last part.
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in _ANSI.sub("", text).rstrip("\n").split("\n")]
    return _UNPRINTABLE.sub("\ufffd", "\n".join(lines[-TAIL_LINES:])).strip("\n")


def _measurement(record: Record, project: Path) -> ShownMeasurement:
    cell = record.runs
    assert cell is not None
    reference = record.cell.reference
    folder = project / (f"{REFERENCES_DIR}/{reference}/cells" if reference else STORE_DIR) / cell.key
    folders = {run.id: run.folder for run in files_of_runs(folder)}
    ids = cell.ids or ("",) * len(cell.runs)
    return ShownMeasurement(
        platform=record.platform.label,
        reference=reference,
        outcome=f"{cell.status}" + (f" in {cell.phase}" if cell.phase else ""),
        ok=cell.status is Status.OK,
        reason=cell.reason,
        numbers=list(_numbers(record)),
        over=" ".join(
            interval_remarks([{"status": cell.status, "runs": len(cell.runs), "starts": count_starts(cell.runs)}])
        ),
        flags=[(flag.value, Flag(flag).meaning) for flag in cell.flags],
        runs=[_run(run, folders.get(each)) for each, run in zip(ids, cell.runs, strict=True)],
    )


def _run(run: Result, folder: Path | None) -> ShownRun:
    found, start = run.provenance, start_of(run)
    told = [
        found.measured_at if found else "",
        f"start {start}" if start else "",
        f"round {run.round.number} of the pass {run.round.id}" if run.round else "",
    ]
    samples, fault = "", ""
    try:
        samples = samples_svg(run, folder) if folder else ""
    except ResultError as error:
        fault = str(error)
    return ShownRun(
        title=", ".join(filter(None, told)) or "not launched",
        samples=samples,
        fault=fault,
        provenance=list(flattened(found.model_dump(mode="json"))) if found else [],
        durations=[(name, f"{seconds:,.2f}") for name, seconds in run.durations.model_dump().items() if seconds],
    )


def _numbers(record: Record) -> Iterator[Numbers]:
    """The numbers of every view that the cell has."""
    if record.runs is None or record.runs.status is not Status.OK:
        return
    for name in _views(record):
        rows = [row for row in VIEWS[name].rows_of(record) if any(row[q] is not None for q in VIEWS[name].by_name)]
        if rows and VIEWS[name].axes:
            yield _points(name, VIEWS[name], rows)
        elif rows:
            yield _single(name, VIEWS[name], rows[0])
    if record.cell.stage == "inspect":
        metrics = record.runs.newest.metrics
        found = flattened(metrics.model_dump(mode="json", exclude={"kind"}) if metrics else {})
        yield Numbers("What was found", ("Fact", "Value"), list(found), down=True)


def _views(record: Record) -> Sequence[ViewName]:
    """Views that show the cell by itself: no single requests, and nothing that needs another cell."""
    cell = record.cell
    if cell.stage == "operators":
        return [view for family, view in VIEW_OF_FAMILY.items() if family == cell.framework]
    return [name for name in VIEW_OF_STAGE.get(cell.stage, ()) if name not in ("requests", "attention")]


def _single(name: str, view: View, row: Mapping[str, Any]) -> Numbers:
    having = [q for q in view.quantities if row[q.name] is not None or (q.instead and row[q.instead])]
    # Nothing is predicted from one run.
    runs = {q.name: found for q in having if len(found := _predicted(q, row)) > 1} if row["runs"] > 1 else {}
    further = {q: further_runs(summarise(found), view.by_name[q].show) for q, found in runs.items()}
    columns = {
        "Quantity": [q.title for q in having],
        "Value": [_shown(q, row) for q in having],
        FURTHER_RUNS: [further.get(q.name, "") for q in having],
        "Meaning": [q.meaning for q in having],
    }
    shown = {header: texts for header, texts in columns.items() if any(texts)}
    return Numbers(name, [*shown], [*zip(*shown.values(), strict=True)], down=True)


def _predicted(quantity: Quantity, row: Mapping[str, Any]) -> Sequence[RunValue]:
    """The runs that further ones are predicted from; none for what has no interval of its own."""
    return values_of(row, quantity.name) if quantity.combination is Combination.TYPICAL else ()


def _points(name: str, view: View, rows: Sequence[Mapping[str, Any]]) -> Numbers:
    quantities = [q for q in view.quantities if any(row[q.name] is not None for row in rows)]
    head = [*(row_header(axis) for axis in view.axes), *(q.title for q in quantities)]  # type: ignore[arg-type]
    lines = [[*(str(row[axis]) for axis in view.axes), *(_shown(q, row) for q in quantities)] for row in rows]
    return Numbers(name, head, lines, down=False)


def _shown(quantity: Quantity, row: Mapping[str, Any]) -> str:
    if row[quantity.name] is None:
        return str(row[quantity.instead]) if quantity.instead and row[quantity.instead] else "n/a"
    some = only_some_runs(row, quantity.name)
    return quantity.show_row(row) + (f" ({some})" if some else "")
