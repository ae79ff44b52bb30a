"""What a run costs that has nothing to do."""

import argparse
import time
from pathlib import Path

import pandas as pd

from bench.projects import SIZES, cells_project, snakemake
from dissect.cells.any_spec import parse_spec
from dissect.cells.study import Study, load_study
from dissect.results.atomic import write_atomically
from dissect.results.cell_runs import published, run_id
from factories import measured_at, ok_result


def measure(_: argparse.Namespace) -> pd.DataFrame:
    """A run with nothing to do: wall and CPU seconds of `snakemake all` when every cell is published."""
    rows = []
    for size in SIZES[:1]:
        with cells_project(size) as folder:
            publish_invented(load_study(folder, {}), folder)
            snakemake(folder, "all")  # draws
            start = time.perf_counter()
            cost = snakemake(folder, "all")
            rows.append({"cells": size, "wall_s": time.perf_counter() - start, "cpu_s": cost.cpu_s})
    return pd.DataFrame(rows)


def publish_invented(study: Study, folder: Path) -> None:
    """Publish as many invented runs of each cell as it needs."""
    for path, cell in study.by_path.items():
        result = ok_result(parse_spec(cell.canonical or ""))
        records = [measured_at(result, number).model_dump_json().encode() for number in range(cell.runs)]
        write_atomically(folder / path, published((run_id(record), record) for record in records))
