"""Work of a PyTorch FSDP2 rank in a step, by phase."""

from dissect.base.outcome import Phase
from dissect.predict.adamw import adamw_work, clip_work
from dissect.predict.llama_operators import llama_work
from dissect.predict.rank_work import Collective, Direction, HostCopy, Message, RankWork, StepWork, total
from dissect.stages.training.fsdp.spec import FsdpSpec
from dissect.stages.training.fsdp.step_memory import Groups

FETCH = "FSDP2"
HOST_PASSES = 20
"""How often PyTorch's AdamW on the host reads or writes an element (see ``predict/adamw.py``)."""


def step_work(spec: FsdpSpec, batch: int) -> StepWork | None:
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


def _gathered(spec: FsdpSpec, size: int) -> RankWork:
    """A group is gathered ahead of its use, into a flat buffer from which its parameters are copied."""
    found = _exchanged(spec, size, "all_gather", "host_to_device_pinned")
    found.hooks[FETCH] += 1
    return found


def _reduced(spec: FsdpSpec, size: int) -> RankWork:
    """Gradients of a group are copied into a flat buffer and scattered while others are computed."""
    return _exchanged(spec, size, "reduce_scatter", "device_to_host_pinned") if size else RankWork()


def _exchanged(spec: FsdpSpec, size: int, collective: Collective, copy: Direction) -> RankWork:
    """A flat buffer of ``size`` bytes: copied, exchanged beside other kernels, and a rank's share kept by the host."""
    found, ranks = RankWork(), spec.hardware.n_gpus
    found.move(2 * size)
    if ranks > 1:
        found.messages[Message(collective, size, ranks, hidden=True)] += 1
    if spec.method.cpu_offload:
        found.copies[HostCopy(copy, size // ranks)] += 1
    return found


def _stepped(spec: FsdpSpec, group: Groups, ranks_per_node: int) -> RankWork:
    """The optimizer's step over this rank's shards, on its GPU or on the host."""
    width = group.trained_width
    if not spec.method.cpu_offload:
        return total([clip_work(group.trained, width), adamw_work(spec.method.optimizer, group.trained, width)])
    found = RankWork()
    found.host_bytes["AdamW"] += HOST_PASSES * group.trained_shard * ranks_per_node
    return found
