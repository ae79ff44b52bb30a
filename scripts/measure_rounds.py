#!/usr/bin/env python
"""Measure the runs that the cells of one platform lack, in rounds: passes over all of them in random order.

Each run is a process of its own. Exit status 0 also if cells failed, unless all must be complete.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from dissect.cells.study import load_study
from dissect.config.errors import ConfigError
from dissect.measure.rounds import measure_in_rounds
from dissect.measure.run_process import RunProcess
from dissect.results.store import STORE_DIR, Store


def parse_arguments() -> argparse.Namespace:
    """The parsed command line; exits with status 2 if it is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, type=json.loads, help="what --config gave snakemake, as JSON")
    parser.add_argument("--platform", required=True, help="the platform whose cells are measured")
    parser.add_argument("--more", type=int, help="runs to add to each cell, in place of those that it lacks")
    parser.add_argument("--fresh", help="name under which earlier runs are set aside first")
    parser.add_argument("--complete", action="store_true", help="exit with status 1 if a cell lacks runs in the end")
    return parser.parse_args()


def main() -> None:
    """Measure, and print a line per run."""
    arguments = parse_arguments()
    try:
        study = load_study(Path.cwd(), arguments.config)
    except ConfigError as error:
        sys.exit(f"llm-dissect: {error}")
    store, cells = Store(STORE_DIR), (study.by_path[path] for path in study.selected_targets)
    wanted = [cell for cell in cells if cell.platform == arguments.platform]
    again = bool(arguments.more)
    if again and not arguments.fresh:
        wanted = [replace(cell, runs=store.entry(cell.key or "").count() + arguments.more) for cell in wanted]
    if arguments.fresh:
        for cell in wanted:
            entry = store.entry(cell.key or "")
            with entry.locked():
                entry.set_aside_runs(arguments.fresh)
    with RunProcess(STORE_DIR, again, fork=study.catalog.root.fork) as process:
        for line in measure_in_rounds(wanted, store, process.measure, again):
            print(line, flush=True)
    if arguments.complete and any(store.entry(cell.key or "").lacks_runs(cell.runs) for cell in wanted):
        sys.exit(1)


if __name__ == "__main__":
    main()
