"""What a batch system is asked for, out of a cell and its platform's scheduler section; no part of any key."""

import math
from collections.abc import Iterable, Mapping

from dissect.cells.cell import Cell
from dissect.cells.spec import InspectSpec, parse_spec
from dissect.config.platform import Platform

Request = Mapping[str, int | str | None]
"""A name of Snakemake's Slurm executor -> its value; None asks for nothing."""

NAMES = (
    "slurm_partition", "slurm_account", "qos", "constraint", "slurm_extra",
    "runtime", "mem_mb", "cpus_per_task", "gpu", "gpu_model", "nodes",
)  # fmt: skip
INSPECT_S = 300.0
"""Looking at a node takes seconds; a cold shared file system takes longer."""
_MIB = 2**20


def resources_of(cell: Cell, platform: Platform) -> Request:
    """What one cell asks for: ``runtime`` in minutes and ``mem_mb`` in MB per node are above what its runner allows.

    So the runner ends a cell first, as ``timeout`` or ``oom``, and a kill by the scheduler is always a failure.
    """
    spec = parse_spec(cell.canonical or "")
    scheduler = platform.scheduler
    hardware = spec.hardware
    budget_s = INSPECT_S if isinstance(spec, InspectSpec) else spec.sampling.budget_s
    gpus = scheduler.gpus if scheduler.gpus is not None else hardware.device != "cpu"
    return {
        "slurm_partition": scheduler.partition,
        "slurm_account": scheduler.account,
        "qos": scheduler.qos,
        "constraint": scheduler.constraint,
        "slurm_extra": "--exclusive" if scheduler.exclusive else None,
        "runtime": math.ceil((budget_s + scheduler.margin_s) / 60),
        "mem_mb": _memory_mb(scheduler.memory_gib, hardware.host_memory_bytes),
        # Below zero the executor asks for none; left out, it would ask for the cores of the submitting machine.
        "cpus_per_task": scheduler.cpus or -1,
        "gpu": hardware.n_gpus if gpus else None,
        "gpu_model": scheduler.gpu_model if gpus else None,
        "nodes": hardware.n_nodes,
    }


def pack_resources(cells: Iterable[Cell], platform: Platform) -> Request:
    """What one allocation for all these cells of a platform asks for: the most that one of them needs."""
    asked = [resources_of(cell, platform) for cell in cells if cell.path]
    most = {name: max((each[name] for each in asked), key=_number) for name in NAMES}
    return {**most, "runtime": math.ceil((platform.scheduler.pack_h or 1) * 60)}


def _number(value: int | str | None) -> int:
    return value if isinstance(value, int) else 0


def _memory_mb(asked_gib: float | None, host_memory_bytes: int) -> int:
    """Slurm's MB are MiB. The ranks may use all that is declared; their parent and Snakemake need some as well."""
    declared = host_memory_bytes / _MIB
    return math.ceil(max(declared * 1.02 + 1024, (asked_gib or 0) * 1024))
