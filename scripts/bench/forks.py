"""Whether runs that are forked from a process with the libraries take as long as runs in new processes."""

import argparse
import random
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from bench.measured import planned_cells, the_cell
from bench.projects import PROJECT
from dissect.base.outcome import Status
from dissect.cells.cell import Cell
from dissect.measure.run_process import RunProcess
from dissect.metrics.training import TrainingMetrics
from dissect.results.result import Result, Round
from dissect.results.store import Store
from dissect.statistics.between_starts import variance_within
from dissect.statistics.contrast import contrast
from dissect.statistics.run_values import RunValue, by_start

BENCH = PROJECT / "results/bench"
WAYS = ("new", "forked")


def measure(arguments: argparse.Namespace) -> pd.DataFrame:
    """Forks: step times of forked runs ÷ runs in new processes, in pairs in random order, with the 95 % interval.

    The runs stay in results/bench/new and results/bench/forked, so that another call adds pairs.
    """
    known = planned_cells(arguments.config)
    cells = [the_cell(known, name) for name in arguments.cells.split(",")]
    stores = {way: Store(BENCH / way) for way in WAYS}
    seconds = pd.DataFrame(measure_pairs(cells, stores, arguments.runs), columns=["cell", "way", "seconds"])
    return pd.DataFrame([row(cell, stores, seconds) for cell in cells])


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
        sys.exit(f"bench: cell {run.key} ended {run.status} and has no steps; forks needs cells that train")
    start = run.provenance and run.provenance.start
    round_ = f"{run.round.id}/{run.round.number}" if run.round else None
    return RunValue(run.metrics.step_time_s.median, start.id if start else None, round_)
