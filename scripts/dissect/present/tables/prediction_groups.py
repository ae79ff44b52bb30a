"""Groups of cells that were predicted, and the numbers of a training cell that predictions are held against."""

from collections.abc import Iterable
from statistics import median
from typing import Any, Protocol, TypeVar

from dissect.cells.manifest import Manifest
from dissect.config.kinds import STAGE_TITLES
from dissect.metrics.profile import ProfileMetrics
from dissect.metrics.training import TrainingMetrics
from dissect.present.tables.columns import Record
from dissect.present.tables.labels import framework_labels
from dissect.present.tables.marks import NOT_AVAILABLE

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


def median_and_largest(errors: Iterable[float | None], decimals: int = 2) -> list[str]:
    """Median and largest of relative errors without their sign, in percent."""
    found = [abs(error) for error in errors if error is not None]
    if not found:
        return [NOT_AVAILABLE, NOT_AVAILABLE]
    return [f"{100 * number:.{decimals}f}" for number in (median(found), max(found))]
