"""Memory of parameters, gradients and optimizer states per GPU under PyTorch FSDP2, which shards all of them."""

from dissect.stages.training.fsdp.spec import FsdpSpec
from dissect.workloads.arithmetic import count_trainable, frozen_bytes
from dissect.workloads.dtypes import BYTES


def state_bytes(spec: FsdpSpec) -> int:
    """Bytes of this GPU's shards of parameters, gradients and the two moments of AdamW.

    Those of what trains are in one dtype: 16 bytes per parameter with fp32 master weights, 8 with bf16 states. On
    ``cpu`` offloading moves nothing out of the process.
    """
    if spec.method.cpu_offload and spec.hardware.device != "cpu":
        return 0
    trained = 4 * BYTES[spec.trained_dtype] * count_trainable(spec)
    return int((trained + frozen_bytes(spec)) / spec.hardware.n_gpus)
