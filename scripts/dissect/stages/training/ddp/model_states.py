"""Memory of parameters, gradients and optimizer states per GPU under PyTorch DDP, which shards nothing."""

from dissect.stages.training.ddp.spec import DdpSpec
from dissect.workloads.arithmetic import count_trainable
from dissect.workloads.dtypes import BYTES


def state_bytes(spec: DdpSpec) -> int:
    """Bytes of parameters, gradients, communication buckets and the two moments of AdamW.

    All are in the dtype of the weights: 8 bytes per parameter with bf16 states, and 16 with fp32 weights, from which
    autocast makes the bf16 ones. Buckets that hold the gradients beside the parameters' own add 2 or 4.
    """
    copies = 4 if spec.method.gradient_bucket_view else 5
    return copies * BYTES[spec.trained_dtype] * count_trainable(spec)
