"""The device time of a step: how long the GPUs compute and transfer, however slowly the host feeds them.

A GPU that waits for another in a collective runs a kernel meanwhile. The collective can transfer nothing before its
last rank has come, so its time counts from the latest rank's start. That needs one clock: GPUs of one node share the
host's, those of several nodes have none that is good to microseconds. All functions are pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from pydantic import PositiveInt

from dissect.base.model import Model
from dissect.ranks.intervals import Interval, intersection, length, union
from dissect.ranks.trace import Trace

_S = 1e-9
_NS_PER_US = 1000

Span = tuple[int, int]
"""(start, end) of device work, UNIX time in nanoseconds."""


class StepTrace(Model):
    """What one rank's device did in the traced steps."""

    steps: PositiveInt
    compute: list[Span]
    """When a kernel, copy or memset ran that is no collective: disjoint, ascending."""
    collectives: dict[str, list[Span]]
    """Kernel of a collective -> when it ran, in order."""
    in_one_group: bool
    """Whether every collective is one of all ranks."""


@dataclass(frozen=True)
class DeviceTimes:
    """Times of one step in seconds, as means over the ranks; the last two are None where waiting cannot be told."""

    compute_s: float
    """Time in which a kernel or copy ran that is no collective."""
    communication_s: float | None
    """Time in which only collectives ran, each from the start of its latest rank."""
    wait_s: float | None
    """Time in which only collectives ran that waited for a rank."""


def step_trace(trace: Trace, steps: int, backend: str, in_one_group: bool, since_ns: int) -> StepTrace:
    """What a recorded trace shows of ``steps`` steps, by the kernels that started at ``since_ns`` (UNIX time) or later.

    The library of collectives names its kernels after itself.
    """
    compute: list[Interval] = []
    collectives: dict[str, list[Span]] = {}
    for kernel in sorted(trace.kernels, key=lambda kernel: kernel.start):
        span = _at(trace, kernel.start), _at(trace, kernel.end)
        if span[0] < since_ns:
            continue
        if kernel.name.startswith(backend):
            collectives.setdefault(kernel.name, []).append(span)
        else:
            compute.append(span)
    merged = [(int(start), int(end)) for start, end in union(compute)]
    return StepTrace(steps=steps, compute=merged, collectives=collectives, in_one_group=in_one_group)


def _at(trace: Trace, us: float) -> int:
    return trace.base_ns + round(us * _NS_PER_US)


def device_times(traces: Sequence[StepTrace | None], on_one_node: bool) -> DeviceTimes | None:
    """Times of a step from the traces of all ranks; None where a rank has none, or no device that computes."""
    known = [trace for trace in traces if trace is not None and trace.compute]
    if not known or len(known) < len(traces):
        return None
    compute_s = fmean(length(trace.compute) * _S / trace.steps for trace in known)
    begun = _latest_starts(known) if on_one_node and all(trace.in_one_group for trace in known) else None
    if begun is None:
        return DeviceTimes(compute_s, None, None)
    transfer_s = [_exposed_s(trace, _transfers(trace, begun)) for trace in known]
    all_s = [_exposed_s(trace, [span for spans in trace.collectives.values() for span in spans]) for trace in known]
    return DeviceTimes(compute_s, fmean(transfer_s), fmean(all_s) - fmean(transfer_s))


def _latest_starts(traces: Sequence[StepTrace]) -> dict[str, list[int]] | None:
    """Kernel of a collective -> the latest start of each; None where the ranks do not have the same ones."""
    counts = {tuple(sorted((name, len(spans)) for name, spans in trace.collectives.items())) for trace in traces}
    if len(counts) > 1:
        return None
    return {
        name: [max(start for start, _ in same) for same in zip(*(t.collectives[name] for t in traces), strict=True)]
        for name in traces[0].collectives
    }


def _transfers(trace: StepTrace, begun: dict[str, list[int]]) -> list[Span]:
    """The rank's collectives without what they waited; one that ended before its latest start transfers nothing."""
    return [
        (min(max(start, latest), end), end)
        for name, spans in trace.collectives.items()
        for (start, end), latest in zip(spans, begun[name], strict=True)
    ]


def _exposed_s(trace: StepTrace, communicating: Sequence[Span]) -> float:
    """Seconds per step in which these ran and nothing was computed."""
    running = union(communicating)
    return (length(running) - length(intersection(running, trace.compute))) * _S / trace.steps
