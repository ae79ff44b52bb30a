"""Work of a PyTorch FSDP2 rank in a step, by phase."""

from dissect.base.outcome import Phase
from dissect.predict.adamw import clip_effort, step_effort
from dissect.predict.llama_tape import llama_work
from dissect.predict.step_effort import Collective, Direction, Effort, HostCopy, Message, StepEffort, total
from dissect.stages.training.fsdp.demand import Groups
from dissect.stages.training.fsdp.spec import FsdpSpec

FETCH = "FSDP2"
HOST_PASSES = 20
"""How often PyTorch's AdamW on the host reads or writes an element (see ``predict/adamw.py``)."""


def effort(spec: FsdpSpec, batch: int) -> StepEffort | None:
    """Work of a rank; None for compiled layers, whose kernels are the compiler's choice."""
    if spec.method.compile_layers:
        return None
    group, layers = Groups(spec), spec.model.num_hidden_layers
    forward, backward = llama_work(spec, batch)
    gathered = total([_gathered(spec, group.layer).times(layers), _gathered(spec, group.end)])
    reduced = total([_reduced(spec, group.layer_reduced).times(layers), _reduced(spec, group.end_reduced)])
    return {
        Phase.FORWARD: total([forward, gathered]),
        Phase.BACKWARD: total([backward, gathered, reduced, _reduced(spec, group.embedding_reduced)]),
        Phase.OPTIMIZER: _stepped(spec, group, spec.hardware.n_gpus // spec.hardware.n_nodes),
    }


def _gathered(spec: FsdpSpec, size: int) -> Effort:
    """A group is gathered ahead of its use, into a flat buffer from which its parameters are copied."""
    found = _exchanged(spec, size, "all_gather", "host_to_device_pinned")
    found.hooks[FETCH] += 1
    return found


def _reduced(spec: FsdpSpec, size: int) -> Effort:
    """Gradients of a group are copied into a flat buffer and scattered while others are computed."""
    return _exchanged(spec, size, "reduce_scatter", "device_to_host_pinned") if size else Effort()


def _exchanged(spec: FsdpSpec, size: int, collective: Collective, copy: Direction) -> Effort:
    """A flat buffer of ``size`` bytes: copied, exchanged beside other kernels, and a rank's share kept by the host."""
    found, ranks = Effort(), spec.hardware.n_gpus
    found.move(2 * size)
    if ranks > 1:
        found.messages[Message(collective, size, ranks, hidden=True)] += 1
    if spec.method.cpu_offload:
        found.copies[HostCopy(copy, size // ranks)] += 1
    return found


def _stepped(spec: FsdpSpec, group: Groups, ranks_per_node: int) -> Effort:
    """The optimizer's step over this rank's shards, on its GPU or on the host."""
    width = group.trained_width
    if not spec.method.cpu_offload:
        return total([clip_effort(group.trained, width), step_effort(spec.method.optimizer, group.trained, width)])
    found = Effort()
    found.host_bytes["AdamW"] += HOST_PASSES * group.trained_shard * ranks_per_node
    return found
