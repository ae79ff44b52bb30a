"""Project folders in which benchmarks run Snakemake, and what a command costs."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

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

AT_REST = """\
import atexit, gc
gc.disable()
atexit.register(gc.freeze)
"""
"""Keeps Python's collector of garbage from working, as rules/common.smk does."""

PROGRAM = """\
import atexit, re, sys
from snakemake.cli import main
atexit.register(lambda: print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr))
main()
"""
"""Snakemake's own entry point; prints the peak of its memory in KiB at last, as rusage's begins at its parent's."""


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
def trivial_project(size: int, before: str = "") -> Iterator[Path]:
    """Context with a project folder of one rule and ``size`` jobs; ``before`` are first lines of its Snakefile."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Snakefile").write_text(before + TRIVIAL.format(size=size))
        yield Path(folder)


class Cost(NamedTuple):
    """What a command used."""

    cpu_s: float
    """User and system CPU seconds."""
    memory_mib: float
    """Largest resident memory."""


def snakemake(folder: Path, *arguments: str) -> Cost:
    """Run snakemake of this environment in a folder; Python keeps what it compiles, as it does by default."""
    command = [sys.executable, "-c", PROGRAM, "--cores", "1", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu_s, int(done.stderr.split()[-1]) / 1024)
