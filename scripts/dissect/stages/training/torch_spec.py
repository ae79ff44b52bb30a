"""What specs of the frameworks that are PyTorch alone have in common."""

from dissect.base.model import added
from dissect.cells.spec import ModelArchitecture, TrainingMethod, TrainingSpec
from dissect.config.kinds import DType, TorchOptimizer


class TorchMethod(TrainingMethod):
    """The choices of a cell that PyTorch alone trains."""

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


class TorchSpec(TrainingSpec):
    """A cell that PyTorch alone trains."""

    method: TorchMethod

    @property
    def trained_dtype(self) -> DType:
        """Dtype of the weights that train, and so of their gradients and moments: the cell's, or fp32 where kept so."""
        return "fp32" if self.method.states == "fp32_master" else self.workload.dtype
