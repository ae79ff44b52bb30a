"""Specs of the cells that PyTorch FSDP2 trains."""

from typing import Literal

from dissect.base.model import added
from dissect.cells.spec import ModelArchitecture, TrainingMethod, TrainingSpec
from dissect.config.adapters import AnyAdapter
from dissect.config.adapters.adapter import Adapter
from dissect.config.kinds import DType, Quantization, TorchOptimizer


class FsdpMethod(TrainingMethod):
    """The choices of a cell that PyTorch FSDP2 trains."""

    cpu_offload: bool
    """Whether shards, gradients and optimizer states are in host memory, where the optimizer steps."""
    quantization: Quantization
    """``nf4``: bitsandbytes NF4 with double quantisation of every linear layer but the head, sharded as packed."""
    optimizer: TorchOptimizer
    compile_layers: bool = added(False)
    """Whether every decoder layer is compiled with ``torch.compile``, before the warm-up."""

    @property
    def is_quantized(self) -> bool:
        """Whether the linear layers of the decoder are in 4 bits."""
        return self.quantization != "none"

    @property
    def is_compiled(self) -> bool:
        """Whether ``torch.compile`` compiles the decoder layers, before the warm-up."""
        return self.compile_layers

    def repeats_last_product(self, arch: ModelArchitecture) -> bool:  # noqa: ARG002
        """Whether the layers are compiled: what ``torch.utils.checkpoint`` could stop at is inside one operator."""
        return self.compile_layers

    @property
    def computes_on_host(self) -> bool:
        """Whether the optimizer runs on the host."""
        return self.cpu_offload


class FsdpFinetuneMethod(FsdpMethod):
    """The choices of a fine-tuning cell: an adapter trains on a frozen base."""

    adapter: AnyAdapter

    @property
    def trained_adapter(self) -> Adapter:
        """The adapter, the only part that trains."""
        return self.adapter


class FsdpSpec(TrainingSpec):
    """A cell that PyTorch FSDP2 trains."""

    framework: Literal["fsdp"]
    method: FsdpMethod

    @property
    def trained_dtype(self) -> DType:
        """Dtype of the shards of trained parameters, and so of their gradients and moments."""
        return "fp32" if self.method.states == "fp32_master" else self.workload.dtype


class FsdpPretrainSpec(FsdpSpec):
    """Pre-training: all parameters train (with Q: those that stay unquantised)."""

    stage: Literal["pretrain"] = "pretrain"


class FsdpFinetuneSpec(FsdpSpec):
    """Parameter-efficient fine-tuning: an adapter trains on a frozen base."""

    stage: Literal["finetune"] = "finetune"
    method: FsdpFinetuneMethod
