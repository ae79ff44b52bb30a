"""Work of a DeepSpeed rank in a step, by phase."""

from dissect.base.outcome import Phase
from dissect.predict.llama_tape import llama_work
from dissect.predict.step_effort import Collective, Effort, HostCopy, Message, StepEffort, total
from dissect.stages.training.deepspeed.configuration import deepspeed_config
from dissect.stages.training.deepspeed.demand import ALLREDUCE_ELEMENTS
from dissect.stages.training.deepspeed.spec import DeepSpeedSpec
from dissect.workloads.dtypes import BYTES
from dissect.workloads.tensors import frozen_tensors, trained_tensors

STEP_BYTES = 98
"""Bytes that a step on fp32 master weights reads and writes per element.

Gradients are flattened (4), cast to fp32 (6), to fp64 for their norm (18), scaled (8); AdamW reads weight, moments and
gradient and writes all but the last (28, at half the speed of a copy); weights are cast to bf16 (6).
"""
NARROW_STEP_BYTES = {0: 42, 2: 58, 3: 58}
"""The same on bf16 states, by ZeRO stage: norm (10, or with ZeRO 18), scaling (4), AdamW (28); with ZeRO gradients are
flattened and weights copied back (8)."""
STEP_KERNELS = {0: 2, 2: 10, 3: 4}
"""Kernels of the optimizer's step per tensor that trains, by ZeRO stage."""
HOST_STEP_BYTES = 34
"""Bytes that DeepSpeed's CPU AdamW reads and writes per element: AdamW's 28, and the weight in bf16."""
FETCH = "ZeRO-3"


def effort(spec: DeepSpeedSpec, batch: int) -> StepEffort:
    """Work of a rank."""
    forward, backward = llama_work(spec, batch)
    sizes, width, stage = trained_tensors(spec), BYTES[spec.workload.dtype], spec.method.zero_stage
    own = -(-sum(sizes) // (spec.hardware.n_gpus if stage else 1))
    gathered = _gathered(spec) if stage == 3 else Effort()
    again = 2 if spec.method.recompute else 1
    return {
        Phase.FORWARD: total([forward, gathered]),
        Phase.BACKWARD: total([backward, gathered.times(again), _reduced(spec, sizes, width)]),
        Phase.OPTIMIZER: _stepped(spec, sizes, own, width),
    }


def _reduced(spec: DeepSpeedSpec, sizes: list[int], width: int) -> Effort:
    """Gradients are copied into their bucket, and out of it; between they are reduced while others are computed."""
    found, trained, ranks = Effort(), sum(sizes), spec.hardware.n_gpus
    found.move(5 * width * trained // len(sizes), len(sizes))
    if ranks == 1:
        return found
    stage, zero = spec.method.zero_stage, deepspeed_config(spec)["zero_optimization"]
    bucket = min(trained, int(zero.get("reduce_bucket_size", ALLREDUCE_ELEMENTS)))
    number = min(len(sizes), -(-trained // bucket))
    kind: Collective = "reduce_scatter" if stage == 3 else "all_reduce"
    found.messages[Message(kind, trained * width // number, ranks, bool(zero.get("overlap_comm")))] += number
    return found


def _gathered(spec: DeepSpeedSpec) -> Effort:
    """Each tensor is gathered once in a pass over the layers, ahead of its use, or all of a layer at once."""
    found, width, ranks = Effort(), BYTES[spec.workload.dtype], spec.hardware.n_gpus
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


def _stepped(spec: DeepSpeedSpec, sizes: list[int], own: int, width: int) -> Effort:
    """The optimizer's step over the elements of this rank, on its GPU or on its host; ZeRO-2 then gathers weights."""
    found, stage, ranks = Effort(), spec.method.zero_stage, spec.hardware.n_gpus
    kernels = STEP_KERNELS[stage] * len(sizes)
    if spec.method.offload_optimizer:
        found.copies[HostCopy("device_to_host_pinned", own * width)] += 1
        found.host_bytes["AdamW"] += HOST_STEP_BYTES * own * (ranks // spec.hardware.n_nodes)
        if not spec.method.offload_parameters:
            found.copies[HostCopy("host_to_device_pinned", own * width)] += 1
    else:
        size = STEP_BYTES if spec.method.states == "fp32_master" else NARROW_STEP_BYTES[stage]
        found.move(size * own // kernels, kernels)
    if stage == 2 and ranks > 1:
        found.messages[Message("all_gather", sum(sizes) * width, ranks, hidden=False)] += 1
    return found
