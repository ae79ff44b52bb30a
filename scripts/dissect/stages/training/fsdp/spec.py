"""Specs of the cells that PyTorch FSDP2 trains."""

from typing import Literal

from dissect.config.adapters import AnyAdapter
from dissect.config.adapters.adapter import Adapter
from dissect.config.kinds import Quantization
from dissect.stages.training.torch_spec import TorchMethod, TorchSpec


class FsdpMethod(TorchMethod):
    """The choices of a cell that PyTorch FSDP2 trains."""

    cpu_offload: bool
    """Whether shards, gradients and optimizer states are in host memory, where the optimizer steps."""
    quantization: Quantization
    """``nf4``: bitsandbytes NF4 with double quantisation of every linear layer but the head, sharded as packed."""

    @property
    def is_quantized(self) -> bool:
        """Whether the linear layers of the decoder are in 4 bits."""
        return self.quantization != "none"

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


class FsdpSpec(TorchSpec):
    """A cell that PyTorch FSDP2 trains."""

    framework: Literal["fsdp"]
    method: FsdpMethod


class FsdpPretrainSpec(FsdpSpec):
    """Pre-training: all parameters train (with Q: those that stay unquantised)."""

    stage: Literal["pretrain"] = "pretrain"


class FsdpFinetuneSpec(FsdpSpec):
    """Parameter-efficient fine-tuning: an adapter trains on a frozen base."""

    stage: Literal["finetune"] = "finetune"
    method: FsdpFinetuneMethod
