"""Specs of the cells that PyTorch DDP trains."""

from typing import Literal

from dissect.base.model import added
from dissect.cells.spec import ModelArchitecture, ProfileWorkload, TrainingMethod, TrainingSpec
from dissect.config.kinds import DType, TorchOptimizer


class DdpMethod(TrainingMethod):
    """The choices of a cell that PyTorch DDP trains."""

    gradient_bucket_view: bool
    """Whether gradients are views of the communication buckets (``gradient_as_bucket_view``)."""
    optimizer: TorchOptimizer
    compile_layers: bool = added(False)
    """Whether every decoder layer is compiled with ``torch.compile``, before the warm-up."""

    @property
    def is_compiled(self) -> bool:
        """Whether ``torch.compile`` compiles the decoder layers, before the warm-up."""
        return self.compile_layers

    def repeats_last_product(self, arch: ModelArchitecture) -> bool:  # noqa: ARG002
        """Whether the layers are compiled: what ``torch.utils.checkpoint`` could stop at is inside one operator."""
        return self.compile_layers


class DdpSpec(TrainingSpec):
    """A cell that PyTorch DDP trains."""

    framework: Literal["ddp"]
    method: DdpMethod

    @property
    def weights_dtype(self) -> DType:
        """Dtype of the weights, and so of gradients and moments: the cell's, or fp32 where fp32 weights are kept."""
        return "fp32" if self.method.states == "fp32_master" else self.workload.dtype


class DdpPretrainSpec(DdpSpec):
    """Pre-training: all parameters train."""

    stage: Literal["pretrain"] = "pretrain"


class DdpProfileSpec(DdpSpec):
    """Profiling of a pre-training step: the same cell once without and once under the profiler."""

    stage: Literal["profile"] = "profile"
    workload: ProfileWorkload
