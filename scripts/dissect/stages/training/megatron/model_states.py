"""Memory of parameters, gradients and optimizer states per GPU under Megatron-LM."""

from dissect.stages.training.megatron.spec import MegatronSpec
from dissect.workloads.arithmetic import optimizer_state_width, parameter_groups
from dissect.workloads.dtypes import BYTES


def state_bytes(spec: MegatronSpec) -> int:
    """Bytes of parameters, fp32 gradients and optimizer states per GPU.

    They are those of an average pipeline stage, so never more than the fullest one holds. Tensor-parallel GPUs split
    all but the norms.
    """
    tensor, stages, groups = spec.method.tensor_parallel, spec.method.pipeline_parallel, parameter_groups(spec.model)
    replicas = spec.hardware.n_gpus // (tensor * stages) if spec.method.distributed_optimizer else 1
    per_parameter = BYTES[spec.workload.dtype] + BYTES["fp32"] + optimizer_state_width(spec) / replicas
    return int(((groups.total - groups.norms) / tensor + groups.norms) / stages * per_parameter)
