"""Work of a DeepSpeed rank in a step, by phase."""

from dissect.base.outcome import Phase
from dissect.predict.llama_operators import llama_work
from dissect.predict.rank_work import Collective, HostCopy, Message, RankWork, StepWork, total
from dissect.stages.training.deepspeed.configuration import deepspeed_config
from dissect.stages.training.deepspeed.spec import DeepSpeedSpec
from dissect.stages.training.deepspeed.step_memory import ALLREDUCE_ELEMENTS, FP32, FP64
from dissect.workloads.dtypes import BYTES
from dissect.workloads.tensors import frozen_tensors, trained_tensors

ADAMW_BYTES = 34
"""Bytes that are copied in the time in which DeepSpeed's AdamW steps on an element, of 2 bytes or of 4.

Its kernel loads each element by itself (csrc/adam/multi_tensor_adam.cu). Measured: 27.4 ms for 3.4e9 elements of 4
bytes in ``profile/h200-x2/llama2-7b/deepspeed/Z2/s350-b1-n2``, where a copy moves 4.2 TB/s. Steps with bf16
states agree.
"""
CAST_BYTES = 5
"""Bytes that strided kernels move in the time of one that casts an element, or scales it by a number on the GPU.

Measured there: casts to fp64 and fp32 and scaling take 9 to 14 ms each, 3.2 ps per element, whatever its bytes.
"""
NORM_KERNELS = {0: 2, 2: 10, 3: 4}
"""Operators that Python calls for the norm of a tensor that this rank steps on, by ZeRO stage.

ZeRO-2 also looks for infinities: two extremes, whether each is finite, both answers, and their count.
"""
HOST_STEP_BYTES = 34
"""Bytes that DeepSpeed's CPU AdamW reads and writes per element: AdamW's 28, and the weight in bf16."""
FETCH = "ZeRO-3"


def step_work(spec: DeepSpeedSpec, batch: int) -> StepWork:
    """Work of a rank."""
    forward, backward = llama_work(spec, batch)
    sizes, width, stage = trained_tensors(spec), BYTES[spec.workload.dtype], spec.method.zero_stage
    own = -(-sum(sizes) // (spec.hardware.n_gpus if stage else 1))
    gathered = _gathered(spec) if stage == 3 else RankWork()
    again = 2 if spec.method.recompute else 1
    # without ZeRO all gradients are reduced when they are there; with it the host waits for their norm before the step
    reduced = total([_reduced(spec, sizes, width), _norm(spec, len(sizes), own, width)])
    stepped = _stepped(spec, sizes, own, width)
    return {
        Phase.FORWARD: total([forward, gathered]),
        Phase.BACKWARD: total([backward, gathered.times(again), reduced if stage else RankWork()]),
        Phase.OPTIMIZER: stepped if stage else total([reduced, stepped]),
    }


def _reduced(spec: DeepSpeedSpec, sizes: list[int], width: int) -> RankWork:
    """Gradients are copied into their bucket, averaged, and copied out of it, with ZeRO a rank's own.

    Between they are reduced, with ZeRO while others are computed.
    """
    found, trained, ranks = RankWork(), sum(sizes), spec.hardware.n_gpus
    stage, zero = spec.method.zero_stage, deepspeed_config(spec)["zero_optimization"]
    found.move((5 if stage else 6) * width * trained // len(sizes), len(sizes))
    if ranks == 1:
        return found
    bucket = min(trained, int(zero.get("reduce_bucket_size", ALLREDUCE_ELEMENTS)))
    number = min(len(sizes), -(-trained // bucket))
    kind: Collective = "reduce_scatter" if stage == 3 else "all_reduce"
    found.messages[Message(kind, trained * width // number, ranks, bool(zero.get("overlap_comm")))] += number
    return found


def _gathered(spec: DeepSpeedSpec) -> RankWork:
    """Each tensor is gathered once in a pass over the layers, ahead of its use, or all of a layer at once."""
    found, width, ranks = RankWork(), BYTES[spec.workload.dtype], spec.hardware.n_gpus
    sizes = [*(size * width for size in trained_tensors(spec)), *frozen_tensors(spec)]
    if "leaf_module" in deepspeed_config(spec)["zero_optimization"]:
        layers, end = spec.model.num_hidden_layers, spec.model.vocab_size * spec.model.hidden_size * width
        sizes = [*[(sum(sizes) - 2 * end) // layers] * layers, end, end]
    found.hooks[FETCH] += len(sizes)
    for size in sizes:
        if ranks > 1:
            found.messages[Message("all_gather", size, ranks, hidden=True)] += 1
        if spec.method.offload_parameters:
            found.copies[HostCopy("host_to_device_pinned", size // ranks)] += 1
    return found


def _norm(spec: DeepSpeedSpec, tensors: int, own: int, width: int) -> RankWork:
    """The norm of a rank's gradients, tensor by tensor: each is cast and read, with ZeRO-2 read twice before."""
    found, stage = RankWork(), spec.method.zero_stage
    if not spec.method.offload_optimizer:
        tensors = tensors // spec.hardware.n_gpus if stage == 2 else tensors
        kernels = max(1, NORM_KERNELS[stage] * tensors // 2)
        read = (FP64 if stage else FP32) + (2 * width if stage == 2 else 0)
        found.move(CAST_BYTES * own // kernels, kernels, strided=True)
        found.move(read * own // kernels, kernels)
    return found


def _stepped(spec: DeepSpeedSpec, sizes: list[int], own: int, width: int) -> RankWork:
    """The optimizer's step over the elements of this rank, on its GPU or on its host; ZeRO-2 then gathers weights.

    Gradients are scaled. Flat states need flat gradients, in their type, and are copied back to the weights.
    """
    found, stage, ranks = RankWork(), spec.method.zero_stage, spec.hardware.n_gpus
    casts = spec.method.states == "fp32_master" and width < FP32
    if spec.method.offload_optimizer:
        found.copies[HostCopy("device_to_host_pinned", own * width)] += 1
        found.host_bytes["AdamW"] += HOST_STEP_BYTES * own * (ranks // spec.hardware.n_nodes)
        if not spec.method.offload_parameters:
            found.copies[HostCopy("host_to_device_pinned", own * width)] += 1
    else:
        found.move(CAST_BYTES * own, 1 + casts, strided=True)
        found.move(ADAMW_BYTES * own)
        if stage or casts:
            found.move(2 * width * own)
            found.move((width + (FP32 if casts else width)) * own)
    if stage == 2 and ranks > 1:
        found.messages[Message("all_gather", sum(sizes) * width, ranks, hidden=False)] += 1
    return found
