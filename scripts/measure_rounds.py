#!/usr/bin/env python
"""Measure the runs that the cells of one platform lack, in rounds: passes over all of them in random order.

Each run is a process of its own. Exit status 0 also if cells failed: the jobs of these cells try again.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import FrameType

from dissect.cells.cell import Cell
from dissect.cells.study import load_study
from dissect.config.errors import ConfigError
from dissect.measure.rounds import measure_in_rounds
from dissect.results.result import Round
from dissect.results.store import STORE_DIR, Store


def parse_arguments() -> argparse.Namespace:
    """The parsed command line; exits with status 2 if it is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, type=json.loads, help="what --config gave snakemake, as JSON")
    parser.add_argument("--platform", required=True, help="the platform whose cells are measured")
    parser.add_argument("--more", type=int, help="runs to add to each cell, in place of those that it lacks")
    parser.add_argument("--fresh", help="name under which earlier runs are set aside first")
    return parser.parse_args()


class RunProcess:
    """Starts the measuring program, and ends it with this process."""

    def __init__(self, fresh: str | None) -> None:
        self._fresh = ["--fresh", fresh] if fresh else []
        self._process: subprocess.Popen[bytes] | None = None
        signal.signal(signal.SIGTERM, self._end)

    def measure(self, cell: Cell, round_: Round) -> bool:
        """Measure one run of a cell; returns whether it ended with an outcome."""
        program = [*shlex.split(cell.launcher), "scripts/measure.py", "--launcher", cell.launcher]
        of_run = ["--runs", str(cell.runs), "--once", "--round", round_.model_dump_json(), *self._fresh]
        self._process = subprocess.Popen(
            [*program, "--spec", cell.canonical or "", "--publish", cell.path or "", *of_run]
        )
        return self._process.wait() == 0

    def _end(self, number: int, _: FrameType | None) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
        sys.stdout.flush()
        os._exit(128 + number)


def main() -> None:
    """Measure, and print a line per run."""
    arguments = parse_arguments()
    try:
        study = load_study(Path.cwd(), arguments.config)
    except ConfigError as error:
        sys.exit(f"llm-dissect: {error}")
    store, cells = Store(STORE_DIR), (study.by_path[path] for path in study.selected_targets)
    wanted = [cell for cell in cells if cell.platform == arguments.platform]
    if arguments.more and not arguments.fresh:
        wanted = [replace(cell, runs=store.entry(cell.key or "").count() + arguments.more) for cell in wanted]
    for line in measure_in_rounds(wanted, store, RunProcess(arguments.fresh).measure):
        print(line, flush=True)


if __name__ == "__main__":
    main()
