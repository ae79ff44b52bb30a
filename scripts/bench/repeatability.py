"""How runs of a cell differ."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.measured import planned_cells, the_cell
from bench.projects import PROJECT
from dissect.cells.cell import Cell
from dissect.cells.references import SETS_DIR, sets_of
from dissect.measure.rounds import measure_in_rounds
from dissect.measure.run_process import RunProcess
from dissect.present.repeatability import repeatability, repeated_of, run_rows
from dissect.results.cell_runs import CellRuns
from dissect.results.exchange import Shared
from dissect.results.reference_sets import read_set
from dissect.results.store import Store


def measure(arguments: argparse.Namespace) -> pd.DataFrame:
    """Repeatability: how runs and starts differ, and how often intervals and verdicts of a cell on itself are right.

    The runs stay in results/bench/store, so that another call, also on another machine start, adds to them. Of a set
    of reference results nothing is measured. results/bench/repeatability_runs.csv has the numbers of all runs.
    """
    if arguments.set:
        known = [(cell.id, cell.runs) for cell in reference_set(PROJECT, arguments.set).values()]
    else:
        known = measured_in_rounds(planned_cells(arguments.config), arguments.cells.split(","), arguments.runs)
    numbers = repeated_of(known)
    if not numbers:
        sys.exit("bench: no cell has two runs that ended ok, so nothing tells how runs differ")
    pd.DataFrame(run_rows(numbers)).to_csv(
        PROJECT / "results/bench/repeatability_runs.csv", index=False, float_format="%.6g"
    )
    return pd.DataFrame(repeatability(numbers))


def reference_set(project: Path, name: str) -> Mapping[str, Shared]:
    """The cells of a set of reference results by key; exits with a sentence if there is no such set."""
    sets = sets_of(project)
    if name not in sets:
        sys.exit(f"bench: --set {name}: {SETS_DIR} has no such set; there are {', '.join(sets)}")
    return read_set(sets[name])


def measured_in_rounds(cells: Mapping[str, Cell], names: Sequence[str], more: int) -> list[tuple[str, CellRuns]]:
    """Measure so many runs more of each cell, in rounds, in results/bench/store; returns all runs there, by cell."""
    store = Store(PROJECT / "results/bench/store")
    wanted = [the_cell(cells, name) for name in names]
    counts = {cell.key: store.entry(cell.key or "").count() for cell in wanted}
    asked = [replace(cell, runs=counts[cell.key] + more) for cell in wanted]
    with RunProcess(store.root, published=PROJECT / "results/bench/cells") as process:
        for line in measure_in_rounds(asked, store, process.measure):
            print(line, flush=True)
    return [(cell.id, runs) for cell in wanted if (runs := store.entry(cell.key or "").peek())]
