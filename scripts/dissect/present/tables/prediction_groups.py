"""Groups of cells that were predicted, and the numbers of a training cell that predictions are held against."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from dissect.cells.manifest import Manifest, ManifestCell
from dissect.config.kinds import STAGE_TITLES
from dissect.metrics.profile import ProfileMetrics
from dissect.metrics.training import TrainingMetrics
from dissect.present.tables.columns import Record
from dissect.present.tables.grid import Grid, GridEntry
from dissect.present.tables.labels import framework_labels

ROW_NAMES = ("Platform", "Stage", "Framework", "Method")


class ComparedCell(Protocol):
    """A measured cell beside its prediction."""

    @property
    def record(self) -> Record:
        """The measured cell."""


C = TypeVar("C", bound=ComparedCell)


def training_numbers(metrics: Any) -> TrainingMetrics | None:
    """The numbers of a training cell, or of the steps of a profiled one that ran without the profiler; else None."""
    if isinstance(metrics, ProfileMetrics):
        return metrics.training
    return metrics if isinstance(metrics, TrainingMetrics) else None


def grouped(manifest: Manifest, compared: Iterable[C]) -> dict[tuple[str, ...], list[C]]:
    """Cells by labels of their platform, stage, framework and method, in the order of these."""
    groups: dict[tuple[str, ...], list[C]] = {}
    labels, titles = framework_labels(), {str(stage): title for stage, title in STAGE_TITLES.items()}
    for each in compared:
        cell = each.record.cell
        place = (manifest.platforms[cell.platform].label, titles[cell.stage], labels[cell.framework], cell.method)
        groups.setdefault(place, []).append(each)
    return dict(sorted(groups.items()))


def error_grid(
    manifest: Manifest,
    about: str,
    groups: Mapping[tuple[str, ...], Sequence[C]],
    headers: Iterable[str],
    texts_of: Callable[[Sequence[C]], Iterable[str]],
    remarks: Sequence[str],
) -> Grid:
    """The table of errors ``about`` some numbers, with a row per group that has cells."""
    found = {name: group for name, group in groups.items() if group}
    return Grid(
        name=f"{manifest.name}_{about.replace(' ', '_')}",
        title=f"{manifest.title}: {about}",
        caption=manifest.caption,
        row_names=ROW_NAMES,
        rows=list(found),
        columns=[(header,) for header in headers],
        entries=[[GridEntry(text) for text in texts_of(group)] for group in found.values()],
        remarks=list(remarks),
    )


def names_of(cell: ManifestCell) -> dict[str, Any]:
    """The columns of the CSV that say which cell a row is of."""
    return {name: getattr(cell, name) for name in ("stage", "platform", "model", "framework", "method", "workload")}
