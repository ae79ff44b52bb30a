"""Where and with what a cell was measured: detected, never declared, and never part of a key."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dissect.results.installed import installed
from dissect.results.result import Anchor, Gpu, Provenance, Start

_PROJECT = Path(__file__).resolve().parents[3]
_MEASURING = ("Snakefile", "config", "envs", "profiles", "rules", "scripts")
"""What a measurement depends on; docs, tests and what users keep beside them do not count."""
_IN_THE_KEY = ("config/config.yaml", "config/platforms")
"""What users change to measure their machines, all of which a cell's spec, and so its key, repeats."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PREFIXES = ("GLOO_", "OMP_", "KMP_", "MKL_", "TORCH_", "PYTORCH_", "DS_", "SLURM_")
_SECRET_WORDS = ("TOKEN", "JWT", "KEY", "SECRET", "PASS", "CREDENTIAL")
_DISTRIBUTIONS = (
    "torch",
    "deepspeed",
    "transformers",
    "accelerate",
    "peft",
    "bitsandbytes",
    "flash-attn",
    "megatron-core",
    "triton",
    "numpy",
    "guidellm",
)


def collect(
    gpus: list[Gpu] | str,
    other_processes: str,
    notes: Mapping[str, Any],
    variables: Sequence[str] = (),
    distributions: Sequence[str] = (),
    machine_gpus: Sequence[str] = (),
    anchors: Sequence[Anchor] = (),
) -> Provenance:
    """Everything that is read from this machine, with what was seen of its GPUs and of others on it.

    ``machine_gpus`` has the UUIDs of all GPUs from which those of the cell were chosen.
    ``variables`` and ``distributions`` are prefixes of what the vendors' libraries are steered by and come as.
    """
    commit, dirty = git_state(_PROJECT)
    return Provenance(
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        git_commit=commit,
        git_dirty=dirty,
        host=platform.node(),
        kernel=platform.release(),
        cpu_model=cpu_model(),
        cpu_cores=os.cpu_count() or 1,
        host_memory_bytes=host_memory_bytes(),
        python=platform.python_version(),
        versions=versions(distributions),
        environment=steering_environment(os.environ, variables),
        scheduler_job=os.environ.get("SLURM_JOB_ID"),
        gpus=gpus,
        other_processes=other_processes,
        notes=dict(notes),
        start=start(machine_gpus),
        anchors=list(anchors),
    )


def start(machine_gpus: Sequence[str]) -> Start | None:
    """This boot of this machine in this allocation; None where the system does not tell one boot from another."""
    try:
        boot_id = _BOOT_ID.read_text().strip()
    except OSError:
        return None
    return Start(boot_id=boot_id, gpus=sorted(machine_gpus), allocation=os.environ.get("SLURM_JOB_ID"))


def git_state(project: Path) -> tuple[str | None, bool | None]:
    """Commit of the project and whether what measures differs from it; (None, None) outside a git repository."""
    try:
        commit = _git(project, "rev-parse", "HEAD")
        unseen = [f":(exclude){path}" for path in _IN_THE_KEY]
        return commit.strip(), bool(_git(project, "status", "--porcelain", "--", *_MEASURING, *unseen))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _git(project: Path, *arguments: str) -> str:
    # Clusters run jobs as another user than the one who cloned; git would refuse to look.
    command = ["git", "-c", f"safe.directory={project}", "-C", str(project), "--no-optional-locks", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


def cpu_model() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def host_memory_bytes() -> int:
    """Physical memory of the node in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def versions(prefixes: Sequence[str] = ()) -> dict[str, str]:
    """Installed versions of the libraries that carry the measurement, those of the vendors by their prefixes."""
    wanted = tuple(prefixes)
    found = sorted(installed().versions.items())
    return {name: version for name, version in found if name in _DISTRIBUTIONS or name.startswith(wanted)}


def steering_environment(environment: Mapping[str, str], prefixes: Sequence[str] = ()) -> dict[str, str]:
    """The variables that steer libraries and scheduler; no path, and none whose name hints at a secret.

    Those of the vendors' libraries are known by their ``prefixes``.
    Results travel to others, whom it does not concern where things lie on a machine.
    """
    known = (*_PREFIXES, *prefixes)
    return {
        name: value
        for name, value in sorted(environment.items())
        if name.startswith(known) and not value.startswith("/") and not any(word in name for word in _SECRET_WORDS)
    }
