"""The numbers of a profile from attributed work, and the check that they are complete. All functions are pure."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from dissect.base.outcome import InvalidMeasurement, Phase
from dissect.metrics.profile import Dissection, Group, KernelSource, Part, PartTime, PhaseTimes
from dissect.ranks.intervals import Interval, exclusive, intersection, length, union
from dissect.ranks.trace import Trace
from dissect.stages.profile.attribution import DeviceWork, Step, attribute, steps_of
from dissect.stages.profile.range_names import UNATTRIBUTED

LEAST_ATTRIBUTED = 0.95
MOST_DEVIATION = 0.02
PHASES = (Phase.FORWARD, Phase.BACKWARD, Phase.OPTIMIZER)
_US = 1e-6


class IncompleteProfileError(InvalidMeasurement):
    """Too much of the kernel time belongs to no part, or the parts do not sum to their phase."""


@dataclass(frozen=True)
class TimedWork:
    """Device work with its exclusive device time in microseconds."""

    work: DeviceWork
    time: float


def dissect(trace: Trace, source: KernelSource) -> tuple[Dissection, list[TimedWork]]:
    """The numbers of a trace, and the work behind them.

    Raises:
        IncompleteProfileError: the trace has no work.
    """
    steps = steps_of(trace)
    works = attribute(trace, source)
    if not works:
        raise IncompleteProfileError(f"the trace of {len(steps)} steps has no {source}")
    compute = [work for work in works if not work.communication]
    times = exclusive([work.intervals for work in compute])
    shares = [TimedWork(work, time) for work, time in zip(compute, times, strict=True)]
    phases = [_phase_times(phase, steps, works, shares, source) for phase in PHASES]
    parts = _sums(shares, len(steps), lambda work: [work.place.part], get_args(Part))
    groups = _sums(shares, len(steps), lambda work: work.place.groups, get_args(Group))
    dissection = Dissection(
        source=source,
        phases=phases,
        parts=parts,
        groups=groups,
        attributed_share=1 - _total(parts, UNATTRIBUTED) / _total(parts),
        parts_deviation=max(_deviation(phase, parts) for phase in phases),
    )
    shares += [TimedWork(work, length(union(work.intervals))) for work in works if work.communication]
    return dissection, shares


def check_complete(dissection: Dissection) -> None:
    """Check that the numbers account for the step.

    Raises:
        IncompleteProfileError: too little kernel time is attributed, or the parts do not sum to their phase.
    """
    if dissection.attributed_share < LEAST_ATTRIBUTED:
        raise IncompleteProfileError(
            f"{dissection.attributed_share:.1%} of the kernel time belongs to a part of the model, "
            f"at least {LEAST_ATTRIBUTED:.0%} must"
        )
    if dissection.parts_deviation > MOST_DEVIATION:
        raise IncompleteProfileError(
            f"the parts of a phase sum to {dissection.parts_deviation:.1%} more or less than its compute time, "
            f"at most {MOST_DEVIATION:.0%} is allowed"
        )


def windows(step: Step, works: Sequence[DeviceWork], source: KernelSource) -> dict[Phase, Interval]:
    """Interval of each phase of a step on the device, in microseconds; together they make the step.

    Operators run when the host says so. Kernels run later: a phase lasts until the last one launched in it has ended.
    """
    begun = {phase: node.start for phase, node in step.phases}
    found, start = {}, step.span.start
    for phase, following in zip(PHASES, (*PHASES[1:], None), strict=True):
        if following is None:
            end = step.span.end
        elif source == "operators":
            end = begun[following]
        else:
            ends = [end for work in works if work.phase is phase for _, end in work.intervals]
            end = max(ends, default=begun[following])
        end = min(max(start, end), step.span.end)
        found[phase], start = (start, end), end
    return found


def _phase_times(
    phase: Phase, steps: Sequence[Step], works: Sequence[DeviceWork], shares: Sequence[TimedWork], source: KernelSource
) -> PhaseTimes:
    """Times of a phase, as means over the steps."""
    overall = compute = overlapped = exposed = 0.0
    for index, step in enumerate(steps):
        mine = [work for work in works if work.step == index]
        window = windows(step, mine, source)[phase]
        computing = _running([work for work in mine if not work.communication], window)
        communicating = _running([work for work in mine if work.communication], window)
        both = length(intersection(computing, communicating))
        overall += window[1] - window[0]
        compute += length(computing)
        overlapped += both
        exposed += length(communicating) - both
    again = sum(s.time for s in shares if s.work.phase is phase and s.work.place.direction == "recomputation")
    scale = _US / len(steps)
    return PhaseTimes(
        phase=phase,
        overall_s=overall * scale,
        compute_s=compute * scale,
        communication_overlapped_s=overlapped * scale,
        communication_exposed_s=exposed * scale,
        recomputation_s=again * scale,
    )


def _running(works: Iterable[DeviceWork], window: Interval) -> list[Interval]:
    return intersection(union(interval for work in works for interval in work.intervals), [window])


def _sums(
    shares: Sequence[TimedWork], n_steps: int, names_of: Callable[[DeviceWork], Iterable[str]], order: Sequence[str]
) -> list[PartTime]:
    """Time and calls by (name, direction, phase), with names in the given order."""
    sums: dict[tuple[str, str, Phase], tuple[float, int]] = {}
    for share in shares:
        for name in names_of(share.work):
            key = name, share.work.place.direction, share.work.phase
            time, calls = sums.get(key, (0.0, 0))
            sums[key] = time + share.time, calls + 1
    return [
        PartTime.model_validate(
            {
                "part": name,
                "direction": direction,
                "phase": phase,
                "time_s": time * _US / n_steps,
                "calls": calls / n_steps,
            }
        )
        for (name, direction, phase), (time, calls) in sorted(sums.items(), key=lambda item: order.index(item[0][0]))
    ]


def _total(parts: Sequence[PartTime], name: str | None = None) -> float:
    return sum(part.time_s for part in parts if name in (None, part.part))


def _deviation(phase: PhaseTimes, parts: Sequence[PartTime]) -> float:
    summed = sum(part.time_s for part in parts if part.phase is phase.phase)
    return abs(summed - phase.compute_s) / phase.compute_s if phase.compute_s else float(summed > 0)


def kernel_table(shares: Sequence[TimedWork]) -> list[dict[str, Any]]:
    """One row per kernel, part, direction and phase over all profiled steps, the longest first."""
    sums: dict[Hashable, dict[str, Any]] = {}
    for share in shares:
        work = share.work
        labels = {
            "name": work.name,
            "part": "communication" if work.communication else work.place.part,
            "direction": work.place.direction,
            "phase": str(work.phase),
        }
        row = sums.setdefault(tuple(labels.values()), {**labels, "count": 0, "total_us": 0.0})
        row["count"] += 1
        row["total_us"] += share.time
    rows: Iterable[Mapping[str, Any]] = sorted(sums.values(), key=lambda row: -row["total_us"])
    return [{**row, "total_us": round(row["total_us"], 3)} for row in rows]
