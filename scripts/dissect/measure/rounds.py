"""Rounds: passes over cells in random order, so that cells which will be compared share what drifts on a machine."""

import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from dissect.cells.cell import Cell
from dissect.results.result import Round
from dissect.results.store import Store

ATTEMPTS = 2
"""Failures of one cell after which its further rounds are left out."""

MeasureRun = Callable[[Cell, Round], bool]
"""Measures one run of a cell; returns whether it did."""


def measure_in_rounds(cells: Sequence[Cell], store: Store, measure: MeasureRun, again: bool = False) -> Iterator[str]:
    """Measure the runs that the cells lack: each round takes every cell that still lacks one, in random order.

    Cells of one key are one cell; those whose outcome is not ``ok`` are measured only ``again``. Yields a line per run.
    """

    def lacks(cell: Cell) -> bool:
        return store.entry(cell.key or "").lacks_runs(cell.runs, again)

    series, failures = uuid.uuid4().hex[:12], Counter[str]()
    waiting = list({cell.key: cell for cell in cells if cell.key}.values())
    for number in count(1):
        waiting = [cell for cell in waiting if failures[cell.id] < ATTEMPTS and lacks(cell)]
        if not waiting:
            return
        random.SystemRandom().shuffle(waiting)
        for position, cell in enumerate(waiting, 1):
            yield f"round {number}, {position} of {len(waiting)}: {cell.id}"
            if not measure(cell, Round(id=series, number=number, position=position)):
                failures[cell.id] += 1
                yield f"failed: {cell.id}"
