"""Specs of the cells that Megatron-LM trains."""

from typing import Literal

from pydantic import PositiveInt

from dissect.base.model import added
from dissect.cells.spec import ModelArchitecture, TrainingMethod, TrainingSpec
from dissect.config.kinds import LayerSpec


class MegatronMethod(TrainingMethod):
    """How Megatron-LM splits and computes the model; the remaining factor of the GPUs is data parallel."""

    tensor_parallel: PositiveInt
    pipeline_parallel: PositiveInt
    sequence_parallel: bool
    """Split the norms' activations over the tensor-parallel ranks too."""
    distributed_optimizer: bool
    """Shard optimizer states over the data-parallel ranks."""
    layer_spec: LayerSpec
    overlap_communication: bool = added(False)
    """Reduce gradients during the backward pass; DO then gathers parameters during the forward pass."""
    fused_kernels: bool = added(False)
    """SwiGLU, residuals and cross-entropy through ``torch.compile``; with Transformer Engine's layers RoPE too."""
    recompute_attention: bool = added(False)
    """The backward pass computes attention's products and softmax again, from queries, keys and values."""

    @property
    def recomputes_attention_alone(self) -> bool:
        """Whether recomputation is selective."""
        return self.recompute_attention

    def repeats_last_product(self, arch: ModelArchitecture) -> bool:  # noqa: ARG002
        """True: Megatron-LM's recomputation runs every product of a layer again."""
        return True


class MegatronSpec(TrainingSpec):
    """Pre-training with Megatron-LM."""

    stage: Literal["pretrain"] = "pretrain"
    framework: Literal["megatron"]
    method: MegatronMethod
