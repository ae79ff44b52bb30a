"""How far the numbers of measured cells repeat: of runs in a store, or in a set of reference results."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from dissect.present.compare.readings import readings_of
from dissect.results.cell_runs import CellRuns
from dissect.statistics.repeats import repeats

MAIN = ("tokens_per_s", "device_time_s", "unprofiled_time_s", "output_tokens_per_s", "call_time_s")
"""Numbers by which cells are judged here: throughput and times, no memory."""


def repeatability(cells: Iterable[tuple[str, CellRuns]]) -> list[dict[str, Any]]:
    """A row per cell, point and number, of cells given by id and runs; none of cells that did not end ``ok``."""
    return [
        {"cell": cell_id, "point": point, "quantity": quantity, **asdict(repeats(reading.runs))}
        for cell_id, runs in cells
        for (point, quantity), reading in readings_of(cell_id, runs).items()
        if quantity in MAIN
    ]
