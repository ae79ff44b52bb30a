"""Operators of megatron-core's ``GPTModel`` on one rank, in the order of its forward pass."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from dissect.cells.spec import ModelArchitecture
from dissect.predict.operator_graph import Footprint, Op, OperatorGraph
from dissect.predict.rank_work import Product
from dissect.stages.training.megatron.spec import MegatronMethod, MegatronSpec
from dissect.workloads.dtypes import BYTES
from dissect.workloads.tensors import layer_tensors

FP32 = 4
"""Bytes of a number of the gradient buffers, of softmax and of loss."""


@dataclass(frozen=True)
class MegatronCase:
    """Everything that the operators of a micro-batch depend on."""

    arch: ModelArchitecture
    batch: int
    positions: int
    method: MegatronMethod
    width: int

    @property
    def tokens(self) -> int:
        """Positions of all sequences."""
        return self.batch * self.positions

    @property
    def stream(self) -> int:
        """Bytes of the hidden states, which sequence parallel splits."""
        split = self.method.tensor_parallel if self.method.sequence_parallel else 1
        return self.tokens * self.arch.hidden_size * self.width // split


def megatron_case(spec: MegatronSpec, batch: int) -> MegatronCase:
    """The case of a micro-batch: the tensor-parallel ranks of a replica take the batch of each."""
    sequences = batch * spec.method.tensor_parallel
    return MegatronCase(spec.model, sequences, spec.workload.seq_len, spec.method, BYTES[spec.workload.dtype])


@lru_cache(maxsize=4096)
def megatron_footprint(case: MegatronCase, which: str) -> Footprint:
    """Memory of the operators of ``megatron_graph``."""
    return megatron_graph(case, which).footprint


def megatron_graph(case: MegatronCase, which: str) -> OperatorGraph:
    """Operators of a ``layer``, of its ``attention``, of the ``end`` after the last, or of a stage's ``send``."""
    if which == "attention":
        return OperatorGraph(_attention(case), inputs := _attention_inputs(case), tuple(inputs))
    ops = {"layer": _layer, "end": _end, "send": _send}[which](case)
    return OperatorGraph(ops, {"hidden_states": case.stream}, ["hidden_states"])


def _norm(case: MegatronCase, inputs: str, output: str) -> Iterator[Op]:
    """RMSNorm in one kernel, which keeps its input and one number per token."""
    weights = case.arch.hidden_size * case.width
    yield Op(f"{output} rstd", case.tokens * FP32, (inputs,), passes=())
    yield Op(output, case.stream, (inputs, f"{output} rstd"), (inputs, f"{output} rstd"), (inputs,), weights=weights)


def _layer(case: MegatronCase) -> Iterator[Op]:
    """``TransformerLayer``; query, key and value are views of one tensor."""
    arch, tensor, width = case.arch, case.method.tensor_parallel, case.width
    hidden, kv = _attention_sizes(case)
    matrices, tokens, size = layer_tensors(arch), case.tokens, arch.hidden_size
    wide, query = arch.intermediate_size // tensor, size // tensor
    key_value = arch.num_key_value_heads * arch.head_size // tensor
    qkv, product = sum(matrices[:3]) // tensor * width, Product(tokens, query + 2 * key_value, size)
    yield from _norm(case, "hidden_states", "norm1")
    yield Op("qkv", hidden + 2 * kv, ("norm1",), ("norm1",), weights=qkv, product=product)
    yield from _rotated(case, "query", hidden)
    yield from _rotated(case, "key", kv)
    attention = list(_attention(case))
    if case.method.recompute_attention:
        attention = [_recomputed(attention, _attention_inputs(case))]
    yield from attention
    weights, product = matrices[3] // tensor * width, Product(tokens, size, query)
    yield Op("projected", case.stream, ("context",), ("context",), weights=weights, product=product)
    yield Op("residual", case.stream, ("hidden_states", "projected"))
    yield from _norm(case, "residual", "norm2")
    inner = case.tokens * arch.intermediate_size // tensor * width
    weights, product = 2 * matrices[4] // tensor * width, Product(tokens, 2 * wide, size)
    yield Op("fc1", 2 * inner, ("norm2",), ("norm2",), weights=weights, product=product)
    if case.method.fused_kernels:
        yield Op("glu", inner, ("fc1",), ("fc1",))
    else:  # ``glu`` of ``MLP.forward``: silu(gate) * (up + offset), with an offset of 0
        yield Op("silu", inner, ("fc1",), ("fc1",))
        yield Op("up", inner, ("fc1",))
        yield Op("glu", inner, ("silu", "up"), ("silu", "up"))
    weights, product = matrices[6] // tensor * width, Product(tokens, size, wide)
    yield Op("fc2", case.stream, ("glu",), ("glu",), weights=weights, product=product)
    yield Op("output", case.stream, ("residual", "fc2"))


def _rotated(case: MegatronCase, name: str, size: int) -> Iterator[Op]:
    """RoPE (``_apply_rotary_pos_emb_bshd``), which makes its cosines and sines anew for each tensor."""
    angles = case.positions * case.arch.head_size * case.width
    yield Op(f"{name} cosines", angles, (), strided=True, further=2)
    yield Op(f"{name} sines", angles, (), strided=True, further=2)
    yield Op(f"{name} cos", size, ("qkv", f"{name} cosines"), (f"{name} cosines",), ("qkv",), strided=True)
    yield Op(f"{name} half", size, ("qkv",), forward_extra=size // 2, strided=True, further=1)
    yield Op(
        f"{name} sin", size, (f"{name} half", f"{name} sines"), (f"{name} sines",), (f"{name} half",), strided=True
    )
    yield Op(f"{name} sum", size, (f"{name} cos", f"{name} sin"), strided=True)
    yield Op(name, size, (f"{name} sum",), strided=True)


def _attention_inputs(case: MegatronCase) -> dict[str, int]:
    """Bytes of the tensors that attention reads."""
    hidden, kv = _attention_sizes(case)
    return {"query": hidden, "key": kv, "qkv": hidden + 2 * kv}


def _attention_sizes(case: MegatronCase) -> tuple[int, int]:
    """Bytes of the queries, and of the keys, of a rank."""
    arch, tensor = case.arch, case.method.tensor_parallel
    kv = case.tokens * arch.num_key_value_heads * arch.head_size // tensor * case.width
    return case.tokens * arch.hidden_size // tensor * case.width, kv


def _attention(case: MegatronCase) -> Iterator[Op]:
    hidden, kv = _attention_sizes(case)
    return _eager(case, hidden, kv) if case.method.attention == "eager" else _flash(case, hidden)


def _eager(case: MegatronCase, hidden: int, kv: int) -> Iterator[Op]:
    """``DotProductAttention``: a buffer of its own for the product, softmax in fp32."""
    scores = case.batch * case.arch.num_attention_heads // case.method.tensor_parallel * case.positions**2
    key, value = "key", "qkv"
    if kv != hidden:
        key, value = "key repeated", "value repeated"
        yield Op(key, hidden, ("key",))
        yield Op(value, hidden, ("qkv",))
    heads, head = case.batch * case.arch.num_attention_heads // case.method.tensor_parallel, case.arch.head_size
    product = Product(case.positions, case.positions, head, heads)
    yield Op("scores", scores * case.width, ("query", key), ("query", key), product=product)
    widened = scores * FP32 if case.width != FP32 else 0
    yield Op("scores fp32", widened, ("scores",), strided=True, further=4)  # the mask is made anew in each layer
    yield Op("softmax", scores * FP32, ("scores fp32",), ("softmax",), strided=True)
    yield Op("probs", scores * case.width if case.width != FP32 else 0, ("softmax",), strided=True)
    product = Product(case.positions, head, case.positions, heads)
    yield Op("heads", hidden, ("probs", value), ("probs", value), product=product)
    yield Op("context", hidden, ("heads",), strided=True)


def _flash(case: MegatronCase, hidden: int) -> Iterator[Op]:
    """A fused kernel."""
    rows = case.tokens * case.arch.num_attention_heads // case.method.tensor_parallel * FP32
    operands = ("query", "key", "qkv")
    yield Op("lse", rows, operands, passes=())
    saved, heads = (*operands, "context", "lse"), case.batch * case.arch.num_attention_heads
    heads //= case.method.tensor_parallel
    product = Product(case.positions, 2 * case.positions, case.arch.head_size, heads, attention=True)
    yield Op("context", hidden, (*operands, "lse"), saved, operands, backward_extra=2 * hidden, product=product)


def _recomputed(ops: list[Op], inputs: dict[str, int]) -> Op:
    """These operators as one that keeps its inputs alone, and runs them again in its backward pass."""
    names, output = tuple(inputs), ops[-1]
    inner = OperatorGraph(ops, inputs, names).footprint
    again = max(inner.forward, inner.backward - sum(inputs.values()) - output.size)
    extra = max(0, inner.forward_unsaved - output.size)
    return Op(output.output, output.size, names, names, forward_extra=extra, backward_extra=again)


def _end(case: MegatronCase) -> Iterator[Op]:
    """Final norm, head, and ``VocabParallelCrossEntropy``, which turns the logits into their gradient in place."""
    arch, tensor = case.arch, case.method.tensor_parallel
    logits, weights = case.tokens * arch.vocab_size // tensor, arch.vocab_size * arch.hidden_size // tensor
    yield from _norm(case, "hidden_states", "last norm")
    product = Product(case.tokens, arch.vocab_size // tensor, arch.hidden_size)
    yield Op(
        "logits", logits * case.width, ("last norm",), ("last norm",), weights=weights * case.width, product=product
    )
    yield Op("exp_logits", logits * FP32, ("logits",), passes=())
    yield Op("loss", case.tokens * FP32, ("logits", "exp_logits"), ("exp_logits",), ("logits",))


def _send(case: MegatronCase) -> Iterator[Op]:
    """The output of a stage, of which the next one gets a copy (``deallocate_pipeline_outputs``)."""
    yield Op("sent", case.stream, ("hidden_states",))
