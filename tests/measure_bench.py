"""A project folder in which cells are measured by scripts/measure.py, with a runner that needs no torch."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from dissect.cells.spec import InspectSpec, Software, canonical_spec, spec_key
from dissect.results.cell_runs import read_runs
from dissect.results.result import Result
from dissect.stages.training.deepspeed.spec import PretrainSpec
from factories import GIB, hardware, pretrain_spec

TESTS = Path(__file__).parent


@dataclass
class Bench:
    """One project folder, and how to measure in it."""

    folder: Path

    def spec(self, batch: int | str = 1, budget_s: float = 60.0, **environment: str) -> PretrainSpec:
        on = hardware(device="cpu", n_gpus=2).model_copy(
            update={"environment": {"OMP_NUM_THREADS": "1"} | environment, "device_memory_bytes": 900 * GIB}
        )
        spec = pretrain_spec(on, batch=batch)
        sampling = spec.sampling.model_copy(update={"budget_s": budget_s})
        return spec.model_copy(update={"sampling": sampling, "software": Software()})

    def entry(self, spec: PretrainSpec | InspectSpec) -> Path:
        return self.folder / "store" / spec_key(canonical_spec(spec))

    def output(self, spec: PretrainSpec | InspectSpec) -> Path:
        return self.folder / "cells" / f"{self.entry(spec).name}.json"

    def start(self, spec: PretrainSpec | InspectSpec, *options: str, **keywords: Any) -> subprocess.Popen[str]:
        command = [sys.executable, str(TESTS / "measure_tiny.py"), "--spec", canonical_spec(spec)]
        command += ["--publish", str(self.output(spec)), "--store", str(self.folder / "store"), *options]
        environment = {"TINY_MARKS": str(self.folder / "marks"), **os.environ}
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **keywords
        )

    def measure(self, spec: PretrainSpec | InspectSpec, *options: str, **keywords: Any) -> tuple[int, str, str]:
        process = self.start(spec, *options, **keywords)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def runs(self, spec: PretrainSpec | InspectSpec) -> list[Path]:
        """Folders of the cell's whole runs in the store."""
        return sorted((self.entry(spec) / "runs").glob("[0-9a-f]" * 12))

    def measured(self) -> int:
        """How often a runner was prepared."""
        return len(list((self.folder / "marks").iterdir()))

    def result(self, spec: PretrainSpec | InspectSpec) -> Result:
        return read_runs(self.output(spec)).newest


def wait_for_ranks(
    bench: Bench, spec: PretrainSpec, process: subprocess.Popen[str], n: int = 2, attempts: int = 1
) -> list[psutil.Process]:
    deadline = time.monotonic() + 90
    log = bench.entry(spec) / "log.txt"
    while time.monotonic() < deadline:
        # Of several runs each has processes between this one and its ranks, some of which are gone in an instant.
        with suppress(psutil.NoSuchProcess):
            ranks = [each for each in psutil.Process(process.pid).children(recursive=True) if not each.children()]
            if len(ranks) == n and log.exists() and log.read_text().count("runs batch") >= n * attempts:
                return ranks
        time.sleep(0.02)
    raise AssertionError("the ranks did not start")


def wait_until_gone(processes: list[psutil.Process]) -> None:
    deadline = time.monotonic() + 60
    while any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes):
        assert time.monotonic() < deadline, "a rank outlives its parent"
        time.sleep(0.02)


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
