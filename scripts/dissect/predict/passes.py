"""Forward and backward pass of a decoder: activations and gradients at each moment."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from dissect.predict.memory import Part
from dissect.predict.operator_graph import Footprint

Keeps = Literal["all", "layer", "none"]
"""All gradients, those of a layer until its backward pass is through, or each until it is copied elsewhere."""
TEMPORARY = 0.05
"""Share of the activations by which they may be off: temporary memory inside kernels, and blocks that are not split."""


@dataclass(frozen=True)
class Passes:
    """Activations and gradients on one GPU, above what is always in memory; all sizes are bytes.

    With recomputation a layer leaves its input alone, and its backward pass starts with another forward.
    """

    layer: Footprint
    """A decoder layer."""
    first: Footprint
    """The first one: it is another where nothing before it needs a gradient."""
    end: Footprint
    """What follows the last layer, loss included."""
    layers: int
    stream: int
    """The hidden states between two layers."""
    embedding: int
    """The gradient of the embedding."""
    recompute: bool
    keeps: Keeps
    """Gradients of weights that stay where autograd puts them."""

    @property
    def gradients(self) -> int:
        """Gradients of all weights."""
        return self.end.weights + self.layers * self.layer.weights + self.embedding

    @property
    def left(self) -> int:
        """What all layers leave for the backward pass."""
        return self._left(self.layers)

    @cached_property
    def forward(self) -> tuple[Part, ...]:
        """The peak of the forward pass: in the last layer, or in the loss."""
        in_layer = self.layer.forward_unsaved if self.recompute else self.layer.forward
        in_end = self._left(self.layers) + self.stream + self.end.forward
        return self._parts(max(self._left(self.layers - 1) + self.stream + in_layer, in_end))

    @cached_property
    def loss(self) -> tuple[Part, ...]:
        """The peak of the backward pass of loss and head, when all activations are there."""
        own = self.end.backward_released if self.keeps == "none" else self.end.backward
        return self._parts(self._left(self.layers) + self.stream + own)

    @cached_property
    def head(self) -> tuple[Part, ...]:
        """The end of the backward pass of the head, when its gradient is there."""
        return self._parts(self.left + self.stream, self.end.weights)

    def backward(self, index: int) -> tuple[Part, ...]:
        """The peak of the backward pass of a layer; 0 is the first, whose backward comes last."""
        own = self.layer.backward_released if self.keeps == "none" else self.layer.backward
        if self.recompute:
            own = self.stream + max(self.layer.forward + self.stream, own)
        kept = self.end.weights + (self.layers - 1 - index) * self.layer.weights
        return self._parts(self._left(index) + own, kept if self.keeps == "all" else 0)

    @cached_property
    def last(self) -> tuple[Part, ...]:
        """The end of the backward pass, when all gradients are there."""
        return self._parts(self.stream, self.gradients if self.keeps == "all" else self.embedding)

    def _left(self, layers: int) -> int:
        """Bytes that the first so many layers leave for their backward pass."""
        if self.recompute or not layers:
            return layers * self.stream
        return self.first.saved + (layers - 1) * self.layer.saved

    def _parts(self, activations: int, gradients: int = 0) -> tuple[Part, ...]:
        return Part("activations", activations, "library", TEMPORARY), Part("gradients", gradients)
