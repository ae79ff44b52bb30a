"""One rank of an operator cell: it measures every size separately, so that a failure does not lose the others."""

import gc
import os
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dissect.base.outcome import InvalidMeasurement, Phase, Status
from dissect.cells.spec import OperatorSpec
from dissect.machine.device import Device
from dissect.machine.vendor import own_device
from dissect.ranks.failure import outcome_of
from dissect.ranks.group import join_process_group, leave_process_group
from dissect.ranks.messages import RankContext, RankReport, describe
from dissect.ranks.steps import no_garbage_collection
from dissect.stages.operators.loop import OverBudgetError, Ranks, TimedLoop, Work
from dissect.stages.operators.points import PointReport


class WrongResultError(InvalidMeasurement):
    """An operator returned a wrong result."""


@dataclass(frozen=True)
class Case:
    """One point: its facts, the work that it runs, and the phase of that work."""

    facts: dict[str, Any]
    build: Callable[[], Work]
    phase: Phase = Phase.FORWARD


Cases = Callable[[OperatorSpec, Device], Sequence[Case]]
"""Makes all points of a cell on its device."""


def run_operator_rank(spec: OperatorSpec, context: RankContext, cases: Cases, ranks: Ranks | None = None) -> RankReport:
    """Measure every point in turn; ``ranks`` is given where several work together."""
    hardware, rank = spec.hardware, int(os.environ["RANK"])
    context.enter(Phase.BUILD)
    device = own_device(hardware)
    if ranks is not None:
        join_process_group(device, hardware.n_nodes, context.seconds_left())
    ready_at = time.monotonic()
    device.limit_memory(hardware.device_memory_bytes)
    try:
        loop = TimedLoop(spec.sampling, ranks or Ranks(), context.seconds_left)
        found = _measure_all(cases(spec, device), loop, context, device)
    finally:
        device.lift_limit()
    if ranks is not None:
        leave_process_group()
    best = next((point for point in found if point.status is Status.OK), found[0])
    return RankReport(
        rank=rank,
        status=best.status,
        phase=best.phase,
        reason=best.reason,
        ready_at=ready_at,
        built_at=ready_at,
        window_start=ready_at,
        window_end=time.monotonic(),
        peak_memory_bytes=device.peak_memory_bytes(),
        findings={"points": [point.model_dump(mode="json") for point in found]},
    )


def _measure_all(cases: Sequence[Case], loop: TimedLoop, context: RankContext, device: Device) -> list[PointReport]:
    found = []
    device.reset_peak_memory()
    with no_garbage_collection():
        for done, case in enumerate(cases):
            found.append(_measure(case, loop, len(cases) - done, context, device))
            gc.collect()
            device.empty_cache()  # the next point is to have all of the memory
    return found


def _measure(case: Case, loop: TimedLoop, points_left: int, context: RankContext, device: Device) -> PointReport:
    """Measure one point; out of memory, a wrong kernel and a spent budget are its outcomes, other errors are raised."""
    try:
        context.enter(Phase.BUILD)
        work = case.build()
        context.enter(case.phase)
        timing = loop.measure(work, points_left)
        return PointReport(facts=case.facts, status=Status.OK, **timing)
    except Exception as error:
        status, phase = outcome_of(error, device, context.current)
        if isinstance(error, OverBudgetError):
            status = Status.TIMEOUT
        traceback.print_exception(error)
        if status is Status.FAILED:
            raise
        return PointReport(facts=case.facts, status=status, phase=phase, reason=describe(error))
