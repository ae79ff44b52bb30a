"""Memory of parameters, gradients and optimizer states per GPU under DeepSpeed's ZeRO stages."""

from dissect.stages.training.deepspeed.spec import DeepSpeedSpec
from dissect.workloads.arithmetic import count_trainable, frozen_bytes, optimizer_state_width
from dissect.workloads.dtypes import BYTES


def state_bytes(spec: DeepSpeedSpec) -> int:
    """Bytes of parameters, gradients and optimizer states per GPU; each ZeRO stage shards one more of them.

    On ``cpu`` offloading moves nothing out of the process.
    """
    method, trainable = spec.method, count_trainable(spec)
    width = BYTES[spec.workload.dtype]
    shards = spec.hardware.n_gpus
    parameters = trainable * width / (shards if method.zero_stage >= 3 else 1)
    gradients = trainable * width / (shards if method.zero_stage >= 2 else 1)
    states = trainable * optimizer_state_width(spec) / (shards if method.zero_stage >= 1 else 1)
    frozen = frozen_bytes(spec) / (shards if method.zero_stage >= 3 else 1)
    if spec.hardware.device != "cpu" and method.offload_optimizer:
        gradients = states = 0
    if spec.hardware.device != "cpu" and method.offload_parameters:
        parameters = frozen = 0
    return int(frozen + parameters + gradients + states)
