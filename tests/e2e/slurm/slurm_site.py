"""A clone whose platforms are nodes of the test cluster, measured by the tiny runner: all else is real."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from slurm_cluster import Cluster

from clones import ROOT, new_clone
from dissect.cells.study import load_study
from dissect.results.cell_runs import read_runs
from dissect.results.result import Result

LOOK_S = 3
POLL = (f"--slurm-init-seconds-before-status-checks={LOOK_S}", f"--seconds-between-status-checks={LOOK_S}",
        "--latency-wait=10")  # fmt: skip
STEADY = {"TINY_STEPS": "2", "TINY_STEP_S": "0.1"}


def environment(**variables: str) -> dict[str, Any]:
    """An override that sets the tiny runner's knobs."""
    return {"hardware": {"environment": {**STEADY, **variables}}}


@dataclass
class Run:
    """A snakemake that runs; its output is collected as it comes."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout or ()), daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        """What it printed so far."""
        return "".join(self.lines)

    def end(self, seconds: float = 500) -> int:
        """Wait for its end; the exit status. Only a hang takes that long, even beside other tests."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"snakemake did not end\n{self.output}") from None
        self._reader.join(5)
        return code


@dataclass
class Site:
    """One clone on the cluster."""

    folder: Path
    cluster: Cluster

    def configure(self, methods: list[str], platforms: list[str], **overrides: dict[str, Any]) -> None:
        """One table of these methods, and one (``table_IV``) of Naive alone; an override per method or platform."""
        config = {
            "platforms": platforms, "models": ["llama2-7b"], "tables": ["table_III", "table_IV"], "figures": [],
            "overrides": {
                (f"pretrain/{name}/*/*/*/*" if name in platforms else f"pretrain/*/*/*/{name}/*"): parameters
                for name, parameters in overrides.items()
            },
        }  # fmt: skip
        self._write("config/config.yaml", config)
        for name, axes in (("table_III", {"method": methods}), ("table_IV", {"method": ["Naive"], "batch": [1]})):
            table = self.folder / f"config/experiments/{name}.yaml"
            changes = {"axes": {"framework": ["deepspeed"], **axes}, "suites": {}}
            self._write(table, {**yaml.safe_load(table.read_text()), **changes})

    def platform(self, name: str, facts: dict[str, Any] | None = None, **scheduler: Any) -> None:
        """A platform of that name on the partition of that name; ``facts`` are keys of its file."""
        cpu = yaml.safe_load((self.folder / "config/platforms/cpu.yaml").read_text())
        own = {
            "label": name,
            "environment": STEADY,
            "host": {"cpu": "a virtual node", "memory_gib": 4},
            "workload": {**cpu["workload"], "sampling": {"budget_s": 90}},
            "environments": {"train": {"interpreter": "./tiny-python", "versions": self._versions()}},
            "scheduler": {"partition": name, "gpus": True, "gpu_model": "n", "cpus": 2, "margin_s": 30, **scheduler},
        }
        self._write(f"config/platforms/{name}.yaml", {**cpu, **own, **(facts or {})})

    def slow_start(self, name: str, command: str) -> dict[str, Any]:
        """The environments of a platform whose Python does something else before its first start."""
        return self.own_python(name, f"[ -e {name}.started ] || {{ touch {name}.started; {command}; }}")

    def own_python(self, name: str, command: str) -> dict[str, Any]:
        """The environments of a platform whose Python runs a command of the shell before each start."""
        python = self.folder / f"{name}-python"
        python.write_text(f'#!/bin/sh\n{command}\nexec ./tiny-python "$@"\n')
        python.chmod(0o755)
        return {"environments": {"train": {"interpreter": f"./{python.name}", "versions": self._versions()}}}

    @staticmethod
    def _versions() -> dict[str, str]:
        return {"pydantic": metadata.version("pydantic")}

    def _write(self, path: str | Path, content: object) -> None:
        (self.folder / path).write_text(yaml.safe_dump(content, sort_keys=False))

    def start(self, *arguments: str) -> Run:
        """Start snakemake as a user would, in a process group of its own."""
        command = [sys.executable, "-m", "snakemake", "--profile", "profiles/slurm", *POLL, *arguments]
        here = {**self.cluster.environment, "PATH": f"{Path(sys.executable).parent}:{self.cluster.environment['PATH']}"}
        return Run(
            subprocess.Popen(
                command, cwd=self.folder, env=here, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        )  # fmt: skip

    def result(self, fragment: str) -> Result:
        """The published result of the one cell whose path has a fragment."""
        (path,) = [path for path in (self.folder / "results/cells").rglob("*.json") if fragment in str(path)]
        return read_runs(path).newest

    def attempts(self, fragment: str) -> int:
        """How often the cell was measured, killed attempts included."""
        return self.log(fragment).count("=== attempt")

    def log(self, fragment: str) -> str:
        """What the measurement of a cell printed; empty if there was none yet."""
        keys = {path.stem for path in (self.folder / "results/logs/pretrain").rglob("*.log") if fragment in str(path)}
        if not keys:  # a pack has one log for all its cells
            planned = load_study(self.folder, {}).by_path
            keys = {str(cell.key) for path, cell in planned.items() if fragment in path}
        logs = [self.folder / "results/store" / key / "log.txt" for key in keys]
        return "".join(path.read_text() for path in logs if path.exists())

    def runs(self, fragment: str, times: int = 1) -> bool:
        """Whether the cell's ranks are at work, at least in this attempt."""
        log = self.log(fragment)
        return log.count("=== attempt") >= times and "rank 1 runs" in log.split("=== attempt")[times]

    def job_of(self, fragment: str) -> str:
        """The Slurm job of a cell's latest submission."""
        logs = (self.folder / "results/logs/slurm").glob(f"*/*{fragment}*/*.log")
        return max(logs, key=lambda path: int(path.stem)).stem

    def slurm_logs(self, fragment: str) -> str:
        """What all jobs of a cell left."""
        logs = (self.folder / "results/logs/slurm").glob(f"*/*{fragment}*/*.log")
        return "".join(path.read_text() for path in logs)

    def table(self, name: str) -> Path:
        """A table's CSV."""
        return self.folder / f"results/tables/{name}.csv"


def new_site(folder: Path, cluster: Cluster) -> Site:
    """A fresh clone whose platforms are the partitions of the cluster."""
    new_clone(folder)
    site = Site(folder, cluster)
    python = folder / "tiny-python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/tests/measure_tiny.py" "$@"\n')
    python.chmod(0o755)
    for name in cluster.partitions:
        site.platform(name)
    return site


def interrupt(run: Run, number: signal.Signals) -> None:
    """Send a signal to the main process alone."""
    with suppress(ProcessLookupError):
        os.kill(run.process.pid, number)
