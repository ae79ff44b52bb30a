"""All interactive figures of the report."""

from collections.abc import Sequence

from dissect.cells.manifest import Manifest
from dissect.present.report.charts.breakdown import module_charts, phase_charts
from dissect.present.report.charts.cells import Cells
from dissect.present.report.charts.chart import Chart
from dissect.present.report.charts.latency import latency_charts
from dissect.present.report.charts.memory import memory_charts
from dissect.present.report.charts.roofline import roofline_charts
from dissect.present.report.charts.scaling import scaling_charts
from dissect.present.tables.columns import Record

_KINDS = (memory_charts, scaling_charts, phase_charts, module_charts, latency_charts, roofline_charts)


def charts(parts: Sequence[tuple[Manifest, Sequence[Record]]]) -> list[Chart]:
    """The figures of the cells of these tables and figures; a kind without any number is left out."""
    if not parts:
        return []
    cells = Cells.of(parts)
    return [chart for kind in _KINDS for chart in kind(cells)]
