"""Memory of a PyTorch DDP rank: what is there at each moment of a step.

Buckets are those of ``torch/csrc/distributed/c10d/reducer.cpp``: together they are as large as all gradients.
"""

from dissect.base.outcome import Phase
from dissect.predict.adamw import step_part
from dissect.predict.gpu_architecture import workspaces
from dissect.predict.llama_operators import autocast_bytes, llama_passes
from dissect.predict.memory import Moment, Part, StepMemory
from dissect.stages.training.ddp.spec import DdpSpec
from dissect.workloads.dtypes import BYTES
from dissect.workloads.tensors import trained_tensors


def step_memory(spec: DdpSpec, batch: int) -> StepMemory | None:
    """What is in memory at the moments of a step at which it can be largest; None for compiled layers.

    What a compiled layer keeps is the compiler's choice.
    """
    if spec.method.compile_layers:
        return None
    sizes, width, views = trained_tensors(spec), BYTES[spec.trained_dtype], spec.method.gradient_bucket_view
    passes = llama_passes(spec, batch, "none" if views else "all", weights=spec.trained_dtype)
    all_elements = sum(sizes)
    base = (
        workspaces(spec.hardware),
        Part("weights", all_elements * width, tensors=len(sizes)),
        Part("optimizer states", 2 * all_elements * width, tensors=2 * len(sizes)),
        Part("buckets of gradients", all_elements * width, "library"),
    )
    casts = autocast_bytes(spec.model, BYTES[spec.workload.dtype]) if spec.method.recompute else 0
    cast = Part("weights cast by autocast", casts if spec.trained_dtype != spec.workload.dtype else 0, "library")
    gradients = Part("gradients", 0 if views else passes.gradients)
    step = step_part(spec.method.optimizer, sizes, width)
    return StepMemory(
        (
            Moment(Phase.FORWARD, (*base, *passes.forward, cast)),
            Moment(Phase.BACKWARD, (*base, *passes.loss)),
            Moment(Phase.BACKWARD, (*base, *passes.backward(passes.layers - 1))),
            Moment(Phase.BACKWARD, (*base, *passes.backward(0))),
            Moment(Phase.BACKWARD, (*base, *passes.last)),
            Moment(Phase.OPTIMIZER, (*base, gradients, step)),
        )
    )
