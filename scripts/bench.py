"""Benchmarks of the pipeline itself: planning, a run with nothing to do, duty cycles, isolation and repeatability.

``make bench`` prints them and writes results/bench/*.csv. Nothing here is asserted: machines are noisy, so compare
ratios within one run.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
from playwright.sync_api import sync_playwright

from dissect.cells.any_spec import parse_spec
from dissect.cells.cell import Cell
from dissect.cells.manifest_files import write_manifests
from dissect.cells.references import SETS_DIR, read_sets, reference_text, sets_of
from dissect.cells.study import Study, load_study
from dissect.measure.rounds import measure_in_rounds
from dissect.measure.run_process import RunProcess
from dissect.metrics.training import TrainingMetrics
from dissect.present.repeatability import repeatability as table_of
from dissect.present.repeatability import repeated_of, run_rows
from dissect.results.atomic import write_atomically
from dissect.results.cell_runs import CellRuns, published, read_runs, run_id
from dissect.results.exchange import Shared
from dissect.results.reference_sets import read_set
from dissect.results.result import Durations, Result
from dissect.results.store import STORE_DIR, Store

PROJECT = Path(__file__).parent.parent
METHODS = 24
SIZES = (42 * METHODS, 417 * METHODS)
"""Numbers of cells, about 1,000 and 10,000."""
RUNS = 3
CELL = "pretrain/cpu/llama-tiny/deepspeed/Naive/s128-b1-n2"
NEIGHBOUR = "pretrain/cpu/llama-tiny/deepspeed/Q/s128-b1-n2"

EXPERIMENT = """\
kind: table
title: Benchmark
caption: Many cells.
stage: pretrain
axes:
  model: [llama2-7b]
  framework: [deepspeed]
  method: {{cross: [[Naive, F, R, F+R], [Naive, Z2, Z2+O, Z3, Z3+O, Q]]}}
  batch: [{batches}]
layout: {{kind: pivot, rows: [method, batch]}}
"""
TRIVIAL = """\
rule all:
    input: [f"out/{{i}}" for i in range({size})]
rule one:
    output: "out/{{i}}"
    params: spec=lambda w: "x" * 1000 + w.i
    shell: "touch {{output}}"
"""


def main() -> None:
    """Run the named benchmarks, or all; print and write each table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of: {', '.join(BENCHMARKS)}")
    parser.add_argument("--cell", default=CELL, help=f"what duty_cycle and isolation measure anew; default: {CELL}")
    parser.add_argument("--neighbour", default=NEIGHBOUR, help=f"what isolation measures between; default: {NEIGHBOUR}")
    parser.add_argument(
        "--cells", default=f"{CELL},{NEIGHBOUR}", help="what repeatability measures, with commas between"
    )
    parser.add_argument("--runs", default=10, type=int, help="runs that repeatability adds to each cell; default: 10")
    parser.add_argument("--set", help="set of reference results that repeatability reads, in place of measuring")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHMARKS):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    folder = PROJECT / "results" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or BENCHMARKS:
        table = BENCHMARKS[name](arguments)
        table.to_csv(folder / f"{name}.csv", index=False)
        what = (BENCHMARKS[name].__doc__ or "").splitlines()[0]
        print(f"\n{what}\n{table.to_string(index=False, float_format='%.2f')}", flush=True)


def planning(_: argparse.Namespace) -> pd.DataFrame:
    """Planning: CPU seconds of `snakemake -n`, this pipeline against a one-rule Snakefile with as many jobs."""
    rows = []
    for size in SIZES:
        with cells_project(size) as ours, trivial_project(size) as trivial:
            dry_run = snakemake("-n", "-q")
            pairs = [(cpu_seconds(dry_run, ours), cpu_seconds(dry_run, trivial)) for _ in range(RUNS)]
        ratios = pd.Series([mine / other for mine, other in pairs])
        rows.append(
            {
                "jobs": size,
                "ours_cpu_s": pd.Series([mine for mine, _ in pairs]).median(),
                "trivial_cpu_s": pd.Series([other for _, other in pairs]).median(),
                "ratio": ratios.median(),
                "ratio_min": ratios.min(),
                "ratio_max": ratios.max(),
            }
        )
    return pd.DataFrame(rows)


def no_op(_: argparse.Namespace) -> pd.DataFrame:
    """A run with nothing to do: wall and CPU seconds of `snakemake all` when every cell is published."""
    rows = []
    for size in SIZES[:1]:
        with cells_project(size) as folder:
            study = load_study(folder, {})
            write_manifests(study, folder, "")
            publish_invented(study, folder)
            for suffix in ("csv", "md", "tex"):
                touch(folder / f"results/tables/bench.{suffix}")
            start = time.perf_counter()
            cpu = cpu_seconds(snakemake("all"), folder)
            rows.append({"cells": size, "wall_s": time.perf_counter() - start, "cpu_s": cpu})
    return pd.DataFrame(rows)


def duty_cycle(arguments: argparse.Namespace) -> pd.DataFrame:
    """Duty cycle: shares of a cell's time; for one cell measured anew, and for all finished and reference cells."""
    cells = planned_cells()
    rows = []
    for run in range(RUNS):
        result, wall_s = measured_anew(the_cell(cells, arguments.cell))
        rows.append(duty_row(f"{arguments.cell} (run {run + 1})", result.durations, wall_s))
    for cell in cells.values():
        if cell.key and (runs := Store(PROJECT / STORE_DIR).entry(cell.key).peek()):
            durations = runs.newest.durations
            rows.append(duty_row(cell.id, durations, durations.total_s))
    for name, known in read_sets(PROJECT).items():
        for key, cell_id in known.items():
            durations = read_runs(reference_text(PROJECT / SETS_DIR / name, cell_id, key)).newest.durations
            rows.append(duty_row(f"{cell_id} (reference)", durations, durations.total_s))
    return pd.DataFrame(rows)


def isolation(arguments: argparse.Namespace) -> pd.DataFrame:
    """Isolation: median step of one cell measured first, after another cell, and after itself; seconds and ratio."""
    cells = planned_cells()
    cell, neighbour = the_cell(cells, arguments.cell), the_cell(cells, arguments.neighbour)
    first, _, after, again = [measured_anew(each)[0] for each in (cell, neighbour, cell, cell)]
    steps = {"first": first, f"after {neighbour.id}": after, "after itself": again}
    rows = [(place, median_step(result), median_step(result) / median_step(first)) for place, result in steps.items()]
    return pd.DataFrame(rows, columns=[cell.id, "step_s", "ratio"])


def repeatability(arguments: argparse.Namespace) -> pd.DataFrame:
    """Repeatability: how runs and starts differ, and how often intervals and verdicts of a cell on itself are right.

    The runs stay in results/bench/store, so that another call, also on another machine start, adds to them. Of a set
    of reference results nothing is measured. results/bench/repeatability_runs.csv has the numbers of all runs.
    """
    if arguments.set:
        known = [(cell.id, cell.runs) for cell in reference_set(arguments.set).values()]
    else:
        known = measured_in_rounds(arguments.cells.split(","), arguments.runs)
    numbers = repeated_of(known)
    if not numbers:
        sys.exit("bench.py: no cell has two runs that ended ok, so nothing tells how runs differ")
    pd.DataFrame(run_rows(numbers)).to_csv(PROJECT / "results/bench/repeatability_runs.csv", index=False)
    return pd.DataFrame(table_of(numbers))


def reference_set(name: str) -> Mapping[str, Shared]:
    """The cells of a set of reference results by key; exits with a sentence if there is no such set."""
    sets = sets_of(PROJECT)
    if name not in sets:
        sys.exit(f"bench.py: --set {name}: {SETS_DIR} has no such set; there are {', '.join(sets)}")
    return read_set(sets[name])


def measured_in_rounds(names: Sequence[str], more: int) -> list[tuple[str, CellRuns]]:
    """Measure so many runs more of each cell, in rounds, in results/bench/store; returns all runs there, by cell."""
    cells, store = planned_cells(), Store(PROJECT / "results/bench/store")
    wanted = [the_cell(cells, name) for name in names]
    counts = {cell.key: store.entry(cell.key or "").count() for cell in wanted}
    # Nothing but the store is of interest here.
    asked = [
        replace(cell, runs=counts[cell.key] + more, reference=f"results/bench/cells/{cell.key}.json") for cell in wanted
    ]
    with RunProcess(store.root) as process:
        for line in measure_in_rounds(asked, store, process.measure):
            print(line, flush=True)
    return [(cell.id, runs) for cell in wanted if (runs := store.entry(cell.key or "").peek())]


def report(_: argparse.Namespace) -> pd.DataFrame:
    """The report page of synthetic cells: seconds to write it, and until a browser has painted and loaded it."""
    from report_cases import large_report

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size in (500, 5_000):
            project = Path(folder) / str(size)
            large_report(project, size)
            command = [sys.executable, str(PROJECT / "scripts/write_report.py"), "results/manifests/report.json"]
            start = time.perf_counter()
            subprocess.run([*command, "--index", "results/report/index.html"], cwd=project, check=True)
            wall_s = time.perf_counter() - start
            index = project / "results/report/index.html"
            painted = pd.DataFrame([painting(index) for _ in range(RUNS)]).median()
            rows.append({"cells": size, "write_s": wall_s, "page_mb": index.stat().st_size / 1e6, **painted})
    return pd.DataFrame(rows)


def painting(index: Path) -> dict[str, float]:
    """Seconds until a fresh Chromium paints, and until all is loaded; empty without Chromium."""
    program = shutil.which("chromium")
    if program is None:
        return {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(index.as_uri(), wait_until="load")
        page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
        first = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        loaded = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
        browser.close()
    return {"first_paint_s": first / 1e3, "ready_s": loaded / 1e3}


def planned_cells() -> dict[str, Cell]:
    """Id -> cell of config/config.yaml."""
    return {cell.id: cell for cell in load_study(PROJECT, {}).by_path.values()}


def the_cell(cells: Mapping[str, Cell], name: str) -> Cell:
    """A planned cell; exits with a sentence if no cell of this name can be measured."""
    if name not in cells:
        sys.exit(f"bench.py: {name}: config/config.yaml plans no such cell; `snakemake plan` lists them")
    return cells[name]


def measured_anew(cell: Cell) -> tuple[Result, float]:
    """Measure a cell in a store of its own; returns its result and the wall time of the whole job in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        output, store = Path(folder) / f"{cell.key}.json", f"{folder}/store"
        command = [*cell.launcher.split(), "scripts/measure.py", "--spec", str(cell.canonical)]
        start = time.perf_counter()
        subprocess.run([*command, "--publish", output, "--store", store], cwd=PROJECT, check=True, capture_output=True)
        return read_runs(output).newest, time.perf_counter() - start


def median_step(result: Result) -> float:
    """Median step time in seconds; exits with a sentence if the cell has no steps."""
    if not isinstance(result.metrics, TrainingMetrics):
        sys.exit(f"bench.py: cell {result.key} ended {result.status} and has no step; isolation needs one that trains")
    return result.metrics.step_time_s.median


def duty_row(name: str, durations: Durations, wall_s: float) -> dict[str, object]:
    """One row of the duty cycle's table."""
    parts = durations.model_dump(exclude={"total_s"})
    rest = wall_s - sum(parts.values())
    return {"cell": name, "wall_s": wall_s, **parts, "rest_s": rest, "duty_cycle": durations.window_s / wall_s}


@contextmanager
def cells_project(size: int) -> Iterator[Path]:
    """Context with a project folder whose only table has ``size`` cells: every method at many batch sizes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("config", "rules", "profiles", "envs"):
            shutil.copytree(PROJECT / part, folder / part)
        shutil.copy(PROJECT / "Snakefile", folder)
        (folder / "scripts").symlink_to(PROJECT / "scripts")
        for experiment in (folder / "config/experiments").glob("*.yaml"):
            experiment.unlink()
        batches = ", ".join(str(batch) for batch in range(1, size // METHODS + 1))
        (folder / "config/experiments/bench.yaml").write_text(EXPERIMENT.format(batches=batches))
        yield folder


@contextmanager
def trivial_project(size: int) -> Iterator[Path]:
    """Context with a project folder that has one rule and ``size`` jobs."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Snakefile").write_text(TRIVIAL.format(size=size))
        yield Path(folder)


def snakemake(*arguments: str) -> list[str]:
    """Command line of snakemake in this environment."""
    return [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]


def cpu_seconds(command: list[str], folder: Path) -> float:
    """User and system CPU seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def publish_invented(study: Study, folder: Path) -> None:
    """Publish as many invented runs of each cell as it needs."""
    from factories import measured_at, ok_result

    for path, cell in study.by_path.items():
        result = ok_result(parse_spec(cell.canonical or ""))
        records = [measured_at(result, number).model_dump_json().encode() for number in range(cell.runs)]
        write_atomically(folder / path, published((run_id(record), record) for record in records))


def touch(path: Path) -> None:
    """Create an empty file and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


BENCHMARKS: dict[str, Callable[[argparse.Namespace], pd.DataFrame]] = {
    measure.__name__: measure for measure in (planning, no_op, duty_cycle, isolation, repeatability, report)
}

if __name__ == "__main__":
    main()
