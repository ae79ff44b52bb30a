"""Time of one step of a server on its GPUs: prompts and answers together, by the measured times of its kernels."""

from functools import lru_cache
from typing import NamedTuple

from dissect.cells.spec import ServeSpec
from dissect.predict.curves import Curves, TimeOrigin
from dissect.predict.rank_work import Message, Moved, Product, RankWork
from dissect.workloads.dtypes import BYTES
from dissect.workloads.kv_cache import cache_bytes_of

PAGED = 0.8
"""Share of a copy's speed at which attention reads the cache while it answers.

Measured: the shipped bursts on H200, of two engines that both use FlashAttention-3.
"""


class StepLoad(NamedTuple):
    """What one step of a server computes."""

    prompt_tokens: int
    """Tokens of prompts."""
    answers: int
    """Requests that get one more token."""
    context: int
    """Tokens in the cache that these read, over all of them."""


class StepPace:
    """Seconds of the steps of a server, without what its host adds."""

    def __init__(self, spec: ServeSpec, curves: Curves) -> None:
        """``curves`` are those of the spec's hardware and dtype."""
        self._spec, self._curves = spec, curves
        self._linear_s = lru_cache(maxsize=None)(self._linear)
        self._attention_s = lru_cache(maxsize=None)(curves.product_s)
        self._cache_bytes_per_token = cache_bytes_of(spec, 1)

    @property
    def origin(self) -> TimeOrigin:
        """Where the times come from: the least certain of all."""
        return self._curves.origin(self._layers(1, 1))

    def seconds(self, load: StepLoad) -> float:
        """Seconds of a step; its collectives over the GPUs of the spec included."""
        linear = self._linear_s(load.prompt_tokens + load.answers, max(1, load.answers))
        return linear + self._reading_s(load.context) + self._prompts_s(load.prompt_tokens)

    def _linear(self, tokens: int, sequences: int) -> float:
        """Seconds of everything but attention."""
        work = self._layers(tokens, sequences)
        return self._curves.compute_s(work) + self._curves.messages_s(work, hidden=False)

    def _layers(self, tokens: int, sequences: int) -> RankWork:
        """Kernels of all layers and of the head on one GPU: products of joined matrices, and fused kernels beside."""
        arch, gpus = self._spec.model, self._spec.hardware.n_gpus
        hidden, inner, width = arch.hidden_size, arch.intermediate_size, BYTES[self._spec.workload.dtype]
        qkv = hidden + 2 * arch.num_key_value_heads * arch.head_size
        layer, stream = RankWork(), width * tokens * hidden
        for n, k in ((qkv // gpus, hidden), (hidden, hidden // gpus), (2 * inner // gpus, hidden)):
            layer.products[Product(tokens, n, k)] += 1
        layer.products[Product(tokens, hidden, inner // gpus)] += 1
        layer.move(4 * stream, 2)  # norms: read and write the stream and what is added to it
        layer.move(2 * width * tokens * qkv // gpus, 2)  # RoPE, and writing the cache
        layer.move(3 * width * tokens * inner // gpus)  # the gated activation
        if gpus > 1:
            layer.messages[Message("all_reduce", stream, gpus, hidden=False)] += 2
        work = layer.times(arch.num_hidden_layers)
        work.products[Product(sequences, arch.vocab_size // gpus, hidden)] += 1
        return work

    def _reading_s(self, context: int) -> float:
        """Seconds in which attention reads the cache of running answers."""
        if not context:
            return 0.0
        layers = self._spec.model.num_hidden_layers
        size = self._cache_bytes_per_token * context / self._spec.hardware.n_gpus / layers / PAGED
        return layers * self._curves.moved_s(Moved(int(size)))

    def _prompts_s(self, tokens: int) -> float:
        """Seconds of attention over prompts, of which a causal kernel computes half the square twice."""
        arch, length = self._spec.model, self._spec.workload.input_tokens
        heads = arch.num_attention_heads // self._spec.hardware.n_gpus * tokens // length
        return (
            arch.num_hidden_layers * self._attention_s(Product(length, length, arch.head_size, heads)) if heads else 0.0
        )
