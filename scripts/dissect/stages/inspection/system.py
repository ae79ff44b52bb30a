"""Stage ``inspect``: the hardware of a node, to compare with its platform file."""

import os

from dissect.base.outcome import Flag, Status
from dissect.machine.node import Node
from dissect.metrics.inspection import InspectMetrics
from dissect.ranks.measurement import Measurement
from dissect.results.provenance import cpu_model, host_memory_bytes


def inspect(node: Node) -> Measurement:
    """The node's facts. Where no GPU can be seen the lists of GPUs are empty and the provenance says why."""
    found = node.gpus if isinstance(node.gpus, list) else []
    metrics = InspectMetrics(
        gpu_names=[gpu.name for gpu in found],
        gpu_memory_bytes=[gpu.memory_bytes for gpu in found],
        driver=found[0].driver if found else None,
        interconnect=next(iter(found[0].links.values()), None) if found else None,
        cpu_model=cpu_model(),
        cpu_cores=os.cpu_count() or 1,
        host_memory_bytes=host_memory_bytes(),
    )
    return Measurement(
        status=Status.OK,
        metrics=metrics,
        flags=[Flag.HARDWARE_MISMATCH] if node.mismatch else [],
        gpus=[gpu.record() for gpu in found] if found else str(node.gpus),
        other_processes="not checked: nothing is timed",
        notes=node.notes,
    )
