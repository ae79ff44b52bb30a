"""A training step of PyTorch alone, for every way in which PyTorch spreads a model over ranks."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dissect.cells.spec import TrainingSpec
from dissect.config.kinds import TorchOptimizer
from dissect.machine.device import Device
from dissect.stages.training.llama_trainer import LlamaTrainer
from dissect.workloads.dtypes import torch_dtype
from dissect.workloads.llama import synthetic_tokens

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


def compile_layers(layers: "Iterable[torch.nn.Module]") -> None:
    """Have each decoder layer compiled when it first runs; equal layers share what is compiled."""
    for layer in layers:
        layer.compile()


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

    def warm_compiler(self, device: Device) -> None:
        """Run forward and backward once for what they compile, so that no warm-up step does; no parameter changes.

        Raises:
            ValueError: the batch of the spec is not a number yet.
        """
        workload = self._spec.workload
        if not isinstance(workload.batch, int):
            raise ValueError(f"a rank compiles for a number of sequences, not batch {workload.batch!r}")
        start, where = time.monotonic(), device.torch_device
        tokens = synthetic_tokens(self._spec.model, workload.batch, workload.seq_len, where, workload.seed)
        self._forward(tokens).backward()
        self.optimizer.zero_grad()
        device.synchronize()
        self.compile_s = time.monotonic() - start

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
