"""What planning costs."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from bench.no_op import publish_invented
from bench.projects import AT_REST, RUNS, SIZES, Cost, cells_project, snakemake, trivial_project
from dissect.cells.study import load_study

COMMANDS = {"-n -q": ("-n", "-q"), "-n": ("-n",)}
"""As scripts and as users type it."""


def measure(_: argparse.Namespace) -> pd.DataFrame:
    """Planning: CPU time and memory of dry runs, this pipeline against a one-rule Snakefile with as many jobs."""
    rows = []
    for size in SIZES:
        with projects(size) as folders:
            rows += [_row(size, "all", name, rounds(folders, *words)) for name, words in COMMANDS.items()]
        with finished(size) as folders:
            rows.append(_row(size, "none", "-n", rounds(folders, "-n")))
    return pd.DataFrame(rows)


def rounds(folders: Sequence[Path], *words: str) -> list[list[Cost]]:
    """Costs of the command in each folder by turns, after a first run of each, which compiles and writes manifests."""
    for folder in folders:
        snakemake(folder, *words)
    return [[snakemake(folder, *words) for folder in folders] for _ in range(RUNS)]


@contextmanager
def projects(size: int) -> Iterator[tuple[Path, ...]]:
    """Context with the folder of this pipeline, the one-rule Snakefile, and that with the collector at rest as here."""
    with (
        cells_project(size) as ours,
        trivial_project(size) as trivial,
        trivial_project(size, AT_REST) as resting,
    ):
        yield ours, trivial, resting


@contextmanager
def finished(size: int) -> Iterator[tuple[Path, ...]]:
    """Context with the same folders, in which nothing is to do."""
    with projects(size) as (ours, *trivial):
        publish_invented(load_study(ours, {}), ours)
        snakemake(ours, "all")
        for folder in trivial:
            (folder / "out").mkdir()
            for number in range(size):
                (folder / "out" / str(number)).touch()
        yield ours, *trivial


def _row(jobs: int, to_do: str, command: str, costs: list[list[Cost]]) -> dict[str, object]:
    cpu_s = pd.DataFrame([[cost.cpu_s for cost in each] for each in costs], columns=["ours", "trivial", "resting"])
    ratios = cpu_s["ours"] / cpu_s["trivial"]
    return {
        "jobs": jobs,
        "to_do": to_do,
        "command": command,
        "ours_cpu_s": cpu_s["ours"].median(),
        "trivial_cpu_s": cpu_s["trivial"].median(),
        "resting_cpu_s": cpu_s["resting"].median(),
        "ratio": ratios.median(),
        "ratio_min": ratios.min(),
        "ratio_max": ratios.max(),
        "ratio_to_resting": (cpu_s["ours"] / cpu_s["resting"]).median(),
        "memory_ratio": pd.Series([mine.memory_mib / other.memory_mib for mine, other, _ in costs]).median(),
    }
