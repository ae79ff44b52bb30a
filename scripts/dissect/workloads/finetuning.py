"""FLOPs of a fine-tuning step: with a frozen base the backward pass computes only what leads to something that trains.

One sequence on one GPU; FLOPs are counted as in ``dissect.workloads.arithmetic``.
"""

from dissect.cells.spec import TrainingSpec
from dissect.config.adapters.adapter import Adapter
from dissect.config.architecture import LinearLayer, linear_sizes


def model_flops(spec: TrainingSpec, adapter: Adapter) -> int:
    """FLOPs of forward and backward pass.

    Nothing before the first decoder layer trains, unless the adapter puts positions in front of the sequence; so no
    gradient has to leave that layer.
    """
    return _forward_and_backward(spec, adapter, _Layer(spec, adapter, reached=adapter.positions > 0))


def recomputing_flops(spec: TrainingSpec, adapter: Adapter) -> int:
    """The same with recomputation: every decoder layer once more, but for its last product.

    transformers then lets a gradient leave the first layer as well, whether anything before it trains or not.
    """
    layer = _Layer(spec, adapter, reached=True)
    return _forward_and_backward(spec, adapter, layer) + spec.model.num_hidden_layers * layer.recomputed


def _forward_and_backward(spec: TrainingSpec, adapter: Adapter, first: "_Layer") -> int:
    """All layers and the head, which is frozen too: its backward costs one forward."""
    head = 2 * _positions(spec, adapter) * spec.model.vocab_size * spec.model.hidden_size
    return first.flops + (spec.model.num_hidden_layers - 1) * _Layer(spec, adapter, reached=True).flops + 2 * head


def _positions(spec: TrainingSpec, adapter: Adapter) -> int:
    """Tokens of a sequence, and what the adapter puts in front of them."""
    return spec.workload.seq_len + adapter.positions


class _Layer:
    """One decoder layer, gone through product by product; ``reached``: a gradient must leave through its input."""

    def __init__(self, spec: TrainingSpec, adapter: Adapter, *, reached: bool) -> None:
        self._positions, self._sizes = _positions(spec, adapter), linear_sizes(spec.model)
        self._trained = adapter.products(spec.model)
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
        """Forward and backward pass."""
        return self._forward + self._backward

    @property
    def recomputed(self) -> int:
        """The forward pass but for its last product."""
        return self._forward - self._last

    def _linear(self, name: LinearLayer, needs_gradient: bool) -> bool:
        """A frozen weight and what trains beside it; whether the output needs a gradient when the input may."""
        inputs, outputs = self._sizes[name]
        self._product(2 * self._positions * inputs * outputs, needs_gradient)
        for index, size in enumerate(self._trained.get(name, ())):
            self._product(2 * self._positions * size, True, needs_gradient or index > 0)
        return needs_gradient or name in self._trained

    def _product(self, flops: int, *needs_gradient: bool) -> None:
        """One matrix product, and one more for each operand that needs a gradient."""
        self._forward += flops
        self._backward += sum(needs_gradient) * flops
        self._last = flops
