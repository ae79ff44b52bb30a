"""Chrome traces that torch.profiler exports: nested host events, and the device work that they launched.

Host events (operators and annotated ranges) nest within a thread. A kernel carries the correlation id of the runtime
call that launched it, and that call lies within the operator and the ranges that it belongs to. All functions but the
reading of the file are pure.
"""

import gzip
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dissect.ranks.intervals import Interval, without

OPERATOR, RANGE = "cpu_op", "user_annotation"
LAUNCHES = ("cuda_runtime", "cuda_driver")
KERNELS = ("kernel", "gpu_memcpy", "gpu_memset")
_CATEGORIES = {OPERATOR, RANGE, *LAUNCHES, *KERNELS}
_TOLERANCE_US = 0.01
"""Microseconds by which a child may seem to end after its parent, since the profiler rounds to nanoseconds."""

Thread = tuple[Any, Any]


@dataclass(eq=False, slots=True)
class HostEvent:
    """One host event with its parent and children; times in microseconds."""

    name: str
    category: str
    thread: Thread
    start: float
    end: float
    args: Mapping[str, Any]
    parent: "HostEvent | None" = None
    children: "list[HostEvent]" = field(default_factory=list)

    def outward(self) -> "Iterator[HostEvent]":
        """Yield the event itself, its parent, that one's parent, and so on."""
        node: HostEvent | None = self
        while node is not None:
            yield node
            node = node.parent

    @property
    def own_time(self) -> tuple[Interval, ...]:
        """Intervals in which the event ran and no operator within it did."""
        return without((self.start, self.end), [interval for child in self.children for interval in _operators(child)])


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel, copy or memset on the device, and the host event that launched it (None: unknown)."""

    name: str
    start: float
    end: float
    launch: HostEvent | None
    collective: bool
    """Whether the profiler marks it as part of a collective."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Host events in the order of their start, and kernels."""

    host: list[HostEvent]
    kernels: list[Kernel]
    base_ns: int = 0
    """UNIX time of the trace's time 0 in nanoseconds, by which traces of one node compare."""


def read_trace(path: Path) -> Trace:
    """Read an exported trace, gzipped or not.

    Raises:
        ValueError: the file is no trace of torch.profiler.
    """
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    try:
        record = json.loads(data)
        return parse_trace(record["traceEvents"], record.get("baseTimeNanoseconds", 0))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: has no traceEvents, expected a trace of torch.profiler") from error


def parse_trace(events: Sequence[Mapping[str, Any]], base_ns: int = 0) -> Trace:
    """Nest the host events, and link each kernel to the event that launched it."""
    complete = [event for event in events if event.get("ph") == "X" and event.get("cat") in _CATEGORIES]
    host = nest([_node(event) for event in complete if event["cat"] not in KERNELS])
    by_correlation = _by_id(host, LAUNCHES, "correlation")
    by_external = _by_id(host, (OPERATOR,), "External id")
    kernels = [_kernel(event, by_correlation, by_external) for event in complete if event["cat"] in KERNELS]
    return Trace(host, kernels, base_ns)


def nest(nodes: list[HostEvent]) -> list[HostEvent]:
    """Give every node its parent: the innermost event of its thread that it lies in; sorted by start.

    An event that outlives the one that it started in (an asynchronous one) surrounds nothing.
    """
    nodes.sort(key=lambda node: (node.start, -node.end))
    stacks: dict[Thread, list[HostEvent]] = {}
    for node in nodes:
        stack = stacks.setdefault(node.thread, [])
        while stack and stack[-1].end <= node.start:
            stack.pop()
        if not stack or node.end <= stack[-1].end + _TOLERANCE_US:
            if stack:
                node.parent = stack[-1]
                stack[-1].children.append(node)
            stack.append(node)
    return nodes


def _node(event: Mapping[str, Any]) -> HostEvent:
    start = float(event["ts"])
    thread = event.get("pid"), event.get("tid")
    return HostEvent(
        str(event["name"]), event["cat"], thread, start, start + float(event["dur"]), event.get("args", {})
    )


def _by_id(host: Sequence[HostEvent], categories: Collection[str], name: str) -> dict[Any, HostEvent]:
    """Id -> the nodes that have it; an id of 0 means none."""
    return {node.args[name]: node for node in host if node.category in categories and node.args.get(name)}


def _kernel(
    event: Mapping[str, Any], by_correlation: Mapping[Any, HostEvent], by_external: Mapping[Any, HostEvent]
) -> Kernel:
    """A kernel, linked by its correlation id, or by the operator's id where the profiler missed the launch."""
    args, start = event.get("args", {}), float(event["ts"])
    launch = by_correlation.get(args.get("correlation")) or by_external.get(args.get("External id"))
    return Kernel(str(event["name"]), start, start + float(event["dur"]), launch, "Collective name" in args)


def _operators(node: HostEvent) -> Iterator[Interval]:
    """Yield the outermost operators at or below a node."""
    if node.category == OPERATOR:
        yield node.start, node.end
    else:
        for child in node.children:
            yield from _operators(child)
