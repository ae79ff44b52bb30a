"""docs/gpus.md shows every training cell of the sets of protocol 2, as it was measured."""

from collections.abc import Iterator
from pathlib import Path

from dissect.base.outcome import Status
from dissect.base.units import GIB
from dissect.cells.cell_id import CellId
from dissect.cells.spec import TrainingSpec
from dissect.metrics.training import TrainingMetrics
from dissect.results.cell_runs import read_runs
from dissect.results.result import Result

ROOT = Path(__file__).parents[2]
SETS = ROOT / "config/references"
PAGE = ROOT / "docs/gpus.md"


def rows(name: str) -> Iterator[str]:
    """A row of the page for every cell of a set that was launched."""
    for path in sorted((SETS / name).rglob("*.json")):
        cell, runs = CellId.parse(str(path.parent.relative_to(SETS / name))), read_runs(path)
        if runs.newest.status is not Status.SKIPPED_OOM:
            assert isinstance(runs.newest.spec, TrainingSpec)
            assert len(runs.runs) == 1
            batch = cell.workload.split("-")[1].removeprefix("b")
            yield f"| {cell.framework} | {cell.method} | {batch} | {numbers(runs.newest)} |\n"


def numbers(run: Result) -> str:
    seconds = f"{run.durations.total_s:.0f}"
    if not isinstance(run.metrics, TrainingMetrics):
        assert run.status is Status.OOM
        return f"out of memory | | | {seconds}"
    metrics = run.metrics
    assert metrics.device_time_s
    times = f"{metrics.step_time_s.median:.3f} | {metrics.device_time_s:.3f}"
    return f"{times} | {metrics.peak_memory_bytes / GIB:.1f} | {seconds}"


def test_every_cell_is_on_the_page() -> None:
    page = PAGE.read_text()
    shown = [row for name in ("h100-x2", "h200-x2") for row in rows(name)]
    assert len(shown) == 37
    assert [row for row in shown if row not in page] == []
