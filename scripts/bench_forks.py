"""Compare runs that are forked with runs in new processes: cells are measured both ways in pairs, in random order.

The ratio of their step times comes with its 95 % interval over pairs. The runs stay in results/bench/new and
results/bench/forked, so that another call adds pairs; ``--pairs 0`` only prints the table.
"""

import argparse
import json
import random
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from dissect.base.outcome import Status
from dissect.cells.cell import Cell
from dissect.cells.study import load_study
from dissect.measure.run_process import RunProcess
from dissect.metrics.training import TrainingMetrics
from dissect.results.result import Result, Round
from dissect.results.store import Store
from dissect.statistics.between_starts import variance_within
from dissect.statistics.contrast import contrast
from dissect.statistics.run_values import RunValue, by_start

PROJECT = Path(__file__).parent.parent
BENCH = Path("results/bench")
WAYS = ("new", "forked")


def parse_arguments() -> argparse.Namespace:
    """The parsed command line; exits with status 2 if it is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cells", nargs="+", metavar="cell", help="id of a training cell")
    parser.add_argument("--pairs", default=5, type=int, help="pairs to add to each cell; default: 5")
    parser.add_argument("--config", default={}, type=json.loads, help="keys of config.yaml to replace, as JSON")
    return parser.parse_args()


def main() -> None:
    """Measure the pairs; print the table and write it to results/bench/forks.csv."""
    arguments = parse_arguments()
    planned = {cell.id: cell for cell in load_study(PROJECT, arguments.config).by_path.values()}
    if unknown := set(arguments.cells) - planned.keys():
        sys.exit(f"bench_forks.py: {', '.join(sorted(unknown))}: the configuration plans no such cell")
    cells = [planned[name] for name in arguments.cells]
    stores = {way: Store(BENCH / way) for way in WAYS}
    seconds = pd.DataFrame(measure_pairs(cells, stores, arguments.pairs), columns=["cell", "way", "seconds"])
    table = pd.DataFrame([row(cell, stores, seconds) for cell in cells])
    BENCH.mkdir(parents=True, exist_ok=True)
    table.to_csv(BENCH / "forks.csv", index=False)
    print(f"\n{table.to_string(index=False, float_format='%.3f')}", flush=True)


def measure_pairs(
    cells: Sequence[Cell], stores: Mapping[str, Store], pairs: int
) -> Iterator[tuple[str, str, float | None]]:
    """Measure; yields cell, way and seconds of each run, without seconds for the first, which pays for the imports."""
    series, seen = uuid.uuid4().hex[:12], set()
    new, forked = (RunProcess(stores[way].root, fork=way == "forked", published=BENCH / "cells") for way in WAYS)
    with new, forked:
        processes = {"new": new, "forked": forked}
        for number in range(1, pairs + 1):
            turns = [(cell, way) for cell in random.sample(cells, len(cells)) for way in random.sample(WAYS, 2)]
            for position, (cell, way) in enumerate(turns, 1):
                count = stores[way].entry(cell.key or "").count()
                asked = replace(cell, runs=count + 1)
                start = time.perf_counter()
                processes[way].measure(asked, Round(id=series, number=number, position=position))
                taken = time.perf_counter() - start
                print(f"pair {number} of {pairs}: {cell.id}: {way}: {taken:.1f} s", flush=True)
                yield cell.id, way, taken if (cell.id, way) in seen else None
                seen.add((cell.id, way))


def row(cell: Cell, stores: Mapping[str, Store], seconds: pd.DataFrame) -> dict[str, object]:
    """One row of the table: how many pairs there are, the ratio forked / new of step times, spread and cost of runs."""
    known = {way: stores[way].entry(cell.key or "").peek() for way in WAYS}
    results = {
        way: [run for run in (found.runs if found else ()) if run.status is Status.OK] for way, found in known.items()
    }
    forked = [run for run in results["forked"] if run.provenance and run.provenance.forked]
    runs = {"new": [value_of(run) for run in results["new"]], "forked": [value_of(run) for run in forked]}
    facts: dict[str, object] = {"cell": cell.id, "not_forked": len(results["forked"]) - len(forked)}
    if not all(runs.values()):
        return facts | {"pairs": 0}
    found = contrast(runs["new"], runs["forked"])
    ends = found.estimate.interval() if found.estimate else None
    facts |= {"pairs": found.shared_rounds, "ratio": found.ratio, "low": ends and ends.low, "high": ends and ends.high}
    for way in WAYS:
        of_way = seconds[(seconds["cell"] == cell.id) & (seconds["way"] == way)]
        facts |= {f"sd_{way}": variance_within(by_start(runs[way]))[0] ** 0.5, f"{way}_s": of_way["seconds"].median()}
    return facts


def value_of(run: Result) -> RunValue:
    """The median step of a run in seconds; exits with a sentence if the cell trains nothing."""
    if not isinstance(run.metrics, TrainingMetrics):
        sys.exit(f"bench_forks.py: cell {run.key} has no steps; name cells that train")
    start = run.provenance and run.provenance.start
    round_ = f"{run.round.id}/{run.round.number}" if run.round else None
    return RunValue(run.metrics.step_time_s.median, start.id if start else None, round_)


if __name__ == "__main__":
    main()
