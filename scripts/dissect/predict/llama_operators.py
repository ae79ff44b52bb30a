"""Memory of transformers' Llama in a training step: its operators as they stand in ``modeling_llama.py``.

The names of tensors are those of that file, as far as it has names for them.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from dissect.cells.spec import TrainingSpec
from dissect.config.adapters.adapter import Adapter
from dissect.config.architecture import LinearLayer, ModelArchitecture, linear_sizes
from dissect.config.kinds import AttentionKernel, DType
from dissect.predict.allocator import rounded
from dissect.predict.operator_graph import Footprint, Op, OperatorGraph
from dissect.predict.passes import Keeps, Passes
from dissect.predict.rank_work import Product, RankWork, total
from dissect.workloads.arithmetic import parameter_groups
from dissect.workloads.dtypes import BYTES

NF4_KERNELS = 3
"""Kernels that unpack a matrix of 4-bit weights: scales, their offset, and the weights."""
FP32 = 4
"""Bytes of a number in which norms, softmax and loss are computed."""
INT64 = 8
"""Bytes of a position."""


@dataclass(frozen=True)
class LlamaCase:
    """Everything that the memory of a Llama's activations depends on."""

    arch: ModelArchitecture
    batch: int
    """Sequences on one GPU."""
    positions: int
    """Tokens of a sequence, trained positions in front of them included."""
    attention: AttentionKernel
    width: int
    """Bytes of an activation of the linear layers, of their weights and the weights' gradients."""
    stream_width: int
    """Bytes of an activation between layers; 4 where autocast runs over fp32 weights."""
    gradient_width: int
    """Bytes of the gradient of a weight."""
    trains_linear: bool
    """Whether the linear layers of the decoder train."""
    trains_rest: bool
    """Whether embedding, norms and head do."""
    quantized: bool
    """Whether the linear layers of the decoder have 4-bit weights (NF4)."""
    adapter: Adapter | None
    """What is trained beside them; None without an adapter."""

    def __hash__(self) -> int:  # of what can be hashed, which an adapter's targets cannot
        return hash((self.arch, self.batch, self.positions, self.attention, self.width, self.quantized))

    @property
    def tokens(self) -> int:
        """Positions of all sequences."""
        return self.batch * self.positions

    @property
    def is_reached(self) -> bool:
        """Whether something before the first layer trains."""
        return self.adapter is None or self.adapter.positions > 0

    @property
    def autocasts(self) -> bool:
        """Whether products are computed in another type than the weights'."""
        return self.width != self.stream_width

    @property
    def stream(self) -> int:
        """Bytes of the hidden states between two layers."""
        return self.tokens * self.arch.hidden_size * self.stream_width


class _DecoderLayer:
    """The operators of a decoder layer, written down in the order of its forward pass."""

    def __init__(self, case: LlamaCase) -> None:
        self._case, self._sizes = case, linear_sizes(case.arch)
        self._targets = case.adapter.products(case.arch) if case.adapter else {}
        arch, tokens = case.arch, case.tokens
        self._hidden, self._inner = tokens * arch.hidden_size, tokens * arch.intermediate_size
        self._kv = tokens * arch.num_key_value_heads * arch.head_size
        self._scores = case.batch * arch.num_attention_heads * case.positions**2

    def ops(self) -> Iterator[Op]:
        """The operators; the graph's input is ``hidden_states``, its last output what the layer returns."""
        case = self._case
        yield from norm(case, "hidden_states", "norm1")
        yield from self._linear("q_proj", "norm1", "query")
        yield from self._linear("k_proj", "norm1", "key")
        yield from self._linear("v_proj", "norm1", "value")
        yield from self._rotated("query", self._hidden)
        yield from self._rotated("key", self._kv)
        yield from self._eager() if case.attention == "eager" else self._flash()
        yield from self._linear("o_proj", "attn_output", "o")
        yield Op("residual", case.stream, ("hidden_states", "o"))
        yield from norm(case, "residual", "norm2")
        yield from self._linear("gate_proj", "norm2", "gate")
        inner = self._inner * case.width
        yield Op("act", inner, ("gate",), saves=("gate",))
        yield from self._linear("up_proj", "norm2", "up")
        yield Op("product", inner, ("act", "up"), saves=("act", "up"))
        yield from self._linear("down_proj", "product", "down")
        yield Op("output", case.stream, ("residual", "down"))

    def _linear(self, name: LinearLayer, inputs: str, output: str) -> Iterator[Op]:
        """A linear layer, frozen, trained or in 4 bits, and LoRA beside it."""
        case, (size_in, size_out) = self._case, self._sizes[name]
        elements, out = size_in * size_out, case.tokens * size_out * case.width
        if case.autocasts and inputs.startswith("norm"):  # autocast keeps casts of weights, not of activations
            yield Op(f"cast {name}", case.tokens * size_in * case.width, (inputs,))
            inputs = f"cast {name}"
        base = f"base {name}" if name in self._targets else output
        weights = elements * case.gradient_width if case.trains_linear else 0
        saves = (inputs,) if weights else ()
        if case.autocasts:
            yield Op(f"weight {name}", elements * case.width, ())
            saves = (*saves, f"weight {name}")
        unpacked = _unpacked(elements, case.width) if case.quantized else 0
        product, unpacks = Product(case.tokens, size_out, size_in), NF4_KERNELS if case.quantized else 0
        yield Op(base, out, (inputs,), saves, None, unpacked, unpacked, weights, product, unpacks=unpacks)
        if name not in self._targets:
            return
        beside = base
        if self._targets[name]:
            first, second = (size * case.gradient_width for size in self._targets[name])
            rank = self._targets[name][0] // size_in
            down, up = Product(case.tokens, rank, size_in), Product(case.tokens, size_out, rank)
            inner = case.tokens * rank * case.width
            yield Op(f"a {name}", inner, (inputs,), (inputs,), weights=first, product=down)
            yield Op(f"b {name}", out, (f"a {name}",), (f"a {name}",), weights=second, product=up)
            yield Op(f"scaled {name}", out, (f"b {name}",))
            beside = f"scaled {name}"
        yield Op(output, out, (base, beside))

    def _rotated(self, name: str, elements: int) -> Iterator[Op]:
        """RoPE by transformers: two products, a rotation and a sum, of which nothing is saved."""
        size = elements * self._case.stream_width
        yield Op(f"{name} cos", size, (name,), strided=True)
        yield Op(f"{name} half", size, (name,), forward_extra=size // 2, strided=True, further=1)
        yield Op(f"{name} sin", size, (f"{name} half",), strided=True)
        yield Op(f"{name} embedded", size, (f"{name} cos", f"{name} sin"), strided=True)

    def _operand(self, name: str, elements: int) -> Iterator[Op]:
        """An operand of an attention product: repeated for grouped queries, or laid out anew, and cast by autocast."""
        case, repeats = self._case, self._hidden != elements and not name.startswith("query")
        source = name
        if repeats:
            width = case.width if name == "value" else case.stream_width
            yield Op(f"{name} repeated", self._hidden * width, (source,))
            source = f"{name} repeated"
        if case.autocasts and name != "value":
            yield Op(f"{name} cast", self._hidden * case.width, (source,))
            source = f"{name} cast"
        copied = case.batch > 1 and not repeats  # heads and sequences do not lie next to each other
        yield Op(f"{name} operand", self._hidden * case.width if copied else 0, (source,), strided=True)

    def _eager(self) -> Iterator[Op]:
        """Transformers' own attention: the scores of all positions, and their softmax in fp32."""
        case, scores, out = self._case, self._scores * self._case.width, self._hidden * self._case.width
        arch, positions, heads = case.arch, case.positions, case.batch * case.arch.num_attention_heads
        yield from self._operand("query embedded", self._hidden)
        yield from self._operand("key embedded", self._kv)
        operands = ("query embedded operand", "key embedded operand")
        product = Product(positions, positions, arch.head_size, heads)
        yield Op("scores", scores, operands, saves=operands, product=product)
        yield Op("scaled scores", scores, ("scores",), strided=True)
        yield Op("masked scores", scores, ("scaled scores",), strided=True)
        yield Op("softmax", self._scores * FP32, ("masked scores",), saves=("softmax",), strided=True)
        narrowed = self._scores * case.width if case.width != FP32 else 0
        yield Op("attn_weights", narrowed, ("softmax",), strided=True)
        yield from self._operand("value", self._kv)
        operands = ("attn_weights", "value operand")
        product = Product(positions, arch.head_size, positions, heads)
        yield Op("heads", out, operands, saves=operands, product=product)
        yield Op("attn_output", out, ("heads",), strided=True)

    def _flash(self) -> Iterator[Op]:
        """A fused kernel: it keeps its operands, its output and one number per row, and sums in fp32 going backward."""
        case, arch = self._case, self._case.arch
        operands = ("query embedded", "key embedded", "value")
        if case.autocasts:
            for name, elements in (("query embedded", self._hidden), ("key embedded", self._kv)):
                yield Op(f"{name} cast", elements * case.width, (name,))
            operands = ("query embedded cast", "key embedded cast", "value")
        yield from self._packed()
        rows, heads = case.tokens * arch.num_attention_heads * FP32, case.batch * arch.num_attention_heads
        yield Op("lse", rows, operands, passes=())
        yield Op(
            "attn_output",
            self._hidden * case.width,
            (*operands, "lse"),
            (*operands, "attn_output", "lse"),
            operands,
            backward_extra=self._hidden * FP32 + rows,
            product=Product(case.positions, 2 * case.positions, arch.head_size, heads, attention=True),
        )

    def _packed(self) -> Iterator[Op]:
        """Every layer looks for packed sequences, whose positions do not ascend (``_is_packed_sequence``).

        For one sequence the host reads the answer, which counts as a kernel.
        """
        checks = ("least", "range", "ascending", "difference", "distance", "sum", "any", "read")
        source: tuple[str, ...] = ()
        for check in checks if self._case.batch == 1 else checks[:3]:
            yield Op(f"positions {check}", self._case.positions * INT64, source)
            source = (f"positions {check}",)


def norm(case: LlamaCase, inputs: str, output: str) -> Iterator[Op]:
    """``LlamaRMSNorm``: in fp32, back to the stream's type, times the weight."""
    hidden = case.tokens * case.arch.hidden_size
    widened = hidden * FP32 if case.stream_width != FP32 else 0
    rows = case.tokens * FP32
    up, var, root = f"{output} fp32", f"{output} variance", f"{output} root"
    yield Op(up, widened, (inputs,))
    yield Op(var, rows, (up,), (up,), None, hidden * FP32, 2 * hidden * FP32, strided=True)
    yield Op(root, rows, (var,), (root,), further=2)
    yield Op(f"{output} normal", hidden * FP32, (up, root), (up, root), backward_extra=hidden * FP32)
    yield Op(f"{output} narrow", hidden * case.stream_width if widened else 0, (f"{output} normal",))
    saves = (f"{output} narrow",) if case.trains_rest else ()
    weights = case.arch.hidden_size * case.gradient_width if case.trains_rest else 0
    extra = hidden * case.stream_width if case.trains_rest else 0
    out = hidden * case.stream_width
    yield Op(output, out, (f"{output} narrow",), saves, backward_extra=extra, weights=weights, strided=True)


def head_and_loss(case: LlamaCase) -> Iterator[Op]:
    """Final norm, head and cross entropy; logits and their cast to fp32 (``ForCausalLMLoss``) live until it returns."""
    arch, logits = case.arch, case.tokens * case.arch.vocab_size
    yield from norm(case, "hidden_states", "last norm")
    inputs = "last norm"
    if case.autocasts:
        yield Op("last cast", case.tokens * arch.hidden_size * case.width, (inputs,))
        inputs = "last cast"
    elements = arch.vocab_size * arch.hidden_size
    weights = elements * case.gradient_width if case.trains_rest else 0
    saves = (inputs,) if weights else ()
    if case.autocasts:
        yield Op("weight lm_head", elements * case.width, ())
        saves = (*saves, "weight lm_head")
    product = Product(case.tokens, arch.vocab_size, arch.hidden_size)
    yield Op("logits", logits * case.width, (inputs,), saves, weights=weights, product=product)
    yield Op("logits fp32", logits * FP32 if case.width != FP32 else 0, ("logits",))
    yield Op("log_softmax", logits * FP32, ("logits fp32",), ("log_softmax",))
    yield Op("loss", FP32, ("log_softmax", "logits fp32", "logits"), passes=("log_softmax",))


def llama_case(spec: TrainingSpec, batch: int, weights: DType | None = None) -> LlamaCase:
    """The case of a spec; ``weights`` is the type of the weights where autocast casts them to the spec's."""
    method, adapter = spec.method, spec.method.trained_adapter
    width = BYTES[spec.workload.dtype]
    stored = width if weights is None else BYTES[weights]
    return LlamaCase(
        arch=spec.model,
        batch=batch,
        positions=spec.workload.seq_len + (adapter.positions if adapter else 0),
        attention=method.attention,
        width=width,
        stream_width=stored,
        gradient_width=stored,
        trains_linear=adapter is None and not method.is_quantized,
        trains_rest=adapter is None,
        quantized=method.is_quantized,
        adapter=adapter,
    )


def llama_passes(spec: TrainingSpec, batch: int, keeps: Keeps, *, weights: DType | None = None) -> Passes:
    """The passes of a spec; ``weights`` is the type of the weights where autocast casts them to the spec's."""
    case = llama_case(spec, batch, weights)
    return Passes(
        layer=layer_footprint(case),
        first=layer_footprint(case, reached=case.is_reached),
        end=end_footprint(case),
        layers=spec.model.num_hidden_layers,
        stream=rounded(case.stream),
        embedding=spec.model.vocab_size * spec.model.hidden_size * case.gradient_width if case.trains_rest else 0,
        recompute=spec.method.recompute,
        keeps=keeps,
    )


def llama_work(spec: TrainingSpec, batch: int, weights: DType | None = None) -> tuple[RankWork, RankWork]:
    """Kernels of the forward and of the backward pass on one GPU, recomputation included in the latter."""
    case, layers = llama_case(spec, batch, weights), spec.model.num_hidden_layers
    layer, first, end = (_graph(case, which) for which in ("layer", "layer" if case.is_reached else "first", "end"))
    forward = layer.forward_work.times(layers)
    last = Counter({layer.last_product: 0 if spec.method.repeats_last_product(spec.model) else layers})
    checkpoints = Counter({"checkpoint of a layer": layers})
    again = [replace(forward, products=forward.products - last, hooks=checkpoints)] if spec.method.recompute else []
    backward = total([end.backward_work, layer.backward_work.times(layers - 1), first.backward_work, *again])
    return total([forward, end.forward_work]), backward


def layer_footprint(case: LlamaCase, *, reached: bool = True) -> Footprint:
    """Memory of one decoder layer; ``reached``: its input needs a gradient."""
    return _footprint(case, "layer" if reached else "first")


def end_footprint(case: LlamaCase) -> Footprint:
    """Memory of what follows the last layer."""
    return _footprint(case, "end")


@lru_cache(maxsize=4096)
def _footprint(case: LlamaCase, which: str) -> Footprint:
    return _graph(case, which).footprint


@lru_cache(maxsize=256)
def _graph(case: LlamaCase, which: str) -> OperatorGraph:
    """Operators of a ``layer``, of the ``first``, whose input needs no gradient, or of the ``end`` after the last."""
    ops = head_and_loss(case) if which == "end" else _DecoderLayer(case).ops()
    return OperatorGraph(ops, {"hidden_states": case.stream}, [] if which == "first" else ["hidden_states"])


def autocast_bytes(arch: ModelArchitecture, width: int) -> int:
    """Bytes of the casts of all linear layers' weights, which autocast keeps until the forward pass is through."""
    groups = parameter_groups(arch)
    return (groups.decoder_linear + groups.head) * width


def _unpacked(elements: int, width: int) -> int:
    """Bytes of a 4-bit weight while it is used, with its fp32 scales: one per 64 elements."""
    return elements * width + elements // 64 * FP32
