"""What planning costs."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from bench.no_op import publish_invented
from bench.projects import RUNS, SIZES, Cost, cells_project, snakemake, trivial_project
from dissect.cells.study import load_study

COMMANDS = {"-n -q": ("-n", "-q"), "-n": ("-n",)}
"""As scripts and as users type it."""


def measure(_: argparse.Namespace) -> pd.DataFrame:
    """Planning: CPU time and memory of dry runs, this pipeline against a one-rule Snakefile with as many jobs."""
    rows = []
    for size in SIZES:
        with cells_project(size) as ours, trivial_project(size) as trivial:
            rows += [_row(size, "all", name, pairs(ours, trivial, *words)) for name, words in COMMANDS.items()]
        with finished(size) as (ours, trivial):
            rows.append(_row(size, "none", "-n", pairs(ours, trivial, "-n")))
    return pd.DataFrame(rows)


def pairs(ours: Path, trivial: Path, *words: str) -> list[tuple[Cost, Cost]]:
    """Costs of the command in both folders by turns, after a first run of each, which compiles and writes manifests."""
    for folder in (ours, trivial):
        snakemake(folder, *words)
    return [(snakemake(ours, *words), snakemake(trivial, *words)) for _ in range(RUNS)]


@contextmanager
def finished(size: int) -> Iterator[tuple[Path, Path]]:
    """Context with both folders, in which nothing is to do."""
    with cells_project(size) as ours, trivial_project(size) as trivial:
        publish_invented(load_study(ours, {}), ours)
        snakemake(ours, "all")
        (trivial / "out").mkdir()
        for number in range(size):
            (trivial / "out" / str(number)).touch()
        yield ours, trivial


def _row(jobs: int, to_do: str, command: str, costs: list[tuple[Cost, Cost]]) -> dict[str, object]:
    ratios = pd.Series([mine.cpu_s / other.cpu_s for mine, other in costs])
    return {
        "jobs": jobs,
        "to_do": to_do,
        "command": command,
        "ours_cpu_s": pd.Series([mine.cpu_s for mine, _ in costs]).median(),
        "trivial_cpu_s": pd.Series([other.cpu_s for _, other in costs]).median(),
        "ratio": ratios.median(),
        "ratio_min": ratios.min(),
        "ratio_max": ratios.max(),
        "memory_ratio": pd.Series([mine.memory_mib / other.memory_mib for mine, other in costs]).median(),
    }
