"""A training step of PyTorch FSDP2."""

from typing import TYPE_CHECKING, Any

from dissect.machine.device import Device
from dissect.machine.vendor import vendor_of
from dissect.stages.training import torch_trainer
from dissect.stages.training.first_step import GradientWatch
from dissect.stages.training.fsdp.sharded_llama import build_sharded_llama
from dissect.stages.training.fsdp.spec import FsdpSpec
from dissect.stages.training.torch_trainer import TorchTrainer, build_adamw
from dissect.workloads.arithmetic import count_trainable

if TYPE_CHECKING:
    import torch


def import_libraries(spec: FsdpSpec) -> None:
    """Import in the parent what the ranks need; on ``cuda`` each rank imports what touches CUDA when imported."""
    torch_trainer.import_libraries(spec)
    if vendor_of(spec.hardware).torch_type == "cpu":
        if spec.method.is_quantized:
            import bitsandbytes  # noqa: F401
        if spec.method.trained_adapter:
            import peft  # noqa: F401


def prepare(_: FsdpSpec) -> None:
    """Do nothing: no extension is compiled."""


def connect() -> None:
    """Do nothing: FSDP makes a mesh of torch's process group."""


def build_trainer(spec: FsdpSpec, device: Device, learning_rate: float) -> "FsdpTrainer":
    """Build the sharded model and the optimizer of what trains in it."""
    model = build_sharded_llama(spec, device)
    if spec.method.recompute:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    trainer = FsdpTrainer(spec, model, model, build_adamw(spec.method.optimizer, trained, learning_rate))
    if spec.method.compile_layers:
        trainer.warm_compiler(device)
    return trainer


class FsdpTrainer(TorchTrainer):
    """A sharded model; every parameter is a DTensor of which this rank has its rows."""

    def _forward(self, tokens: "torch.Tensor") -> "torch.Tensor":
        """The loss; FSDP casts what it gathers to the cell's dtype."""
        loss: torch.Tensor = self._called(input_ids=tokens, labels=tokens).loss
        self._device = tokens.device
        return loss

    def _clip(self, clipping: float) -> None:
        """Scale the shards by the norm over all ranks, which gloo would have to sum for shards in host memory."""
        import torch
        from torch import distributed

        shards = [_here(parameter.grad) for parameter in self._trained()]
        square = torch.nn.utils.get_total_norm(shards).to(self._device).square()
        distributed.all_reduce(square)
        scale = (clipping / (square.sqrt() + 1e-6)).clamp(max=1.0).to(shards[0].device)
        torch._foreach_mul_(shards, scale)

    def _trained(self) -> "list[torch.nn.Parameter]":
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def _watch(self) -> GradientWatch:
        return ShardWatch(self.model, self.optimizer)

    def _check_states(self, _: GradientWatch) -> None:
        """Check that the ranks together keep optimizer states of everything that trains.

        Raises:
            RuntimeError: they keep more or fewer.
        """
        import torch
        from torch import distributed

        own = sum(_here(state["exp_avg"]).numel() for state in self.optimizer.state.values())
        held = torch.tensor(own, device=self._device)
        distributed.all_reduce(held)
        if int(held) != (expected := count_trainable(self._spec)):
            raise RuntimeError(f"the ranks keep optimizer states of {int(held)} parameters, of which {expected} train")


class ShardWatch(GradientWatch):
    """Notes which shards have a gradient when the optimizer steps: FSDP gives it to them without autograd."""

    def __init__(self, model: "torch.nn.Module", optimizer: "torch.optim.Optimizer") -> None:
        super().__init__(model)
        self._hooks.append(optimizer.register_step_pre_hook(self._look))

    def _look(self, *_: Any) -> None:
        self._waiting = {name: shard for name, shard in self._waiting.items() if shard.grad is None}


def _here(tensor: Any) -> "torch.Tensor":
    """This rank's part of a DTensor."""
    local: torch.Tensor = tensor.to_local()
    return local
