"""The interactive figures of the page: those of the experiments, and overviews of all cells of a stage."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dissect.base.outcome import Status
from dissect.cells.cell_id import CellId
from dissect.cells.manifest import Manifest
from dissect.config.layout import FigureLayout, QuantityName, ViewName
from dissect.present.figures.against_measured import describe_prediction
from dissect.present.figures.breakdown import modules
from dissect.present.figures.describe import describe, placed, specification
from dissect.present.figures.interactivity import interactivity
from dissect.present.figures.layers import Described
from dissect.present.figures.memory import memory
from dissect.present.figures.subject import Row, Subject
from dissect.present.tables.columns import Record
from dissect.present.tables.marks import mark, short_mark
from dissect.present.tables.read_tidy import read_tidy
from dissect.present.tables.tidy import rows_alone, tidy_rows
from dissect.present.tables.views import VIEWS

Parts = Sequence[tuple[Manifest, Sequence[Record]]]
Specs = Sequence[tuple[str, dict[str, Any]]]
"""What can be chosen, and its description in Vega-Lite."""
MOST_PREDICTED = 500
"""Predicted cells up to which their figure is drawn in the browser; of more the page has the picture alone."""
_LATENCIES: tuple[QuantityName, ...] = ("latency_s", "ttft_s", "tpot_s")
_MEMORY = (
    "Each point is one cell: peak memory of one GPU, as PyTorch's allocator counts it, against throughput per GPU (on "
    "CPU: resident memory of one process). Up and to the left is better. The stepped line joins the cells that no "
    "other of the same platform and model beats in both. Point at a mark to see its method and batch."
)
_SERVERS = (
    "Each point is one load on one server: the tokens/s of a single user (the inverse of the median TPOT) against the "
    "generated tokens/s per GPU. Up and to the right is better. A line joins the loads of one server."
)
_MODULES = (
    "Kernel time per step (on CPU: self time of operators) by module of the model. Each piece is one module, modules "
    "of one kind share a colour. Recomputation is part of the backward phase."
)


@dataclass(frozen=True)
class Overview:
    """What the page draws of all cells of a stage, whichever tables they are in."""

    name: str
    stage: str
    view: ViewName
    kind: Callable[[Subject], Described]
    title: str
    caption: str


OVERVIEWS = (
    Overview("memory-pretrain", "pretrain", "training", memory, "Pre-training: throughput against memory", _MEMORY),
    Overview("memory-finetune", "finetune", "training", memory, "Fine-tuning: throughput against memory", _MEMORY),
    Overview("interactivity", "serve", "serving", interactivity, "Serving: throughput against interactivity", _SERVERS),
    Overview("modules", "profile", "modules", modules, "Which modules take the time", _MODULES),
)


@dataclass(frozen=True)
class Drawing:
    """One overview as the page shows it."""

    name: str
    stage: str
    title: str
    caption: str
    specs: Sequence[tuple[str, dict[str, Any]]]
    """What can be chosen, and its description in Vega-Lite."""
    missing: Sequence[tuple[str, Sequence[str]]]
    """Outcomes with their reasons, and the cells that ended so."""
    tables: Sequence[tuple[str, str]]
    """Name and title of where the numbers are."""


def figure_specs(manifest: Manifest, records: list[Record]) -> Specs:
    """The figure of an experiment as its files have it; of latencies every kind that the servers told."""
    if manifest.kind != "figure":
        return []
    layout = FigureLayout.model_validate(manifest.layout)
    rows = tidy_rows(records, VIEWS[layout.view])
    others = [kind for kind in _LATENCIES if layout.kind == "distribution" and kind != layout.drawn]
    told = [layout.drawn, *(kind for kind in others if any(row[kind] is not None for row in rows))]
    return [
        (VIEWS[layout.view].by_name[kind].header, describe(manifest, layout.model_copy(update={"draws": kind}), rows))
        for kind in told
    ]  # fmt: skip


def prediction_spec(manifest: Manifest, table: Path) -> dict[str, Any] | None:
    """The figure of predictions against what was measured, from their table; None of too many cells."""
    return describe_prediction(manifest, read_tidy(table)) if len(manifest.cells) <= MOST_PREDICTED else None


def overviews(parts: Parts) -> list[Drawing]:
    """The overviews that have a number."""
    found = {record.cell.id: record for _, records in parts for record in records}
    drawings = []
    for overview in OVERVIEWS:
        records = [record for record in found.values() if record.cell.stage == overview.stage]
        rows = rows_alone(records, VIEWS[overview.view])
        if any(row["status"] == Status.OK for row in rows):
            drawings.append(_drawing(overview, parts, records, rows))
    return drawings


def _drawing(
    overview: Overview,
    parts: Sequence[tuple[Manifest, Sequence[Record]]],
    records: Sequence[Record],
    rows: Sequence[Row],
) -> Drawing:
    shown = {record.cell.id for record in records}
    places = [manifest for manifest, inside in parts if any(record.cell.id in shown for record in inside)]
    manifest = merged([each for each, _ in parts]).model_copy(update={"title": overview.title})
    platforms, models = list(manifest.platforms), list(manifest.models)
    ordered = sorted(rows, key=lambda row: (platforms.index(row["platform"]), models.index(row["model"])))
    layout = FigureLayout(kind="curve", view=overview.view, values=[VIEWS[overview.view].quantities[0].name])
    subject = placed(Subject(manifest, layout, ordered), overview.kind)
    spec = specification(subject, overview.kind)
    cells = {str(CellId.of(row)): row for row in subject.rows}
    return Drawing(
        overview.name, overview.stage, overview.title, f"{overview.caption} {count_missing(cells.values())}".rstrip(),
        [("", spec)], _missing(cells), [(each.name, each.title) for each in places if each.kind == "table"],
    )  # fmt: skip


def _missing(cells: dict[str, Row]) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for name, row in cells.items():
        if row["status"] != Status.OK:
            ended = mark(row)
            found.setdefault((ended.notes or (ended.text,))[0], []).append(name)
    return list(found.items())


def count_missing(cells: Iterable[Row]) -> str:
    """Such as ``Without a number: 3 of 14 cells (2 OOM, 1 unsupported).``; says so too where none is missing."""
    statuses = [row["status"] for row in cells]
    ended = Counter(short_mark(status) for status in statuses if status != Status.OK)
    if not ended:
        return f"All {len(statuses)} cells have a number." if len(statuses) > 1 else ""
    named = ", ".join(f"{count} {outcome}" for outcome, count in ended.most_common())
    return f"Without a number: {ended.total()} of {len(statuses)} cells ({named})."


def merged(manifests: Sequence[Manifest]) -> Manifest:
    """One manifest that knows the labels of all platforms, models and methods of several."""
    labels: dict[str, dict[str, Any]] = {"platforms": {}, "models": {}, "methods": {}}
    for kind, known in labels.items():
        for each in manifests:
            known.update(getattr(each, kind))
    return manifests[0].model_copy(update=labels)
