"""Wall times of measured runs, from which those of other cells are predicted."""

from collections.abc import Iterable, Iterator

from dissect.base.outcome import Status
from dissect.predict.wall_time import MeasuredWall
from dissect.present.tables.columns import Record
from dissect.results.result import Durations


def measured_walls(records: Iterable[Record]) -> Iterator[MeasuredWall]:
    """Those of the runs that ended ``ok``."""
    for run in (run for record in records for run in record.results):
        if run.status is Status.OK:
            took = run.durations
            start_s = _start_s(took)
            yield MeasuredWall(run.spec, took.total_s, start_s, max(0.0, start_s - took.imports_s - took.prepare_s))


def _start_s(took: Durations) -> float:
    return max(0.0, took.total_s - took.warmup_s - took.window_s - took.trace_s - took.search_s)
