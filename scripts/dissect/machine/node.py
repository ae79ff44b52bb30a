"""The node that a cell runs on, as found before the launch, against what the platform declares."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dissect.base.units import GIB
from dissect.cells.spec import Hardware
from dissect.machine.gpus import GpuInfo, NoGpus
from dissect.machine.vendor import vendor_of

_IN_USE, _LEAST_BYTES = 0.05, GIB
"""Others have memory of a GPU of which more is in use than the larger of the two: the driver keeps some for itself."""


@dataclass(frozen=True)
class Node:
    """The node on which this process runs."""

    gpus: list[GpuInfo] | str
    """GPUs that the ranks will use, or why there are none to look at."""
    mismatch: str | None
    """How it differs from what the platform declares, in words."""
    held: Sequence[str] = ()
    """Memory of these GPUs that others had, in words."""

    @property
    def indices(self) -> list[int]:
        """Indices of the GPUs that the ranks will use; empty without GPUs."""
        return [gpu.index for gpu in self.gpus] if isinstance(self.gpus, list) else []

    @property
    def notes(self) -> dict[str, str]:
        """Notes for the provenance."""
        return {"hardware_mismatch": self.mismatch} if self.mismatch else {}


def look_at_node(hardware: Hardware) -> Node:
    """Read the GPUs; on ``cpu`` none is used and none can differ."""
    try:
        found = vendor_of(hardware).find_gpus()
    except NoGpus as error:
        return Node(str(error), None if hardware.device == "cpu" else str(error))
    wanted = hardware.n_gpus // hardware.n_nodes
    memory_bytes = hardware.card_memory_bytes or hardware.device_memory_bytes
    held = [*taken(found[:wanted], hardware.device_memory_bytes)]
    return Node(found[:wanted], mismatch(found, hardware.gpu_model, wanted, memory_bytes), held)


def too_few_gpus(hardware: Hardware, node: Node) -> str | None:
    """Why the ranks cannot run here, before anything is imported or compiled; without the driver nobody knows."""
    wanted = hardware.n_gpus // hardware.n_nodes
    if not isinstance(node.gpus, list) or len(node.gpus) >= wanted:
        return None
    return f"the cell needs {wanted} GPUs on this node, {vendor_of(hardware).driver} finds {len(node.gpus)}"


def taken(gpus: Sequence[GpuInfo], budget_bytes: int) -> Iterator[str]:
    """The GPUs on which others had memory when they were looked at, in words.

    ``budget_bytes`` is what a process may use of each GPU; what others have goes off that.
    """
    for gpu in gpus:
        if gpu.used_bytes > max(_LEAST_BYTES, _IN_USE * min(gpu.memory_bytes, budget_bytes)):
            yield f"GPU {gpu.index} has {gpu.used_bytes / GIB:.1f} GiB of its memory in use"


def mismatch(found: list[GpuInfo], gpu_model: str, n_gpus: int, memory_bytes: int) -> str | None:
    """How the GPUs differ from what is declared for one node, in words, or None.

    Datasheets round memory: 10 % either way is no difference.
    """
    wrong = [f"{n_gpus} GPUs are declared, {len(found)} found"] if len(found) < n_gpus else []
    wrong += [f"GPU {gpu.index} is {gpu.name!r}, {gpu_model!r} is declared" for gpu in found if gpu.name != gpu_model]
    wrong += [
        f"GPU {gpu.index} has {gpu.memory_bytes / GIB:.1f} GiB, {memory_bytes / GIB:.1f} GiB are declared"
        for gpu in found
        if abs(gpu.memory_bytes / memory_bytes - 1) > 0.1
    ]
    return "; ".join(wrong) or None
