"""Other jobs on the node, as a squeue that is a shell script tells of them."""

import time
from pathlib import Path

import pytest

from dissect.machine.node import look_at_node
from dissect.machine.node_monitor import monitor_of
from dissect.machine.other_jobs import other_jobs
from factories import hardware


@pytest.mark.parametrize(
    ("script", "jobs", "said"),
    [
        ("echo 7 100 200; echo 8 100 N/A", ["8"], "Slurm ran 1 other jobs on this node"),
        ("echo 7 100 200", [], ""),
        ("exit 1", None, "other Slurm jobs on this node are unknown: squeue gave no answer"),
    ],
    ids=["another job", "alone", "slurmctld is down"],
)
def test_a_result_tells_whether_other_jobs_are_known(
    script: str, jobs: list[str] | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "squeue").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "squeue").chmod(0o755)
    for name, value in {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_ID": "7", "SLURMD_NODENAME": "node"}.items():
        monkeypatch.setenv(name, value)
    now = time.monotonic()
    assert other_jobs(now - 1, now) == jobs
    here = hardware(device="cpu", n_gpus=1)
    observation = monitor_of(look_at_node(here), here).observe(now - 1, now, [])
    assert said in observation.other_processes
    assert ("Slurm" in observation.other_processes) is bool(said)
    assert observation.jobs == (jobs or [])
