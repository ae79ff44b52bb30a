"""What planning costs."""

import argparse

import pandas as pd

from bench.projects import RUNS, SIZES, cells_project, cpu_seconds, snakemake, trivial_project


def measure(_: argparse.Namespace) -> pd.DataFrame:
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
