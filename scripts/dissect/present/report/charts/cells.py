"""All cells of the report once, whichever tables they stand in, and what they are called."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dissect.cells.manifest import Manifest, PlatformFacts
from dissect.config.layout import Axis, ViewName
from dissect.present.report.charts.chart import Row, plain
from dissect.present.tables.columns import Record
from dissect.present.tables.labels import axis_label
from dissect.present.tables.views import VIEWS


@dataclass(frozen=True)
class Cells:
    """The cells of all tables and figures in the order in which they first appear."""

    manifest: Manifest
    """All of them merged: labels and peaks of every platform, model and method."""
    records: tuple[Record, ...]
    places: dict[str, tuple[Manifest, ...]]
    """Id of a cell -> what shows it."""

    @classmethod
    def of(cls, parts: Sequence[tuple[Manifest, Sequence[Record]]]) -> "Cells":
        """From at least one manifest with its records."""
        records: dict[str, Record] = {}
        places: dict[str, tuple[Manifest, ...]] = {}
        for manifest, found in parts:
            for record in found:
                records.setdefault(record.cell.id, record)
                places[record.cell.id] = (*places.get(record.cell.id, ()), manifest)
        return cls(_merged([manifest for manifest, _ in parts]), tuple(records.values()), places)

    def of_stage(self, *stages: str) -> list[Record]:
        """The records of some stages."""
        return [record for record in self.records if record.cell.stage in stages]

    def by_place(self, records: Iterable[Record]) -> list[Record]:
        """Those of one platform together, in them those of one model."""
        platforms, models = list(self.manifest.platforms), list(self.manifest.models)
        return sorted(
            records, key=lambda record: (platforms.index(record.cell.platform), models.index(record.cell.model))
        )

    def tables_of(self, records: Iterable[Record]) -> tuple[tuple[str, str], ...]:
        """Name and title of where readers find the numbers."""
        found = {each.name: each for record in records for each in self.places[record.cell.id]}
        tables = [each for each in found.values() if each.kind == "table"]
        return tuple((each.name, each.title) for each in tables or found.values())

    def label(self, axis: Axis, row: Row) -> str:
        """What a row's value is called, safe to show."""
        return plain(axis_label(self.manifest, axis, row[axis]))

    def name(self, row: Row, *axes: Axis) -> str:
        """Several labels."""
        return ", ".join(self.label(axis, row) for axis in axes)

    def colour_of(self, platform: str) -> int:
        """A platform has the same colour in every chart."""
        return list(self.manifest.platforms).index(platform)

    def symbol_of(self, model: str) -> int:
        """A model has the same symbol in every chart."""
        return list(self.manifest.models).index(model) if model in self.manifest.models else 0


def rows_of(records: Iterable[Record], view: ViewName) -> list[Row]:
    """Tidy rows, as in the CSV of a table of this view."""
    return [row for record in records for row in VIEWS[view].rows_of(record)]


def _merged(manifests: Sequence[Manifest]) -> Manifest:
    platforms: dict[str, PlatformFacts] = {}
    for manifest in manifests:
        for name, facts in manifest.platforms.items():
            platforms[name] = _joined(platforms[name], facts) if name in platforms else facts
    return manifests[0].model_copy(
        update={
            "platforms": platforms,
            "models": {name: facts for each in manifests for name, facts in each.models.items()},
            "methods": {name: facts for each in manifests for name, facts in each.methods.items()},
        }
    )


def _joined(facts: PlatformFacts, more: PlatformFacts) -> PlatformFacts:
    """Manifests hold of a platform only what they need."""
    return facts.model_copy(
        update={
            "peak_flops": {**facts.peak_flops, **more.peak_flops},
            "memory_bytes_per_s": facts.memory_bytes_per_s or more.memory_bytes_per_s,
        }
    )
