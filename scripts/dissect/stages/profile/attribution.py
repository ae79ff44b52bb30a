"""Attribution of device work to step, phase, part of the model and direction.

Forward work lies in the range of its module. Backward work lies in a node of autograd, which carries the sequence
number of the forward operator that made it: that operator's module is the node's. Recomputed forward work lies in a
module's range within a node. All functions are pure.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dissect.base.outcome import Phase
from dissect.metrics.profile import Direction
from dissect.ranks.intervals import Interval
from dissect.ranks.trace import OPERATOR, RANGE, HostEvent, Trace
from dissect.stages.profile.range_names import (
    ATTENTION,
    ATTENTION_CORE,
    ATTENTION_FUNCTION,
    DECODER_LAYER,
    GRADIENTS,
    OPTIMIZER,
    OWN_WORK,
    STEP,
    UNATTRIBUTED,
    phase_of,
    region_of,
)

_AUTOGRAD = "autograd::engine::evaluate_function: "
"""Prefix of the operator that autograd records around each node of the backward graph."""
_ACCUMULATE = "torch::autograd::AccumulateGrad"
"""The node that has no forward operator: it hands a parameter its gradient, and runs the hooks on it."""
_REDUCER = "torch.distributed.ddp.reducer::"
"""How DDP names what it does with its buckets, some of it once autograd is through."""
_PRODUCT = "aten::matmul"
_COLLECTIVES = ("c10d::", "record_param_comms", "nccl:", "gloo:")
"""How torch.distributed names its operators and, by backend, the ranges around collectives."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """The part of the model and the direction that device work belongs to."""

    part: str
    direction: Direction
    groups: tuple[str, ...] = ()
    """Groups of parts that contain this part."""


@dataclass(frozen=True, slots=True)
class DeviceWork:
    """One kernel, or (on ``cpu``) one operator with the time in which no other operator ran within it."""

    name: str
    intervals: tuple[Interval, ...]
    """When it ran, in microseconds."""
    step: int
    phase: Phase
    place: Attribution
    communication: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One profiled step on the host: its range, and those of its phases in order."""

    span: HostEvent
    phases: tuple[tuple[Phase, HostEvent], ...]

    def phase_at(self, time: float) -> Phase:
        """The phase that the host was in at ``time``; before the first phase, the first."""
        begun = bisect_right([node.start for _, node in self.phases], time)
        return self.phases[max(0, begun - 1)][0]


Source = Literal["kernels", "operators"]


def steps_of(trace: Trace) -> list[Step]:
    """The profiled steps; work outside of them belongs to no step.

    Raises:
        ValueError: the trace has no step.
    """
    spans = [node for node in trace.host if node.category == RANGE and node.name == STEP]
    phases = [(phase, node) for node in trace.host if node.category == RANGE and (phase := phase_of(node.name))]
    if not spans:
        raise ValueError("the trace has no range of a step")
    return [
        Step(span, tuple((phase, node) for phase, node in phases if span.start <= node.start < span.end))
        for span in spans
    ]


def attribute(trace: Trace, source: Source) -> list[DeviceWork]:
    """All device work of the profiled steps, each kernel or operator with its attribution."""
    steps = steps_of(trace)
    starts = [step.span.start for step in steps]
    forward = _forward_operators(trace, steps)
    found = []
    for name, launch, intervals, collective in _work(trace, source):
        at = launch.start if launch else intervals[0][0]
        index = bisect_right(starts, at) - 1
        if index < 0 or at >= steps[index].span.end:
            continue
        phase = steps[index].phase_at(at)
        place = _place(launch, phase, forward) if launch else Attribution(UNATTRIBUTED, _DIRECTION[phase])
        communication = collective or (launch is not None and is_communication(launch))
        found.append(DeviceWork(name, intervals, index, phase, place, communication))
    return found


_DIRECTION: dict[Phase, Direction] = {
    Phase.FORWARD: "forward",
    Phase.BACKWARD: "backward",
    Phase.OPTIMIZER: "optimizer",
}


def is_communication(launch: HostEvent) -> bool:
    """Whether ``launch`` lies within an operator or range of torch.distributed."""
    return any(node.name.startswith(_COLLECTIVES) for node in launch.outward())


def is_autograd_node(node: HostEvent) -> bool:
    """Whether an operator only marks a node of the backward graph, around the operators that do its work."""
    if node.name.startswith(_AUTOGRAD):
        return True
    parent = node.parent
    return parent is not None and parent.name == _AUTOGRAD + node.name


def _work(trace: Trace, source: Source) -> Iterator[tuple[str, HostEvent | None, tuple[Interval, ...], bool]]:
    """Yield (name, launch, intervals, whether the profiler marks it as a collective) of each kernel or operator."""
    if source == "kernels":
        for kernel in trace.kernels:
            yield kernel.name, kernel.launch, ((kernel.start, kernel.end),), kernel.collective
        return
    for node in trace.host:
        if node.category == OPERATOR and "::" in node.name and not is_autograd_node(node) and not _inner(node):
            yield node.name, node, node.own_time, False
        elif node.category == RANGE and _is_collective(node):
            yield node.name, node, ((node.start, node.end),), True


def _is_collective(node: HostEvent) -> bool:
    return node.name.startswith(_COLLECTIVES)


def _inner(node: HostEvent) -> bool:
    """Whether ``node`` is part of the range of a collective, which is counted as a whole."""
    return any(outer.category == RANGE and _is_collective(outer) for outer in node.outward())


def _forward_operators(trace: Trace, steps: Sequence[Step]) -> dict[int, HostEvent]:
    """Sequence number -> the operator that made the node of autograd with this number.

    Numbers count per thread, so only the thread of the steps is asked. An operator that makes no node carries the
    number of the next that does: of several the last to start is the one.
    """
    thread = steps[0].span.thread
    made: dict[int, HostEvent] = {}
    for node in trace.host:
        if node.category != OPERATOR or node.thread != thread:
            continue
        number = node.args.get("Sequence number")
        if number is not None and number >= 0 and _enclosing_node(node) is None:
            made[number] = node
    return made


def _enclosing_node(node: HostEvent) -> HostEvent | None:
    return next((outer for outer in node.outward() if outer.name.startswith(_AUTOGRAD)), None)


def _place(launch: HostEvent, phase: Phase, forward: dict[int, HostEvent]) -> Attribution:
    if phase is Phase.OPTIMIZER:
        return Attribution(OPTIMIZER, "optimizer")
    node = _enclosing_node(launch)
    if any(outer.name.startswith(_REDUCER) for outer in launch.outward()):
        return Attribution(GRADIENTS, "backward")
    place = _region(launch, node)
    if node is None:
        return Attribution(place.part, _DIRECTION[phase], place.groups)
    if place.part != UNATTRIBUTED:
        return Attribution(place.part, "recomputation", place.groups)
    if node.name == _AUTOGRAD + _ACCUMULATE:
        return Attribution(GRADIENTS, "backward")
    origin = forward.get(node.args.get("Sequence number", -1))
    return replace(_region(origin, None), direction="backward") if origin else Attribution(UNATTRIBUTED, "backward")


def _region(node: HostEvent, until: HostEvent | None) -> Attribution:
    """The part of the model by the ranges around a node, up to ``until``."""
    regions: list[tuple[str, HostEvent, HostEvent]] = []
    inner = node
    for outer in node.outward():
        if outer is until:
            break
        if outer.category == RANGE and (region := region_of(outer.name)):
            regions.append((region, outer, inner))
        inner = outer
    if not regions:
        return Attribution(UNATTRIBUTED, "forward")
    innermost, around, child = regions[0]
    names = [region for region, _, _ in regions]
    groups = [group for group in (DECODER_LAYER, ATTENTION) if group in names]
    if innermost == ATTENTION_FUNCTION:
        return Attribution(_attention_part(around, child), "forward", (*groups, ATTENTION_CORE))
    return Attribution(OWN_WORK.get(innermost, innermost), "forward", tuple(groups))


def _attention_part(around: HostEvent, child: HostEvent) -> str:
    """Part of the attention function by the order of operators: two products around a softmax, else a fused kernel."""
    products = [each.start for each in around.children if each.name == _PRODUCT]
    if len(products) != 2:
        return "attention_kernel"
    if child.start <= products[0]:
        return "scores"
    return "softmax" if child.start < products[1] else "weighted_values"
