"""Predicted peak memory of a server on each GPU."""

from dissect.base.units import GIB
from dissect.cells.spec import ServeSpec
from dissect.predict.predicted_value import PredictedValue
from dissect.predict.server_times import cache_tokens, why_unmodelled
from dissect.workloads.arithmetic import count_parameters
from dissect.workloads.dtypes import BYTES
from dissect.workloads.kv_cache import cache_bytes_of

BESIDE_GIB = PredictedValue(4.0, 3.0, 6.2)
"""GiB of a GPU beside weights and cache: CUDA context, graphs and the largest step.

Measured: median and range over the shipped servers on one H200; one on two GPUs has 7.9.
"""


def predict_server_memory(spec: ServeSpec) -> PredictedValue[float] | None:
    """Peak in bytes per GPU as its driver reports it: weights, KV cache and what is beside.

    None where the cache is not predicted, and where weights leave none.
    """
    if why_unmodelled(spec):
        return None
    rooms = cache_tokens(spec)
    if not rooms.value:
        return None
    weights = count_parameters(spec.model) * BYTES[spec.workload.dtype]
    return PredictedValue(
        *(
            (weights + cache_bytes_of(spec, room)) / spec.hardware.n_gpus + beside * GIB
            for room, beside in zip(rooms, BESIDE_GIB, strict=True)
        )
    )
