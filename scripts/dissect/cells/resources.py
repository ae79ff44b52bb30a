"""What a batch system is asked for, out of a cell and its platform's scheduler section; no part of any key."""

import math
from collections.abc import Iterable, Mapping

from dissect.cells.any_spec import parse_spec
from dissect.cells.cell import Cell
from dissect.cells.spec import InspectSpec
from dissect.config.platform import Platform

Request = Mapping[str, int | str | None]
"""A name of Snakemake's Slurm executor -> its value; None asks for nothing."""

NAMES = (
    "slurm_partition", "slurm_account", "qos", "constraint", "slurm_extra",
    "runtime", "mem_mb", "cpus_per_task", "gpu", "gpu_model", "gres", "nodes", "tasks", "tasks_per_gpu", "mpi",
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
    wanted = scheduler.gpus if scheduler.gpus is not None else hardware.device != "cpu"
    gpus = hardware.n_gpus // hardware.n_nodes if wanted else None
    # An inspection looks at one node, whatever the cells of its platform need.
    nodes = 1 if isinstance(spec, InspectSpec) else hardware.n_nodes
    return {
        **dict.fromkeys(NAMES),
        "slurm_partition": scheduler.partition,
        "slurm_account": scheduler.account,
        "qos": scheduler.qos,
        "constraint": scheduler.constraint,
        "slurm_extra": "--exclusive" if scheduler.exclusive else None,
        "runtime": math.ceil((budget_s + scheduler.margin_s) / 60),
        "mem_mb": _memory_mb(scheduler.memory_gib, hardware.host_memory_bytes),
        # Below zero the executor asks for none; left out, it would ask for the cores of the submitting machine.
        "cpus_per_task": scheduler.cpus or -1,
        **_placement(nodes, gpus, scheduler.gpu_model),
    }


def _placement(nodes: int, gpus: int | None, gpu_model: str | None) -> Request:
    """So many GPUs on each node. Several nodes need them said per node, and a job that starts steps of its own.

    That is ``mpi``: without it the executor would start the leader by a srun that claims all GPUs for the first node.
    The one task per node is where a step runs; next to GPUs the executor would read ``tasks`` as a number per GPU.
    """
    if nodes == 1:
        return {"nodes": 1, "gpu": gpus, "gpu_model": gpu_model if gpus else None}
    gres = ":".join(filter(None, ("gpu", gpu_model, str(gpus)))) if gpus else None
    return {"nodes": nodes, "gres": gres, "tasks": nodes, "tasks_per_gpu": 0, "mpi": "srun"}


def share_of_cores(request: Request, cores: int, gpus: int | None) -> int:
    """Cores of the machine at hand for one cell: all, so that cells run one after the other.

    Where ``gpus`` are shared out (``--resources gpu=4``), those that go with its GPUs, so that cells run side by side.
    """
    taken = request["gpu"]
    return max(1, cores * taken // gpus) if gpus and isinstance(taken, int) and taken < gpus else cores


def pack_resources(cells: Iterable[Cell], platform: Platform) -> Request:
    """What one allocation for all these cells of a platform asks for: what the largest of them needs."""
    largest = max((cell for cell in cells if cell.path), key=lambda cell: (cell.stage != "inspect", cell.n_gpus))
    return {**resources_of(largest, platform), "runtime": math.ceil((platform.scheduler.pack_h or 1) * 60)}


def _memory_mb(asked_gib: float | None, host_memory_bytes: int) -> int:
    """Slurm's MB are MiB. The ranks may use all that is declared; their parent and Snakemake need some as well."""
    declared = host_memory_bytes / _MIB
    return math.ceil(max(declared * 1.02 + 1024, (asked_gib or 0) * 1024))
