"""Resources requested from a batch system, from a cell and its platform's scheduler section; not part of a key."""

import json
import math
import shlex
from collections.abc import Iterable, Mapping

from dissect.cells.any_spec import parse_spec
from dissect.cells.cell import Cell
from dissect.cells.spec import InspectSpec, Spec
from dissect.config.platform import Platform
from dissect.config.scheduler import Scheduler

Request = Mapping[str, int | str | None]
"""Resource of a Snakemake executor, for Slurm or Kubernetes -> value; None requests nothing."""

NAMES = (
    "clusters", "slurm_partition", "slurm_account", "qos", "constraint", "slurm_extra",
    "runtime", "mem_mb", "cpus_per_task", "gpu", "gpu_model", "gres", "nodes", "tasks", "tasks_per_gpu", "mpi",
    "pod_image", "pod_spec",
)  # fmt: skip
INSPECT_S = 300.0
"""Budget of an inspection in seconds, which a cold shared file system may need."""
OVER = 1.5
"""Factor above the upper end of a predicted time that a request asks for, beside the margin of the platform."""
_MIB = 2**20


def resources_of(cell: Cell, platform: Platform, longest_s: float | None = None) -> Request:
    """Resources requested for one cell."""
    return request_for(parse_spec(cell.canonical or ""), cell.runs, platform, longest_s)


def request_for(spec: Spec, runs: int, platform: Platform, longest_s: float | None = None) -> Request:
    """Resources for ``runs`` of a spec; ``runtime`` in minutes and ``mem_mb`` in MB per node are above its limits.

    Each run has the budget of the spec. So the runner ends a run first, as ``timeout`` or ``oom``; a cell that the
    scheduler kills is always ``failed``. With ``longest_s``, the seconds that one run is predicted to take at most,
    ``runtime`` may be below the budget, never above: only for a job that is tried again without.
    """
    scheduler = platform.scheduler
    hardware = spec.hardware
    budget_s = INSPECT_S if isinstance(spec, InspectSpec) else spec.sampling.budget_s
    run_s = budget_s if longest_s is None else min(budget_s, OVER * longest_s)
    wanted = scheduler.gpus if scheduler.gpus is not None else hardware.device != "cpu"
    gpus = hardware.n_gpus // hardware.n_nodes if wanted else None
    # An inspection needs one node, whatever the cells of its platform need.
    nodes = 1 if isinstance(spec, InspectSpec) else hardware.n_nodes
    return {
        **dict.fromkeys(NAMES),
        "clusters": scheduler.cluster,
        "slurm_partition": scheduler.partition,
        "slurm_account": scheduler.account,
        "qos": scheduler.qos,
        "constraint": scheduler.constraint,
        "slurm_extra": _extra(scheduler, hardware.device),
        "pod_image": scheduler.pod_image,
        # A resource is a number or a text.
        "pod_spec": json.dumps(scheduler.pod_spec) if scheduler.pod_spec else None,
        "runtime": math.ceil((run_s * runs + scheduler.margin_s) / 60),
        "mem_mb": _memory_mb(scheduler.memory_gib, hardware.host_memory_bytes),
        # Below zero the executor asks for none; left out, it would ask for the cores of the submitting machine.
        "cpus_per_task": scheduler.cpus or -1,
        **_placement(nodes, gpus, scheduler.gpu_model),
    }


def _extra(scheduler: Scheduler, device: str) -> str | None:
    """Options that no resource of the executor stands for, as a shell reads them; None without any."""
    exclusive = device != "cpu" if scheduler.exclusive is None else scheduler.exclusive
    return shlex.join([*(["--exclusive"] if exclusive else []), *scheduler.options]) or None


def _placement(nodes: int, gpus: int | None, gpu_model: str | None) -> Request:
    """Resources that place ``gpus`` GPUs on each node. Several nodes need GPUs per node and a job that starts steps.

    Such a job needs ``mpi``: without it the executor starts the leader by a srun that claims all GPUs for the first
    node. A step runs in the one task per node; beside GPUs the executor reads ``tasks`` as a number per GPU.
    """
    if nodes == 1:
        return {"nodes": 1, "gpu": gpus, "gpu_model": gpu_model if gpus else None}
    gres = ":".join(filter(None, ("gpu", gpu_model, str(gpus)))) if gpus else None
    return {"nodes": nodes, "gres": gres, "tasks": nodes, "tasks_per_gpu": 0, "mpi": "srun"}


def urgency(cell: Cell, request: Request) -> int:
    """Minutes by which a batch system gets cells in order, the longest first; a ``max`` search counts twice.

    The last jobs of a run then seldom outlast all others. With the limits of the full suite on eight nodes, random
    order takes 5 % longer than the best, this one 1 %.
    """
    runtime = request["runtime"]
    assert isinstance(runtime, int)
    return runtime * (2 if cell.batch == "max" else 1)


def share_of_cores(cell: Cell, request: Request, cores: int, gpus: int | None) -> int:
    """Number of cores of this machine for one cell: all, so that cells run one after the other.

    With a pool of ``gpus`` (``--resources gpu=4``) it is the share that matches the cell's GPUs, so that cells run side
    by side. A server always has all cores: servers share a host equally, or not at all.
    """
    taken = request["gpu"]
    if cell.stage == "serve":
        return cores
    return max(1, cores * taken // gpus) if gpus and isinstance(taken, int) and taken < gpus else cores


def pack_resources(cells: Iterable[Cell], platform: Platform) -> Request:
    """Resources requested for an allocation that measures all these cells: those of the largest cell."""
    largest = max((cell for cell in cells if cell.path), key=lambda cell: (cell.stage != "inspect", cell.n_gpus))
    return {**resources_of(largest, platform), "runtime": math.ceil((platform.scheduler.pack_h or 1) * 60)}


def _memory_mb(asked_gib: float | None, host_memory_bytes: int) -> int:
    """Memory per node in Slurm's MB, which are MiB: what is declared for the ranks, and some for their parent."""
    declared = host_memory_bytes / _MIB
    return math.ceil(max(declared * 1.02 + 1024, (asked_gib or 0) * 1024))
