"""FLOPs of a fine-tuning step: on a frozen base the backward pass computes only gradients that trained weights need.

They are those of one sequence on one GPU, counted as in ``dissect.workloads.arithmetic``.
"""

from dissect.cells.spec import TrainingSpec
from dissect.config.adapters.adapter import Adapter
from dissect.config.architecture import LinearLayer, linear_sizes


def model_flops(spec: TrainingSpec, adapter: Adapter) -> int:
    """FLOPs of the forward and backward pass of one sequence.

    Nothing before the first decoder layer trains unless the adapter adds positions in front of the sequence, so no
    gradient has to leave that layer.
    """
    return _forward_and_backward(spec, adapter, _Layer(spec, adapter, reached=adapter.positions > 0))


def recomputing_flops(spec: TrainingSpec, adapter: Adapter) -> int:
    """FLOPs of one sequence with recomputation: every decoder layer runs once more, whole or without its last product.

    With recomputation transformers computes the gradient of the first layer's input too, even if nothing before trains.
    """
    layer = _Layer(spec, adapter, reached=True)
    return _forward_and_backward(spec, adapter, layer) + spec.model.num_hidden_layers * layer.recomputed


def _forward_and_backward(spec: TrainingSpec, adapter: Adapter, first: "_Layer") -> int:
    """FLOPs of all layers and of the head, which is frozen too: its backward costs one forward."""
    head = 2 * _positions(spec, adapter) * spec.model.vocab_size * spec.model.hidden_size
    return first.flops + (spec.model.num_hidden_layers - 1) * _Layer(spec, adapter, reached=True).flops + 2 * head


def _positions(spec: TrainingSpec, adapter: Adapter) -> int:
    """Number of positions: the tokens of a sequence and those that the adapter adds in front."""
    return spec.workload.seq_len + adapter.positions


class _Layer:
    """FLOPs of one decoder layer, product by product; ``reached``: its input needs a gradient."""

    def __init__(self, spec: TrainingSpec, adapter: Adapter, *, reached: bool) -> None:
        self._positions, self._sizes = _positions(spec, adapter), linear_sizes(spec.model)
        self._trained, self._repeats_last = adapter.products(spec.model), spec.method.repeats_last_product(spec.model)
        self._forward = self._backward = self._last = 0
        query, key, value = (self._linear(name, reached) for name in ("q_proj", "k_proj", "v_proj"))
        attention = 2 * self._positions**2 * spec.model.hidden_size
        self._product(attention, query, key)
        self._product(attention, query or key, value)
        output = self._linear("o_proj", query or key or value)
        gate, up = (self._linear(name, reached or output) for name in ("gate_proj", "up_proj"))
        self._linear("down_proj", gate or up)

    @property
    def flops(self) -> int:
        """FLOPs of the forward and backward pass."""
        return self._forward + self._backward

    @property
    def recomputed(self) -> int:
        """FLOPs of the forward pass, without its last product unless that is repeated too."""
        return self._forward - (0 if self._repeats_last else self._last)

    def _linear(self, name: LinearLayer, needs_gradient: bool) -> bool:
        """Add a frozen linear layer and the adapter beside it; returns whether the output needs a gradient."""
        inputs, outputs = self._sizes[name]
        self._product(2 * self._positions * inputs * outputs, needs_gradient)
        for index, size in enumerate(self._trained.get(name, ())):
            self._product(2 * self._positions * size, True, needs_gradient or index > 0)
        return needs_gradient or name in self._trained

    def _product(self, flops: int, *needs_gradient: bool) -> None:
        """Add a matrix product, and one more for each operand that needs a gradient."""
        self._forward += flops
        self._backward += sum(needs_gradient) * flops
        self._last = flops
