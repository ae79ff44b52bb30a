"""Memory of a DeepSpeed rank: what is there at each moment of a step.

Names of functions and buffers are those of DeepSpeed's ``runtime``: ``fp16/fused_optimizer.py`` without ZeRO,
``zero/stage_1_and_2.py``, ``zero/stage3.py`` and ``zero/partitioned_param_coordinator.py``.
"""

from collections.abc import Callable, Iterator
from itertools import accumulate

from dissect.base.outcome import Phase
from dissect.predict.allocator import segment
from dissect.predict.gpu_architecture import workspaces
from dissect.predict.llama_operators import llama_passes
from dissect.predict.memory import Moment, Part, StepMemory, pinned_part
from dissect.predict.passes import Passes
from dissect.stages.training.deepspeed.configuration import deepspeed_config
from dissect.stages.training.deepspeed.spec import DeepSpeedSpec
from dissect.workloads.dtypes import BYTES
from dissect.workloads.tensors import frozen_tensors, layer_tensors, scale_tensors, trained_tensors

FP32, FP64 = 4, 8
"""Bytes of a number in these types; norms of gradients are summed in fp64 (``get_norm_dtype``)."""
ALLREDUCE_ELEMENTS = 500_000_000
"""Gradients that are reduced together without ZeRO (``MEMORY_OPT_ALLREDUCE_SIZE``)."""
STAGE_3_PREFETCH, STAGE_3_PERSISTENCE = 50_000_000, 100_000
"""DeepSpeed's defaults, in elements."""


def step_memory(spec: DeepSpeedSpec, batch: int) -> StepMemory:
    """What is in memory at the moments of a step at which it can be largest."""
    stage: Callable[[_Rank], StepMemory] = {0: _without_zero, 3: _stage_3}.get(spec.method.zero_stage, _stage_2)
    return stage(_Rank(spec, batch))


class _Rank:
    """Sizes that every stage needs."""

    def __init__(self, spec: DeepSpeedSpec, batch: int) -> None:
        self.spec, method = spec, spec.method
        self.shards = spec.hardware.n_gpus
        self.width = BYTES[spec.workload.dtype]
        """Bytes of a weight and of its gradient."""
        self.master = self.moment = self.width
        """Bytes of a weight that the optimizer steps on, and of a moment."""
        if spec.workload.dtype == "bf16" and method.states == "fp32_master":
            self.master = self.moment = FP32
        self.sizes = trained_tensors(spec)
        self.trained = sum(self.sizes)
        self.share = -(-self.trained // self.shards)
        """Elements of the partition of a rank."""
        self.passes: Passes = llama_passes(spec, batch, "none" if method.zero_stage else "all")
        self.zero = deepspeed_config(spec)["zero_optimization"]
        frozen, scales = frozen_tensors(spec), scale_tensors(spec)
        shards = self.shards if method.zero_stage == 3 else 1
        bytes_here = 0 if method.offload_parameters else sum(segment(size // shards) for size in frozen)
        self.frozen_bytes = sum(frozen) // shards
        self.fixed = (
            workspaces(spec.hardware),
            Part("frozen weights", bytes_here, tensors=len(frozen)),
            Part("scales of 4-bit weights", sum(map(segment, scales)), tensors=len(scales)),
        )

    def moment_at(self, phase: Phase, *parts: Part) -> Moment:
        """A moment with these parts and those that are always there."""
        return Moment(phase, (*self.fixed, *parts))


def _without_zero(rank: _Rank) -> StepMemory:
    """Plain data parallel: with fp32 master weights ``FP16_Optimizer``, else the optimizer steps on the weights."""
    trained, passes, own_weights = rank.trained, rank.passes, rank.master == rank.width
    states = (0 if own_weights else rank.master) + 2 * rank.moment
    own = len(rank.sizes) if own_weights else 0  # else all are parts of flat ones
    base = (
        Part("weights", trained * rank.width, tensors=own),
        Part("optimizer states", trained * states, tensors=2 * own),
    )
    bucket = _filled(rank.sizes, ALLREDUCE_ELEMENTS) * rank.width
    gradients = Part("gradients", passes.gradients)
    moments = [
        rank.moment_at(Phase.FORWARD, *base, *passes.forward),
        *(rank.moment_at(Phase.BACKWARD, *base, *parts) for parts in _turns(passes)),
        rank.moment_at(Phase.BACKWARD, *base, gradients, Part("flat bucket of gradients", bucket, "library")),
    ]
    if own_weights:
        norm = Part("norm of a gradient", max(rank.sizes) * FP32, "library")
        moments.append(rank.moment_at(Phase.OPTIMIZER, *base, gradients, norm))
    else:  # each gradient is cast to fp32, then all are flattened, or (unfused) used as they are
        copies = 2 if rank.spec.method.optimizer == "deepspeed_fused_adam" else 1
        cast = Part("gradients in fp32, one by one and flat", copies * trained * FP32, "library")
        moments.append(rank.moment_at(Phase.OPTIMIZER, *base, gradients, cast))
    return StepMemory(tuple(moments))


def _stage_2(rank: _Rank) -> StepMemory:
    """Optimizer states and gradients are sharded; gradients pass through buckets of their own."""
    offloads = rank.spec.method.offload_optimizer
    width, bucket = rank.width, int(rank.zero["reduce_bucket_size"])
    buffers = (2 if rank.zero["overlap_comm"] else 1) * bucket * width
    weights = Part("weights", rank.trained * width)
    flat = Part("flat bucket of gradients", min(bucket, rank.trained) * width, "library")
    ipg = Part("buckets of gradients", buffers, "library")
    if offloads:
        kept = (weights, Part("gradient on its way to the host", max(rank.sizes) * width, "library"))
        own, norm = Part("gradients of the partition", 0), min(max(rank.sizes), rank.share) * FP64
    else:
        kept = (weights, Part("optimizer states", rank.share * (rank.master + 2 * rank.moment)))
        # a tensor that the boundary of the partition cuts is kept whole (``copy_grads_in_partition``)
        own = Part("gradients of the partition", (rank.share + _cut(rank.sizes, rank.share)) * width, "library")
        norm = max(rank.sizes) * FP64
    full = rank.passes.backward(rank.passes.layers - 1)
    if bucket < rank.trained:  # it fills up during the backward pass
        reducing = [(*full, ipg, flat, own), (*rank.passes.last, ipg, flat, own)]
    else:  # all gradients are reduced once the backward pass is through
        reducing = [(*full, ipg), (ipg, flat), (ipg, own)]
    flattened = 0 if offloads else rank.share * (width + (rank.master if rank.master != width else 0))
    moments = (
        rank.moment_at(Phase.FORWARD, *kept, *rank.passes.forward),
        rank.moment_at(Phase.BACKWARD, *kept, *rank.passes.loss),
        rank.moment_at(Phase.BACKWARD, *kept, *rank.passes.head, ipg),  # made when the first gradient comes
        *(rank.moment_at(Phase.BACKWARD, *kept, *parts) for parts in reducing),
        rank.moment_at(Phase.OPTIMIZER, *kept, own, Part("norm of a gradient", norm, "library")),
        rank.moment_at(Phase.OPTIMIZER, *kept, own, Part("flat gradients, and in fp32", flattened, "library")),
    )
    return StepMemory(moments, _stage_2_host(rank) if offloads else ())


def _stage_2_host(rank: _Rank) -> tuple[Part, ...]:
    share = rank.share
    return (
        pinned_part("master weights, pinned", share * rank.master),
        pinned_part("their gradients, pinned", share * rank.master),
        Part("moments", 2 * share * rank.moment),
        pinned_part("new weights, pinned", share * rank.width),
        pinned_part("gradient on its way, pinned", max(rank.sizes) * rank.width),
    )


def _stage_3(rank: _Rank) -> StepMemory:
    """Weights are sharded too, and gathered ahead of their use until ``max_live_parameters`` are there."""
    method, width, bucket = rank.spec.method, rank.width, int(rank.zero["reduce_bucket_size"])
    share = 0 if method.offload_optimizer else rank.share  # what the optimizer keeps on the GPU
    own_weights = rank.master == width
    # The optimizer steps on a copy also where shards have its dtype: DeepSpeed compares their device with a name.
    states = rank.master + 2 * rank.moment
    kept = (
        Part("shards of weights", 0 if method.offload_parameters else rank.share * width),
        Part("optimizer states", share * states),
        Part("shards of gradients", share * width),
        Part("bucket of gradients", bucket * width, "library"),
        Part("small tensors kept whole", _persistent(rank) * width, "library"),
    )
    layers, group = rank.passes.layers, _largest_group(rank)
    fills_up = bucket < rank.trained
    full = max(0, layers - 1 - max(0, bucket - rank.sizes[-1]) // max(1, rank.trained // layers)) if fills_up else 0
    reduced = Part("bucket of gradients, in the order of shards", min(bucket, rank.trained) * width, "library")
    step = group * (width + (0 if own_weights else rank.master)) if share else 0
    moments = (
        rank.moment_at(Phase.FORWARD, *kept, *rank.passes.forward, _gathered(rank, layers)),
        rank.moment_at(Phase.BACKWARD, *kept, *rank.passes.loss, _gathered(rank, layers)),
        rank.moment_at(Phase.BACKWARD, *kept, *rank.passes.backward(layers - 1), _gathered(rank, layers)),
        rank.moment_at(Phase.BACKWARD, *kept, *rank.passes.backward(full), _gathered(rank, full + 1), reduced),
        rank.moment_at(Phase.BACKWARD, *kept, *rank.passes.last, reduced),
        rank.moment_at(Phase.OPTIMIZER, *kept, Part("gradients of a sub-group, flat and in fp32", step, "library")),
    )
    return StepMemory(moments, _stage_3_host(rank) if method.offload_optimizer else ())


def _stage_3_host(rank: _Rank) -> tuple[Part, ...]:
    share = rank.share
    weights = rank.frozen_bytes + share * rank.width if rank.spec.method.offload_parameters else 0
    return (
        pinned_part("shards of weights, pinned", weights),
        Part("master weights", share * rank.master),
        pinned_part("their gradients, pinned", share * rank.master),
        Part("moments", 2 * share * rank.moment),
        pinned_part("shards of gradients, pinned", share * rank.width),
    )


def _gathered(rank: _Rank, layers_left: int) -> Part:
    """Weights that ZeRO-3 holds whole: every module that runs prefetches more, until the limit is passed."""
    arch, width = rank.spec.model, rank.width
    layer, ends = layer_tensors(arch), arch.vocab_size * arch.hidden_size
    packed = 0.25 if rank.spec.method.is_quantized else 1.0  # 4-bit weights, stored in numbers of 16 bits
    ahead = layers_left * sum(layer) * packed + ends * (2 if layers_left == arch.num_hidden_layers else 1)
    at_once = sum(layer) if "leaf_module" in rank.zero else max(layer)
    limit = int(rank.zero["stage3_max_live_parameters"]) + at_once * packed
    return Part("gathered weights", int(min(limit, ahead) * width), "library", spread=0.1)


def _persistent(rank: _Rank) -> int:
    """Elements of tensors below the threshold, which stay whole on every rank."""
    threshold = rank.zero.get("stage3_param_persistence_threshold", STAGE_3_PERSISTENCE)
    arch = rank.spec.model
    norms = arch.hidden_size * (2 * arch.num_hidden_layers + 1) if arch.hidden_size < threshold else 0
    adapter = rank.sizes if rank.spec.method.trained_adapter else []
    return norms + sum(size for size in adapter if size < threshold)


def _largest_group(rank: _Rank) -> int:
    """Elements of the largest sub-group of a rank's partition (``_create_fp16_sub_groups``)."""
    largest = current = 0
    for size in rank.sizes:
        current += -(-size // rank.shards)
        largest = max(largest, current)
        if current >= rank.zero["sub_group_size"]:
            current = 0
    return largest


def _turns(passes: Passes) -> Iterator[tuple[Part, ...]]:
    """The backward pass where memory can be largest: all activations are there, or all gradients."""
    yield from (passes.loss, passes.backward(passes.layers - 1), passes.backward(0), passes.last)


def _filled(sizes: list[int], limit: int) -> int:
    """Elements of a bucket that closes once it holds more than ``limit``."""
    return next((total for total in accumulate(sizes) if total > limit), sum(sizes))


def _cut(sizes: list[int], share: int) -> int:
    """Most elements that a partition's tensors have outside of it."""
    outside, start = 0, 0
    ends = list(accumulate(sizes))
    while start < ends[-1]:
        stop = min(start + share, ends[-1])
        first = max((end for end in (0, *ends) if end <= start), default=0)
        last = min(end for end in ends if end >= stop)
        outside = max(outside, start - first + last - stop)
        start += share
    return outside
