"""Checks of the first step: exactly the parameters that should train do train."""

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class GradientWatch:
    """Notes which parameters a backward pass reaches, from its creation until ``check``."""

    def __init__(self, model: "torch.nn.Module") -> None:
        self._frozen = {name: p for name, p in model.named_parameters() if not p.requires_grad}
        self._waiting = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.tensors = len(self._waiting)
        """Parameters that a backward pass should reach."""
        self._hooks = [p.register_hook(partial(self._arrived, name)) for name, p in self._waiting.items()]

    def _arrived(self, name: str, _: "torch.Tensor") -> None:
        self._waiting.pop(name, None)

    def check(self) -> None:
        """Check that every trained parameter got a gradient, and no frozen one.

        Raises:
            RuntimeError: a trained parameter got none, or a frozen one has or would get one.
        """
        for hook in self._hooks:
            hook.remove()
        if self._waiting:
            first, count = next(iter(self._waiting)), len(self._waiting)
            raise RuntimeError(f"no gradient reached {count} parameters that should train, such as {first}")
        for name, parameter in self._frozen.items():
            if parameter.requires_grad or parameter.grad is not None:
                raise RuntimeError(f"the frozen parameter {name} takes a gradient")


def check_states(optimizer: "torch.optim.Optimizer", trainable: int, shards: int, tensors: int) -> None:
    """Check that this rank keeps optimizer states of its share of ``trainable`` elements.

    A share may be padded, by less than one element per tensor and shard.

    Raises:
        RuntimeError: it keeps more or fewer.
    """
    held = sum(state["exp_avg"].numel() for state in optimizer.state.values())
    share, padding = trainable // shards, tensors + 2 * shards if shards > 1 else 0
    if not share <= held <= share + padding:
        raise RuntimeError(f"the optimizer keeps states of {held} parameters, of which {share} train on this rank")
