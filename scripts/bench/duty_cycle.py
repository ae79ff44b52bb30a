"""Which share of the time of a cell is its measured window."""

import argparse

import pandas as pd

from bench.measured import measured_anew, planned_cells, the_cell
from bench.projects import PROJECT, RUNS
from dissect.cells.references import cells_of_set, reference_text, sets_of
from dissect.results.cell_runs import read_runs
from dissect.results.result import Durations
from dissect.results.store import STORE_DIR, Store


def measure(arguments: argparse.Namespace) -> pd.DataFrame:
    """Duty cycle: shares of a cell's time; for one cell measured anew, and for all finished and reference cells."""
    cells = planned_cells(arguments.config)
    rows = []
    for run in range(RUNS):
        result, wall_s = measured_anew(the_cell(cells, arguments.cell))
        rows.append(duty_row(f"{arguments.cell} (run {run + 1})", result.durations, wall_s))
    for cell in cells.values():
        if cell.key and (runs := Store(PROJECT / STORE_DIR).entry(cell.key).peek()):
            durations = runs.newest.durations
            rows.append(duty_row(cell.id, durations, durations.total_s))
    for folder in sets_of(PROJECT).values():
        for key, cell_id in cells_of_set(folder).items():
            durations = read_runs(reference_text(folder, cell_id, key)).newest.durations
            rows.append(duty_row(f"{cell_id} (reference)", durations, durations.total_s))
    return pd.DataFrame(rows)


def duty_row(name: str, durations: Durations, wall_s: float) -> dict[str, object]:
    """One row of the duty cycle's table."""
    parts = durations.model_dump(exclude={"total_s"})
    rest = wall_s - sum(parts.values())
    return {"cell": name, "wall_s": wall_s, **parts, "rest_s": rest, "duty_cycle": durations.window_s / wall_s}
