"""Memory of a PyTorch FSDP2 rank: what is there at each moment of a step.

Names of buffers are those of ``torch/distributed/fsdp/_fully_shard``: a group is gathered into one flat buffer, from
which its parameters are copied, and its gradients are copied into another, which is scattered.
"""

from dissect.base.outcome import Phase
from dissect.predict.adamw import step_part
from dissect.predict.allocator import pinned
from dissect.predict.gpu_architecture import workspaces
from dissect.predict.llama_operators import llama_passes
from dissect.predict.memory import Moment, Part, StepMemory
from dissect.stages.training.fsdp.spec import FsdpSpec
from dissect.workloads.arithmetic import NF4_BITS, parameter_groups
from dissect.workloads.dtypes import BYTES
from dissect.workloads.tensors import layer_tensors, trained_tensors


def step_memory(spec: FsdpSpec, batch: int) -> StepMemory | None:
    """What is in memory at the moments of a step at which it can be largest; None for compiled layers.

    What a compiled layer keeps is the compiler's choice.
    """
    if spec.method.compile_layers:
        return None
    group, passes = Groups(spec), llama_passes(spec, batch, "layer")
    offloads = spec.method.cpu_offload
    held = 0 if offloads else 1  # shards on the GPU
    base = (
        workspaces(spec.hardware),
        Part("scales of the 4-bit weights", group.scales),
        Part("shards of weights", held * group.shard, tensors=held * len(group.trained)),
        Part("optimizer states", held * 2 * group.trained_shard, tensors=2 * held * len(group.trained)),
    )
    end, layer = Part("gathered weights", group.end, "library"), Part("gathered weights", group.layer, "library")
    flat, ahead = Part("flat buffer of gathering", group.end, "library"), Part("gathered ahead", group.layer, "library")

    def backward(*parts: Part, reduced: int, behind: int) -> Moment:
        own = Part("shards of gradients", held * group.shards_behind(behind))
        return Moment(Phase.BACKWARD, (*base, *parts, Part("buffer of gradients to reduce", reduced, "library"), own))

    layers, reduced = passes.layers, group.layer_reduced
    gradients = Part("shards of gradients", held * group.trained_shard)
    moments = [
        Moment(Phase.FORWARD, (*base, *passes.forward, end, flat)),
        Moment(Phase.BACKWARD, (*base, *passes.loss, end)),
        backward(*passes.head, ahead, reduced=group.end_reduced, behind=layers),
        backward(*passes.backward(layers - 1), layer, ahead, reduced=group.end_reduced, behind=layers),
        backward(*passes.backward(max(0, layers - 2)), layer, ahead, reduced=reduced, behind=layers - 1),
        backward(*passes.backward(0), layer, ahead, reduced=reduced, behind=1),
        backward(*passes.last, reduced=group.embedding_reduced, behind=0),
        Moment(Phase.OPTIMIZER, (*base, gradients, _step(spec, held, group))),
    ]
    return StepMemory(tuple(moments), _host(group) if offloads else ())


def _step(spec: FsdpSpec, shards: int, group: "Groups") -> Part:
    return step_part(spec.method.optimizer, [shards * size for size in group.trained], group.trained_width)


def _host(group: "Groups") -> tuple[Part, ...]:
    """Shards are pinned tensor by tensor, and so are the gradients that come from the GPU."""
    each = sum(pinned(size * group.trained_width) for size in group.trained)
    return (
        Part("shards of weights, pinned", each, "library"),
        Part("shards of frozen weights, pinned", group.shard - group.trained_shard, "library"),
        Part("shards of gradients, pinned", each, "library"),
        Part("moments", 2 * group.trained_shard),
    )


class Groups:
    """Sizes of what is gathered, reduced and kept, in bytes: of a layer, and of norm and head together."""

    def __init__(self, spec: FsdpSpec) -> None:
        arch, n_gpus, compute = spec.model, spec.hardware.n_gpus, BYTES[spec.workload.dtype]
        groups, layers = parameter_groups(arch), arch.num_hidden_layers
        sizes = trained_tensors(spec)
        self.trained_width = BYTES[spec.trained_dtype]
        self.trained = [-(-size // n_gpus) for size in sizes]
        self.trained_shard = sum(self.trained) * self.trained_width
        quantized, adapter = spec.method.is_quantized, spec.method.trained_adapter
        linear = groups.decoder_linear // layers
        packed = linear // 2 if quantized else linear * compute
        norms = sum(layer_tensors(arch)[-2:])
        added = adapter.parameters(arch) // layers if adapter else 0
        self.layer = packed + (norms + added) * compute
        self.end = (groups.head + arch.hidden_size) * compute
        trains_linear = not quantized and adapter is None
        in_layer = added if adapter else norms + (linear if trains_linear else 0)
        self.layer_reduced = in_layer * self.trained_width
        self.end_reduced = 0 if adapter else (groups.head + arch.hidden_size) * self.trained_width
        self.embedding_reduced = 0 if adapter else groups.embedding * self.trained_width
        self.scales = int(groups.decoder_linear * (NF4_BITS - 4) / 8) if quantized else 0
        frozen = (packed * layers if not trains_linear else 0) + (groups.unquantized * compute if adapter else 0)
        self.shard = self.trained_shard + frozen // n_gpus
        self._n_gpus, self._layers = n_gpus, layers

    def shards_behind(self, index: int) -> int:
        """Bytes of this rank's shards of the gradients of what follows so many layers."""
        return (self.end_reduced + (self._layers - index) * self.layer_reduced) // self._n_gpus
