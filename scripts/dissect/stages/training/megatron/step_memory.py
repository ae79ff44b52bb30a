"""Memory of a Megatron-LM rank: what is there at each moment of a step.

Buffers are those of megatron-core's ``distributed/param_and_grad_buffer.py``.
"""

from collections.abc import Iterator

from dissect.base.outcome import Phase
from dissect.predict.adamw import step_part
from dissect.predict.allocator import rounded
from dissect.predict.gpu_architecture import workspaces
from dissect.predict.memory import Moment, Part, StepMemory
from dissect.predict.passes import Passes
from dissect.stages.training.megatron.gpt_operators import FP32, MegatronCase, megatron_case, megatron_footprint
from dissect.stages.training.megatron.spec import MegatronSpec
from dissect.workloads.arithmetic import optimizer_state_width, parameter_groups
from dissect.workloads.dtypes import BYTES
from dissect.workloads.tensors import layer_tensors


def step_memory(spec: MegatronSpec, batch: int) -> StepMemory:
    """What is in memory at the moments of a step at which it can be largest, on the fullest pipeline stage."""
    stages = spec.method.pipeline_parallel
    ranks = {0, stages - 1}  # the first keeps the most micro-batches, the last has the logits
    return StepMemory(tuple(moment for stage in sorted(ranks) for moment in _stage_moments(spec, batch, stage)))


def _stage_moments(spec: MegatronSpec, batch: int, stage: int) -> Iterator[Moment]:
    method, width = spec.method, BYTES[spec.workload.dtype]
    tensor, stages = method.tensor_parallel, method.pipeline_parallel
    replicas = spec.hardware.n_gpus // (tensor * stages)
    is_last = stage == stages - 1
    sizes = _stage_tensors(spec, stage)
    parameters, shards = sum(sizes), replicas if method.distributed_optimizer else 1
    base: tuple[Part, ...] = (
        workspaces(spec.hardware),
        Part("weights", parameters * width, tensors=len(sizes)),
        Part("buffer of gradients", parameters * FP32),
        Part("optimizer states", parameters * optimizer_state_width(spec) // shards, tensors=3 * len(sizes)),
    )
    case = megatron_case(spec, batch)
    waiting = stages - 1 - stage  # micro-batches whose activations stay while this one is computed
    passes = _passes(case, spec.model.num_hidden_layers // stages, is_last)
    kept = Part("activations of other micro-batches", waiting * passes.left, "library")
    gradient = Part("gradient of a weight", max(sizes) * width, "library")
    yield Moment(Phase.FORWARD, (*base, kept, *passes.forward))
    yield Moment(Phase.BACKWARD, (*base, kept, *passes.loss))
    yield Moment(Phase.BACKWARD, (*base, kept, *passes.backward(passes.layers - 1)))
    yield Moment(Phase.BACKWARD, (*base, kept, gradient, *passes.last))
    if method.layer_spec == "local":  # without Transformer Engine AdamW is torch's, over all tensors at once
        base = (*base, step_part("torch_adamw_foreach", [parameters // shards], FP32))
    yield Moment(Phase.OPTIMIZER, base)


def _stage_tensors(spec: MegatronSpec, stage: int) -> list[int]:
    """Elements of this rank's tensors; tensor-parallel ranks split all but the norms."""
    tensor, stages, arch = spec.method.tensor_parallel, spec.method.pipeline_parallel, spec.model
    *matrices, norm, other = layer_tensors(arch)
    layer = [*(size // tensor for size in matrices), norm, other]
    ends = parameter_groups(arch).head // tensor
    first = [ends] if stage == 0 else []
    last = [arch.hidden_size, ends] if stage == stages - 1 else []
    return [*first, *(arch.num_hidden_layers // stages * layer), *last]


def _passes(case: MegatronCase, layers: int, is_last: bool) -> Passes:
    layer = megatron_footprint(case, "layer")
    return Passes(
        layer=layer,
        first=layer,
        end=megatron_footprint(case, "end" if is_last else "send"),
        layers=layers,
        stream=rounded(case.stream),
        embedding=0,
        recompute=case.method.recompute,
        keeps="none",
    )
