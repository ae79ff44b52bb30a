"""Work of a PyTorch DDP rank in a step, by phase."""

from dissect.base.outcome import Phase
from dissect.base.units import MIB
from dissect.predict.adamw import adamw_work, clip_work
from dissect.predict.llama_operators import llama_work
from dissect.predict.rank_work import Message, RankWork, StepWork, total
from dissect.stages.training.ddp.spec import DdpSpec
from dissect.workloads.dtypes import BYTES
from dissect.workloads.tensors import trained_tensors

BUCKET = 25 * MIB
"""Bytes after which a bucket of gradients is reduced (``bucket_cap_mb``)."""


def step_work(spec: DdpSpec, batch: int) -> StepWork | None:
    """Work of a rank; None for compiled layers, whose kernels are the compiler's choice."""
    if spec.method.compile_layers:
        return None
    forward, backward = llama_work(spec, batch, spec.trained_dtype)
    sizes, width, ranks = trained_tensors(spec), BYTES[spec.trained_dtype], spec.hardware.n_gpus
    reduced, size = RankWork(), sum(sizes) * width
    if not spec.method.gradient_bucket_view:
        reduced.move(4 * size)  # into their bucket, and out of it, launched by C++
    if ranks > 1:
        number = min(len(sizes), -(-size // BUCKET))
        reduced.messages[Message("all_reduce", size // number, ranks, hidden=True)] += number
    step = adamw_work(spec.method.optimizer, sizes, width)
    return {
        Phase.FORWARD: forward,
        Phase.BACKWARD: total([backward, reduced]),
        Phase.OPTIMIZER: total([clip_work(sizes, width), step]),
    }
