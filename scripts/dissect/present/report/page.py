"""What stands on the page, from manifests, published results, verdicts and drawn figures."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dissect.base.outcome import Status
from dissect.cells.manifest import Manifest, ManifestCell, read_manifest
from dissect.cells.reported import ReportItem, ReportManifest
from dissect.config.catalog import PREDICTION
from dissect.config.claims import CLAIMS
from dissect.config.kinds import STAGE_TITLES
from dissect.present.recommend.candidates import candidates
from dissect.present.report.direct_answers import DirectAnswer, direct_answers
from dissect.present.report.grid_table import IDS, GridTable, grid_table, ids_of
from dissect.present.report.needs_form import PredictedNeeds
from dissect.present.report.predicted_needs import predicted_needs
from dissect.present.report.predicted_server_needs import server_needs
from dissect.present.report.questions import Form, Labels, forms_of
from dissect.present.report.shared import Pool
from dissect.present.report.side_by_side import SideBySide, side_by_side
from dissect.present.report.verdicts import PageClaim, read_claims
from dissect.present.tables.columns import Record, status_of
from dissect.present.tables.grid import Origin
from dissect.present.tables.labels import framework_labels
from dissect.present.tables.lay_out import LaidOut, lay_out
from dissect.present.tables.tidy import read_record, read_records, slo_of
from dissect.results.cell_runs import CellRuns, read_runs

if TYPE_CHECKING:
    from dissect.present.report.drawings import Drawing, Specs

_STAGES: Mapping[str, str] = {str(stage): title for stage, title in STAGE_TITLES.items()}
"""Looked up by names that were read from files."""
FILTER_TITLES = {
    "stage": "Stage",
    "platform": "Platform",
    "model": "Model",
    "framework": "Framework",
    "method": "Method",
}
TABLES_DIR = "results/tables"
FIGURES_DIR = "results/figures"


@dataclass(frozen=True)
class Item:
    """One table or figure of the paper."""

    name: str
    kind: str
    title: str
    caption: str
    tables: Sequence[GridTable]
    claims: Sequence[PageClaim]
    figure: Path | None
    """SVG that the workflow drew."""
    specs: "Specs"
    """Of a figure what can be chosen, and its description in Vega-Lite."""


@dataclass(frozen=True)
class Section:
    """All items of one stage."""

    stage: str
    title: str
    items: Sequence[Item]
    claims: Sequence[PageClaim]
    """About tables and figures that this page does not have."""


@dataclass(frozen=True)
class Filter:
    """One group of choices."""

    axis: str
    title: str
    choices: Sequence[tuple[str, str]]
    """Id and label."""


@dataclass(frozen=True)
class CellSource:
    """Where the runs of a cell are, and what is needed to read them."""

    manifest: Manifest
    cell: ManifestCell

    def record(self, project: Path) -> Record:
        """The cell with its runs."""
        return read_record(self.cell, self.manifest.platforms[self.cell.platform], project, slo=slo_of(self.manifest))


@dataclass(frozen=True)
class CellEntry:
    """One key: where it stands, and where its runs are, this clone's own first."""

    key: str
    sources: Sequence[CellSource]
    items: Sequence[tuple[str, str]]
    """Name and title of each table and figure that has it."""


@dataclass(frozen=True)
class Page:
    """Everything on index.html."""

    sections: Sequence[Section]
    claims: Sequence[PageClaim]
    filters: Sequence[Filter]
    side_by_side: Sequence[SideBySide]
    facts: Mapping[str, str]
    """What stands at the top: how many cells there are and how they ended."""
    overviews: "Sequence[Drawing]"
    forms: Sequence[Form]
    """What questions are asked with."""
    direct_answers: Sequence[DirectAnswer]
    """What is asked most, answered."""
    needs: Mapping[str, PredictedNeeds]
    """What training and servers would need, predicted, by what asks."""
    predictions: tuple[str, Path, dict[str, Any] | None] | None
    """Title, picture and description of the figure of predictions against what was measured; None without them."""

    @property
    def decided(self) -> Sequence[tuple[PageClaim, str]]:
        """Claims with a verdict somewhere, and the id of the part of the page that has it in full."""
        places = {claim.id: item.name for section in self.sections for item in section.items for claim in item.claims}
        return [(claim, places.get(claim.id, f"claims-{claim.stage}")) for claim in self.claims if claim.decided]

    @property
    def verdicts(self) -> Mapping[str, int]:
        """Verdict -> how often it was given, over claims and platforms."""
        counts = {"holds": 0, "does not hold": 0, "cannot tell": 0, "not measured": 0}
        for claim in self.claims:
            for ruling in claim.rulings:
                counts[ruling.verdict] += 1
        return counts


@dataclass(frozen=True)
class _Laid:
    """An item with what it was made of."""

    item: ReportItem
    manifest: Manifest
    records: list[Record]
    tables: list[GridTable]


def build_page(
    wanted: ReportManifest, manifests: Path, project: Path, keep: Callable[[str, LaidOut], object] = lambda *_: None
) -> Page:
    """Read everything that the page shows; ``manifests`` is the folder of manifests, paths are below the project.

    ``keep`` gets the rows of each item by its name while they are there: the page has no room for those of all cells.

    Raises:
        LayoutError: a layout does not fit its cells.
    """
    laid, predicted, known = _read(wanted, manifests, project, keep)
    platforms = {name: facts.label for each in laid for name, facts in each.manifest.platforms.items()}
    claims: list[PageClaim] = []
    if wanted.claims:
        platforms |= {name: f.label for name, f in read_manifest(manifests / f"{CLAIMS}.json").platforms.items()}
        claims = read_claims(project / TABLES_DIR / f"{CLAIMS}.csv", platforms)
    filters = _filters(laid, platforms)
    labels = {each.axis: dict(each.choices) for each in filters}
    asked = {
        "need": predicted_needs(known, wanted.asked, labels),
        "server": server_needs(known, wanted.asked, labels),
    }
    del known  # As many records again as the tables have: what is left needs the room.
    forms, answers = _answers([record for each in laid for record in each.records], wanted, labels)
    # Altair takes 28 MB: the room that the candidates of the answers had.
    from dissect.present.report.drawings import figure_specs, overviews, prediction_spec

    items = [_item(each, claims, project, figure_specs(each.manifest, each.records)) for each in laid]
    return Page(
        sections=_sections(wanted, items, claims),
        claims=claims,
        filters=filters,
        side_by_side=side_by_side((each.manifest, each.records) for each in laid),
        facts=_facts([record for each in laid for record in each.records]),
        overviews=overviews([(each.manifest, each.records) for each in laid]),
        forms=forms,
        direct_answers=answers,
        needs={name: form for name, form in asked.items() if form},
        predictions=(
            predicted.title,
            project / FIGURES_DIR / f"{PREDICTION}.svg",
            prediction_spec(predicted, project / TABLES_DIR / f"{PREDICTION}.csv"),
        )
        if predicted
        else None,
    )


def _read(
    wanted: ReportManifest, manifests: Path, project: Path, keep: Callable[[str, LaidOut], object]
) -> tuple[list[_Laid], Manifest | None, list[Record]]:
    """All items, and the cells that are predicted; each result is read once."""
    pool = Pool()

    def known(name: str) -> Manifest:
        return pool.part(read_manifest(manifests / f"{name}.json"))

    @cache
    def read(path: Path) -> CellRuns:
        cell = read_runs(path)
        for run in cell.runs:
            pool.part(run)
        return cell

    laid = [_lay_out(item, known(item.name), project, read, keep) for item in wanted.items]
    predicted = known(PREDICTION) if wanted.predictions else None
    return laid, predicted, read_records(predicted, project, read) if predicted else []


def _lay_out(
    item: ReportItem,
    manifest: Manifest,
    project: Path,
    read: Callable[[Path], CellRuns],
    keep: Callable[[str, LaidOut], object],
) -> _Laid:
    records = read_records(manifest, project, read)
    found = lay_out(manifest, records)
    keep(item.name, found)
    return _Laid(item, manifest, records, [grid_table(grid, manifest.title) for grid in found.grids])


def _item(laid: _Laid, claims: Iterable[PageClaim], project: Path, specs: "Specs") -> Item:
    manifest = laid.manifest
    return Item(
        name=manifest.name,
        kind=manifest.kind,
        title=manifest.title,
        caption=manifest.caption,
        tables=laid.tables,
        claims=[claim for claim in claims if claim.is_about(manifest.title)],
        figure=project / FIGURES_DIR / f"{manifest.name}.svg" if manifest.kind == "figure" else None,
        specs=specs,
    )


def _answers(
    records: Iterable[Record], wanted: ReportManifest, labels: Labels
) -> tuple[list[Form], list[DirectAnswer]]:
    rows = candidates(records, wanted.terms)
    return forms_of(rows, labels), direct_answers(rows, wanted.suite)


def _sections(wanted: ReportManifest, items: Sequence[Item], claims: Sequence[PageClaim]) -> list[Section]:
    placed = {claim.id for item in items for claim in item.claims}
    rest = [claim for claim in claims if claim.id not in placed]
    stages = [item.stage for item in wanted.items] + [claim.stage for claim in rest]
    return [
        Section(
            stage=stage,
            title=_STAGES[stage],
            items=[item for item, each in zip(items, wanted.items, strict=True) if each.stage == stage],
            claims=[claim for claim in rest if claim.stage == stage],
        )
        for stage in sorted(set(stages), key=list(_STAGES).index)
    ]


def _facts(records: Sequence[Record]) -> dict[str, str]:
    by_cell = {(record.cell.platform, record.cell.id, record.cell.key): record for record in records}
    counts = Counter(status_of(record) for record in by_cell.values())
    out = counts.pop(Status.OOM, 0) + counts.pop(Status.SKIPPED_OOM, 0)
    facts = {
        "platforms": len({record.cell.platform for record in by_cell.values()}),
        "cells": len(by_cell),
        "measured": counts.pop(Status.OK, 0),
        "out of memory": out,
        **dict(sorted(counts.items())),
        "from references": sum(record.cell.reference is not None for record in by_cell.values()),
    }
    return {name: f"{count:,}" for name, count in facts.items() if count}


def origin_of(record: Record) -> Origin:
    """The ids of a record's cell."""
    cell = record.cell
    return Origin(cell.key, cell.stage, cell.platform, cell.model, cell.framework, cell.method)


def _filters(laid: Sequence[_Laid], platforms: Mapping[str, str]) -> list[Filter]:
    labels = {
        "stage": _STAGES,
        "platform": platforms,
        "model": {name: facts.label for each in laid for name, facts in each.manifest.models.items()},
        "framework": framework_labels(),
        "method": {name: facts.label for each in laid for name, facts in each.manifest.methods.items()},
    }
    origins = dict.fromkeys(origin_of(record) for each in laid for record in each.records)
    found = [ids_of(origin) for origin in origins]
    values = {axis: dict.fromkeys(ids[axis] for ids in found if axis in ids) for axis in IDS}
    return [
        Filter(axis, FILTER_TITLES[axis], [(value, labels[axis].get(value, value)) for value in values[axis]])
        for axis in IDS
    ]


def cell_entries(wanted: ReportManifest, manifests: Path) -> list[CellEntry]:
    """Every cell with a published result, by key; results are read when they are needed."""
    sources: dict[str, dict[str, CellSource]] = {}
    places: dict[str, dict[str, str]] = {}
    for item in wanted.items:
        manifest = read_manifest(manifests / f"{item.name}.json")
        for cell in manifest.cells:
            if cell.key and cell.path:
                # The table that has an objective knows more of a cell than one that has none.
                known = sources.setdefault(cell.key, {})
                if cell.path not in known or slo_of(manifest):
                    known[cell.path] = CellSource(manifest, cell)
                places.setdefault(cell.key, {})[item.name] = manifest.title
    return [
        CellEntry(key, sorted(known.values(), key=lambda source: bool(source.cell.reference)), [*places[key].items()])
        for key, known in sorted(sources.items())
    ]
