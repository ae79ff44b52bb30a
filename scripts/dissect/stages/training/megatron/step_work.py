"""Work of a Megatron-LM rank in a step, by phase."""

from dataclasses import replace

from dissect.base.outcome import Phase
from dissect.predict.adamw import adamw_work
from dissect.predict.rank_work import Message, RankWork, StepWork, total
from dissect.stages.training.megatron.gpt_operators import FP32, MegatronCase, megatron_case, megatron_graph
from dissect.stages.training.megatron.spec import MegatronSpec
from dissect.workloads.dtypes import BYTES
from dissect.workloads.tensors import trained_tensors

GRADIENT_PASSES = 4
"""How often a gradient in fp32 is read or written beside the optimizer: zeroed, its norm taken, and scaled."""
CAST_BYTES = 6
"""Bytes that are read and written per weight that is cast from fp32 to bf16."""


def step_work(spec: MegatronSpec, batch: int) -> StepWork | None:
    """Work of a rank; None with pipeline parallelism, whose idle stages are not modelled."""
    method, width = spec.method, BYTES[spec.workload.dtype]
    tensor, replicas = method.tensor_parallel, spec.hardware.n_gpus // method.tensor_parallel
    if method.pipeline_parallel > 1:
        return None
    case, layers = _split(megatron_case(spec, batch)), spec.model.num_hidden_layers
    layer, end = megatron_graph(case, "layer"), megatron_graph(case, "end")
    reduced = _reduced(case.tokens * spec.model.hidden_size * width, tensor)
    ahead, back = (total([work, reduced]).times(layers) for work in (layer.forward_work, layer.backward_work))
    again = [ahead] if method.recompute else []
    if method.recompute_attention:
        again = [megatron_graph(case, "attention").forward_work.times(layers)]
    parameters, tensors = sum(trained_tensors(spec)) // tensor, len(trained_tensors(spec))
    gradients = RankWork()
    gradients.move((width + 8) * parameters // tensors, tensors)  # each is added to the fp32 buffer
    own = parameters // (replicas if method.distributed_optimizer else 1)
    # without Transformer Engine's optimizer AdamW is torch's, over all tensors at once
    optimizer = adamw_work("torch_adamw_foreach" if method.layer_spec == "local" else "torch_adamw", [own], FP32)
    optimizer.move(GRADIENT_PASSES * FP32 * own // 3, 3)
    if width != FP32:
        optimizer.move(CAST_BYTES * own)
    if replicas > 1:
        overlaps = method.overlap_communication
        if method.distributed_optimizer:
            gradients.messages[Message("reduce_scatter", parameters * FP32, replicas, overlaps)] += 1
            optimizer.messages[Message("all_gather", parameters * width, replicas, overlaps)] += 1
        else:
            gradients.messages[Message("all_reduce", parameters * FP32, replicas, overlaps)] += 1
    return {
        Phase.FORWARD: total([ahead, end.forward_work]),
        Phase.BACKWARD: total([end.backward_work, back, *again, gradients]),
        Phase.OPTIMIZER: optimizer,
    }


def _split(case: MegatronCase) -> MegatronCase:
    """The case with attention operator by operator, even where it is recomputed, which memory has as one."""
    return replace(case, method=case.method.model_copy(update={"recompute_attention": False}))


def _reduced(stream: int, ranks: int) -> RankWork:
    """What tensor-parallel ranks send in a pass over a layer: the sums of two products, which nothing hides."""
    found = RankWork()
    if ranks > 1:
        found.messages[Message("all_reduce", stream, ranks, hidden=False)] += 2
    return found
