"""docs/gpus.md shows every training cell of the sets of protocol 2, as it was measured.

With UPDATE_GOLDEN=1 in the environment the tables are written instead, as after new reference results.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from dissect.base.outcome import Status
from dissect.base.units import GIB
from dissect.cells.cell_id import CellId
from dissect.metrics.training import TrainingMetrics
from dissect.results.cell_runs import CellRuns, read_runs
from page_tables import GPUS, block

SETS = Path(__file__).parents[2] / "config/references"
HEADER = "| framework | method | batch | runs | step (s) | device time (s) | GiB per GPU | cell (s) |"
CELLS = {"h100-x2": 39, "h200-x2": 14, "h200-x2-te": 2, "h100-x4-24g": 2}
"""Platform -> number of its cells that were launched."""


def launched(platform: str) -> Iterator[tuple[CellId, CellRuns]]:
    """The cells of a platform that were launched, over all sets of today's protocol."""
    for name in ("h100-x2", "h200-x2", "h100-x4"):
        for path in sorted((SETS / name).rglob("*.json")):
            cell, runs = CellId.parse(str(path.parent.relative_to(SETS / name))), read_runs(path)
            if cell.platform == platform and runs.newest.status is not Status.SKIPPED_OOM:
                yield cell, runs


def row(cell: CellId, runs: CellRuns) -> list[object]:
    """A row of the page: medians over the runs, and the largest peak."""
    batch = cell.workload.split("-")[1].removeprefix("b")
    seconds = f"{median(run.durations.total_s for run in runs.runs):.0f}"
    measured = [run.metrics for run in runs.runs if isinstance(run.metrics, TrainingMetrics)]
    if not measured:
        assert runs.newest.status is Status.OOM
        return [cell.framework, cell.method, batch, len(runs.runs), "out of memory", "", "", seconds]
    if batch == "max":
        batch = f"max: {measured[-1].batch}"
    step = median(metrics.step_time_s.median for metrics in measured)
    device = median(metrics.device_time_s or 0 for metrics in measured)
    peak = max(metrics.peak_memory_bytes for metrics in measured) / GIB
    return [cell.framework, cell.method, batch, len(runs.runs), f"{step:.3f}", f"{device:.3f}", f"{peak:.1f}", seconds]


@pytest.mark.parametrize("platform", CELLS)
def test_every_cell_is_on_the_page(platform: str) -> None:
    rows = [row(cell, runs) for cell, runs in launched(platform)]
    assert len(rows) == CELLS[platform]
    block(GPUS, platform, HEADER, rows)
