"""A training step of PyTorch alone, for every way in which PyTorch spreads a model over ranks."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dissect.cells.spec import TrainingSpec
from dissect.config.kinds import TorchOptimizer
from dissect.stages.training.llama_trainer import LlamaTrainer
from dissect.workloads.dtypes import torch_dtype

if TYPE_CHECKING:
    import torch

_IMPLEMENTATIONS: dict[TorchOptimizer, dict[str, bool]] = {
    "torch_adamw": {"fused": True},
    "torch_adamw_foreach": {"foreach": True},
    "torch_adamw_loop": {"foreach": False, "fused": False},
}


def import_libraries(_: TrainingSpec) -> None:
    """Import in the parent, once, what the ranks need."""
    from transformers.models.llama import modeling_llama  # noqa: F401


def build_adamw(
    kind: TorchOptimizer, parameters: "Iterable[torch.nn.Parameter]", learning_rate: float
) -> "torch.optim.Optimizer":
    """PyTorch's AdamW in the named implementation; its moments have the dtype of the parameters."""
    import torch

    return torch.optim.AdamW(parameters, lr=learning_rate, **_IMPLEMENTATIONS[kind])


class TorchTrainer(LlamaTrainer):
    """A model that PyTorch trains."""

    def _forward(self, tokens: "torch.Tensor") -> "torch.Tensor":
        """The loss; products are computed in the cell's dtype where the weights have another."""
        import torch

        dtype = torch_dtype(self._spec.workload.dtype)
        if next(iter(self.model.parameters())).dtype == dtype:
            return super()._forward(tokens)
        with torch.autocast(tokens.device.type, dtype):
            return super()._forward(tokens)

    def _backward(self, loss: "torch.Tensor") -> None:
        loss.backward()

    def _update(self) -> None:
        if clipping := self._spec.workload.gradient_clipping:
            self._clip(clipping)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _clip(self, clipping: float) -> None:
        """Scale the gradients down to this norm if theirs is larger."""
        import torch

        torch.nn.utils.clip_grad_norm_(self.model.parameters(), clipping)
