"""What is read from the machine, and what must never be."""

import os
import subprocess
from pathlib import Path

from dissect.results import provenance


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_git_commit_and_dirtiness(tmp_path):
    assert provenance.git_state(tmp_path) == (None, None)
    git(tmp_path, "init")
    code = tmp_path / "scripts/a.py"
    code.parent.mkdir()
    code.write_text("a")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    commit, dirty = provenance.git_state(tmp_path)
    assert commit is not None
    assert len(commit) == 40
    assert dirty is False
    for name in ("ours.tar.gz", "report.html"):
        (tmp_path / name).touch()
    assert provenance.git_state(tmp_path) == (commit, False)
    (tmp_path / "config/platforms").mkdir(parents=True)
    for name in ("platforms/lab.yaml", "config.yaml"):
        (tmp_path / "config" / name).touch()
    assert provenance.git_state(tmp_path) == (commit, False), "what the key of a cell repeats"
    (tmp_path / "config/methods.yaml").touch()
    assert provenance.git_state(tmp_path) == (commit, True)
    (tmp_path / "config/methods.yaml").unlink()
    code.write_text("b")
    assert provenance.git_state(tmp_path) == (commit, True)


def test_environment_has_what_steers_and_no_secret():
    environment = {
        "NCCL_P2P_DISABLE": "1",
        "OMP_NUM_THREADS": "1",
        "SLURM_JOB_ID": "7",
        "SLURM_JWT": "secret",
        "TORCH_EXTENSIONS_DIR": "/home/someone/extensions",
        "TORCH_HUB_TOKEN": "secret",
        "CUDA_API_KEY": "secret",
        "HOME": "/home/someone",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    assert provenance.steering_environment(environment, ("CUDA_", "NCCL_")) == {
        "NCCL_P2P_DISABLE": "1",
        "OMP_NUM_THREADS": "1",
        "SLURM_JOB_ID": "7",
    }


def test_collected_record_says_where_it_was_measured(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    record = provenance.collect("no NVML: none here", "nobody", {"a": 1})
    assert record.scheduler_job == "4711"
    assert record.gpus == "no NVML: none here"
    assert record.cpu_cores == os.cpu_count()
    assert record.host_memory_bytes > 2**28
    assert record.measured_at.endswith("+00:00")
