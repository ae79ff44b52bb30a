"""What a sequence of differentiable operators holds in memory: PyTorch's autograd, replayed over sizes.

A tensor lives from the operator that makes it to the last that reads it or, where an operator saves it, until the
backward of that operator has run. A gradient lives from the backward that makes it to the one that takes it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from dissect.predict.allocator import rounded
from dissect.predict.rank_work import Product, RankWork


@dataclass(frozen=True)
class Op:
    """One operator of a forward pass and its backward; all sizes are bytes."""

    output: str
    """Name of the tensor that it makes."""
    size: int
    """Size of the output; 0 for a view, which shares the storage of its first input."""
    inputs: tuple[str, ...]
    """Tensors that it reads, outputs of earlier operators or inputs of the graph."""
    saves: tuple[str, ...] = ()
    """Tensors, inputs or the output, that its backward reads."""
    passes: tuple[str, ...] | None = None
    """Inputs that get a gradient; None: all."""
    forward_extra: int = 0
    """Temporary memory of its forward, beside the output."""
    backward_extra: int = 0
    """Temporary memory of its backward, beside gradients."""
    weights: int = 0
    """Size of the gradient of its weights."""
    product: Product | None = None
    """The matrix product that it is; None of what only moves bytes."""
    strided: bool = False
    """Whether it broadcasts, transposes or reduces, so that it moves bytes more slowly than a copy."""
    further: int = 0
    """Further kernels of its forward, which Python launches one by one; their bytes count with its own."""
    unpacks: int = 0
    """Kernels in each direction that unpack its weights beforehand, into the temporary memory."""

    @property
    def gradients(self) -> tuple[str, ...]:
        """Inputs that get a gradient."""
        return self.inputs if self.passes is None else self.passes


@dataclass(frozen=True)
class Footprint:
    """Memory of a graph in bytes."""

    saved: int
    """What the backward pass needs once the forward pass is through, inputs of the graph included."""
    forward: int
    """Peak of the forward pass, without the inputs of the graph."""
    forward_unsaved: int
    """The same where nothing is saved for the backward pass."""
    backward: int
    """Peak of the backward pass, the saved tensors and the gradient of the output included, that of weights kept."""
    backward_released: int
    """The same where the gradient of each weight is gone when the next operator's backward starts."""
    weights: int
    """Gradients of all weights."""


@dataclass
class _Memory:
    """Live bytes and their peak."""

    live: int = 0
    peak: int = 0
    sizes: dict[str, int] = field(default_factory=dict)

    def take(self, name: str, size: int) -> None:
        self.sizes[name] = self.sizes.get(name, 0) + rounded(size)
        self.live += rounded(size)
        self.peak = max(self.peak, self.live)

    def touch(self, size: int) -> None:
        self.peak = max(self.peak, self.live + rounded(size))

    def free(self, name: str) -> None:
        self.live -= self.sizes.pop(name, 0)


class OperatorGraph:
    """Operators in the order of the forward pass; ``inputs`` are the sizes of tensors that exist before it."""

    def __init__(self, ops: Iterable[Op], inputs: Mapping[str, int], needs_gradient: Sequence[str]) -> None:
        """``needs_gradient`` names the inputs of the graph whose gradient somebody wants."""
        self.ops, self.inputs, self._wanted = tuple(ops), dict(inputs), frozenset(needs_gradient)

    @cached_property
    def footprint(self) -> Footprint:
        """Peaks and what is left between the passes."""
        kept, released = (self._backward(keeps_weights=keeps) for keeps in (True, False))
        weights = sum(rounded(op.weights) for op in self._needed)
        forward = self._forward(self._saved)
        return Footprint(self._saved_bytes, forward, self._forward(frozenset()), kept, released, weights)

    @property
    def last_product(self) -> Product:
        """The last matrix product of the forward pass."""
        return next(op.product for op in reversed(self.ops) if op.product)

    @cached_property
    def forward_work(self) -> RankWork:
        """Kernels of the forward pass: one per operator, but none for a view."""
        work = RankWork()
        for op in self.ops:
            if op.product:
                work.products[op.product] += 1
            elif op.size:
                read = sum(self._size(name) for name in set(op.inputs))
                work.move(read + op.size + 2 * op.forward_extra, strided=op.strided)
            work.move(0, op.further)
            if op.unpacks:
                work.move(2 * op.forward_extra // op.unpacks, op.unpacks)
        return work

    @cached_property
    def backward_work(self) -> RankWork:
        """Kernels of the backward pass: one per gradient, and one to add each further gradient of a tensor."""
        work, made = RankWork(), set[str]()
        for op in reversed(self._needed):
            names = [name for name in op.gradients if name in self._differentiable] if op.size else []
            gradients = len(names) + bool(op.weights)
            if op.product:
                work.products[op.product] += gradients
            else:
                read = op.size + sum(self._size(name) for name in set(op.saves)) + op.backward_extra
                for name in names:
                    work.move(read + self._size(name), strided=op.strided)
                if op.weights:
                    work.move(read, strided=op.strided)
            if op.unpacks:
                work.move(2 * op.backward_extra // op.unpacks, op.unpacks)
            for name in names:
                if name in made:
                    work.move(3 * self._size(name))
                made.add(name)
        return work

    @cached_property
    def _storage(self) -> dict[str, str]:
        """Tensor -> the tensor whose storage it shares, itself unless it is a view."""
        found = {name: name for name in self.inputs}
        for op in self.ops:
            found[op.output] = op.output if op.size else found[op.inputs[0]]
        return found

    @cached_property
    def _differentiable(self) -> frozenset[str]:
        """Tensors that depend on something that needs a gradient."""
        found = set(self._wanted)
        for op in self.ops:
            if op.weights or any(name in found for name in op.gradients):
                found.add(op.output)
        return frozenset(found)

    @cached_property
    def _needed(self) -> tuple[Op, ...]:
        """Operators that autograd records: no other has a backward, or saves anything."""
        return tuple(op for op in self.ops if op.output in self._differentiable)

    @cached_property
    def _saved(self) -> frozenset[str]:
        """Storages that the backward pass reads."""
        return frozenset(self._storage[name] for op in self._needed for name in op.saves)

    @property
    def _saved_bytes(self) -> int:
        return sum(rounded(self._size(name)) for name in self._saved)

    def _forward(self, saved: frozenset[str]) -> int:
        """Peak in bytes, without the inputs of the graph."""
        memory, storage = _Memory(), self._storage
        kept = saved | self.inputs.keys() | {storage[self.ops[-1].output]}
        left = Counter(storage[name] for op in self.ops for name in set(op.inputs))
        for op in self.ops:
            memory.touch(op.size + op.forward_extra)
            memory.take(op.output, op.size)
            for name in set(op.inputs):
                left[storage[name]] -= 1
                if not left[storage[name]] and storage[name] not in kept:
                    memory.free(storage[name])
        return memory.peak

    def _backward(self, *, keeps_weights: bool) -> int:
        """Peak in bytes, from the saved tensors and the gradient of the output on."""
        memory, storage, last = _Memory(), self._storage, self.ops[-1].output
        readers = Counter(storage[name] for op in self._needed for name in set(op.saves))
        for name in self._saved:
            memory.take(f"saved {name}", self._size(name))
        memory.take(f"gradient {last}", self._size(last))
        for op in reversed(self._needed):
            if op.weights:
                memory.take("weights", op.weights)
            self._pass_gradients(memory, op)
            for name in set(op.saves):
                readers[storage[name]] -= 1
                if not readers[storage[name]]:
                    memory.free(f"saved {storage[name]}")
            if not keeps_weights:
                memory.free("weights")
        return memory.peak

    def _pass_gradients(self, memory: _Memory, op: Op) -> None:
        """Take the gradient of the operator's output, make those of its inputs."""
        memory.touch(op.backward_extra)
        names = [name for name in op.gradients if name in self._differentiable]
        if not op.size:  # a view's gradient is that of what it views
            size = memory.sizes.pop(f"gradient {op.output}", 0)
            memory.live -= size
            names = [name for name in names if f"gradient {name}" not in memory.sizes]
            for name in names:
                memory.take(f"gradient {name}", size)
            return
        for name in names:
            memory.take(f"new {name}", self._size(name))
            memory.touch(op.backward_extra)
        memory.free(f"gradient {op.output}")
        for name in names:  # a second gradient of a tensor is added to the first
            memory.free(f"gradient {name}")
            memory.sizes[f"gradient {name}"] = memory.sizes.pop(f"new {name}")

    def _size(self, name: str) -> int:
        """Bytes of a tensor, of a view those of what it views."""
        return self._sizes[self._storage[name]]

    @cached_property
    def _sizes(self) -> dict[str, int]:
        return self.inputs | {op.output: op.size for op in self.ops}
