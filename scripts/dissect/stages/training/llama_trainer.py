"""A training step of transformers' Llama, as every framework that trains this model takes it."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dissect.base.outcome import Phase
from dissect.cells.spec import TrainingSpec
from dissect.stages.training.first_step import GradientWatch, check_states
from dissect.stages.training.rank import Share
from dissect.workloads.arithmetic import count_trainable
from dissect.workloads.attention_kernels import observe_kernel
from dissect.workloads.llama import parameter_counts

if TYPE_CHECKING:
    import torch


class LlamaTrainer(ABC):
    """A model of transformers with the interface that the measured loop needs."""

    gradient_work: Sequence[tuple[Any, str]] = ()
    """Functions, by owner and name, that reduce gradients outside of autograd."""

    def __init__(
        self, spec: TrainingSpec, model: Any, called: Any, optimizer: "torch.optim.Optimizer", shards: int = 1
    ) -> None:
        """``called`` stands around ``model``; each of ``shards`` ranks keeps its share of the optimizer's states."""
        self._spec, self.model, self._called = spec, model, called
        self.optimizer, self._shards = optimizer, shards
        self.attention_kernel: str | None = None
        """The kernel that ran in the first step; None before it."""
        self.compile_s = 0.0
        """Seconds of compilation before the first step."""

    @property
    def share(self) -> Share:
        """This rank's share of a step: every rank has sequences of its own."""
        return Share(int(os.environ["RANK"]))

    def parameter_counts(self) -> tuple[int, int]:
        """(All, trainable) parameters of the whole model."""
        return parameter_counts(self.model)

    def train_step(self, tokens: "torch.Tensor", enter: Callable[[Phase], None]) -> "torch.Tensor":
        """Train one step; the first also checks which attention kernel runs and which parameters train.

        Raises:
            WrongKernelError: another attention kernel runs than expected.
            RuntimeError: the parameters that train are not those that should.
        """
        enter(Phase.FORWARD)
        watch = None if self.attention_kernel else self._watch()
        loss = self._observed_forward(tokens) if watch else self._forward(tokens)
        enter(Phase.BACKWARD)
        self._backward(loss)
        enter(Phase.OPTIMIZER)
        self._update()
        if watch:
            watch.check()
            self._check_states(watch)
        return loss.detach()

    def _watch(self) -> GradientWatch:
        """What notes which parameters get a gradient in this step."""
        return GradientWatch(self.model)

    def _check_states(self, watch: GradientWatch) -> None:
        """Check that the optimizer keeps states of this rank's share of what trains."""
        check_states(self.optimizer, count_trainable(self._spec), self._shards, watch.tensors)

    def _forward(self, tokens: "torch.Tensor") -> "torch.Tensor":
        """The loss of predicting each token from those before it."""
        loss: torch.Tensor = self._called(input_ids=tokens, labels=tokens).loss
        return loss

    def _observed_forward(self, tokens: "torch.Tensor") -> "torch.Tensor":
        """The loss, after a check that the expected attention kernel ran."""
        expected = self._spec.method.attention
        loss = observe_kernel(lambda: self._forward(tokens), expected, compiled=self.compile_s > 0)
        self.attention_kernel = expected
        return loss

    @abstractmethod
    def _backward(self, loss: "torch.Tensor") -> None:
        """Compute the gradients and average them over the ranks."""

    @abstractmethod
    def _update(self) -> None:
        """Clip the gradients, take the optimizer's step, and forget the gradients."""
