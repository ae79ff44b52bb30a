"""What letters turn in Megatron-LM."""

from pydantic import PositiveInt

from dissect.config.knobs import Knobs


class MegatronKnobs(Knobs):
    """How the model is split over the GPUs, and what Megatron-LM overlaps and fuses."""

    tensor_parallel: PositiveInt | None = None
    """Megatron-LM: GPUs that share each layer; default: all of a node."""
    pipeline_parallel: PositiveInt | None = None
    """Megatron-LM: stages that share the layers; default: 1."""
    sequence_parallel: bool | None = None
    """Megatron-LM: split the norms' activations over the tensor-parallel GPUs as well."""
    distributed_optimizer: bool | None = None
    """Megatron-LM: shard optimizer states over the data-parallel GPUs."""
    overlap_communication: bool | None = None
    """Megatron-LM: reduce gradients during the backward pass, and gather parameters during the forward pass."""
    fused_kernels: bool | None = None
    """Megatron-LM: fuse what megatron-core fuses by itself: SwiGLU, residuals and cross-entropy; with TE also RoPE."""
    recompute_attention: bool | None = None
    """Megatron-LM: recompute attention alone, its products and softmax (selective recomputation)."""


KNOBS = MegatronKnobs
