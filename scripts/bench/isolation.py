"""Whether a measurement depends on the one before it."""

import argparse
import sys

import pandas as pd

from bench.measured import measured_anew, planned_cells, the_cell
from dissect.metrics.training import TrainingMetrics
from dissect.results.result import Result


def measure(arguments: argparse.Namespace) -> pd.DataFrame:
    """Isolation: median step of one cell measured first, after another cell, and after itself; seconds and ratio."""
    cells = planned_cells(arguments.config)
    cell, neighbour = the_cell(cells, arguments.cell), the_cell(cells, arguments.neighbour)
    first, _, after, again = [measured_anew(each)[0] for each in (cell, neighbour, cell, cell)]
    steps = {"first": first, f"after {neighbour.id}": after, "after itself": again}
    rows = [(place, median_step(result), median_step(result) / median_step(first)) for place, result in steps.items()]
    return pd.DataFrame(rows, columns=[cell.id, "step_s", "ratio"])


def median_step(result: Result) -> float:
    """Median step time in seconds; exits with a sentence if the cell has no steps."""
    if not isinstance(result.metrics, TrainingMetrics):
        sys.exit(f"bench: cell {result.key} ended {result.status} and has no step; isolation needs one that trains")
    return result.metrics.step_time_s.median
