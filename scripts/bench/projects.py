"""Project folders in which benchmarks run Snakemake, and what a command costs."""

import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).parents[2]
RUNS = 3
METHODS = 24
SIZES = (42 * METHODS, 417 * METHODS)
"""Numbers of cells, about 1,000 and 10,000."""

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
layout: {{kind: pivot, rows: [platform, method, batch]}}
"""
TRIVIAL = """\
rule all:
    input: [f"out/{{i}}" for i in range({size})]
rule one:
    output: "out/{{i}}"
    params: spec=lambda w: "x" * 1000 + w.i
    shell: "touch {{output}}"
"""


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
