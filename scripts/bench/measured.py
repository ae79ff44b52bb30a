"""Cells of the configuration, measured for a benchmark."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.projects import PROJECT
from dissect.cells.cell import Cell
from dissect.cells.study import load_study
from dissect.results.cell_runs import read_runs
from dissect.results.result import Result


def planned_cells(replaced: Mapping[str, Any]) -> dict[str, Cell]:
    """Id -> cell of config/config.yaml with these of its keys replaced."""
    return {cell.id: cell for cell in load_study(PROJECT, replaced).by_path.values()}


def the_cell(cells: Mapping[str, Cell], name: str) -> Cell:
    """A planned cell; exits with a sentence if no cell of this name can be measured."""
    if name not in cells:
        sys.exit(f"bench: {name}: the configuration plans no such cell; `snakemake plan` lists them")
    return cells[name]


def measured_anew(cell: Cell) -> tuple[Result, float]:
    """Measure a cell in a store of its own; returns its result and the wall time of the whole job in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        output, store = Path(folder) / f"{cell.key}.json", f"{folder}/store"
        command = [*cell.launcher.split(), "scripts/measure.py", "--spec", str(cell.canonical)]
        start = time.perf_counter()
        subprocess.run([*command, "--publish", output, "--store", store], cwd=PROJECT, check=True, capture_output=True)
        return read_runs(output).newest, time.perf_counter() - start
