"""The measured loop in two real ranks over gloo: when the clocks start, and what the profiler is asked for."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from dissect.base.outcome import Phase, Status  # noqa: E402
from dissect.machine.cpu import CpuDevice  # noqa: E402
from dissect.ranks.group import join_process_group, leave_process_group  # noqa: E402
from dissect.ranks.launch import Launch  # noqa: E402
from dissect.ranks.messages import RankContext, RankReport  # noqa: E402
from dissect.ranks.reports import slowest  # noqa: E402
from dissect.ranks.steps import TRACE_RESERVE_S, StepLoop  # noqa: E402
from dissect.ranks.supervise import conclude, supervise, window_of  # noqa: E402
from forked_ranks import in_fork  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.torch]

STEPS, SLOW_S = 8, 0.05


class UnevenTrainer:
    """Ranks take turns in being slow, and no collective of the step itself makes one wait for the other."""

    def __init__(self) -> None:
        self.steps = 0

    def train_step(self, tokens: torch.Tensor, enter: Callable[[Phase], None]) -> torch.Tensor:
        enter(Phase.FORWARD)
        self.steps += 1
        if self.steps % 2 == int(os.environ["RANK"]):
            time.sleep(SLOW_S)
        return (tokens @ tokens).sum()


def measured(
    folder: Path, *, room: int = 1 << 40, activity: str | None = None, budget_s: float = 120.0, readable: bool = True
) -> list[RankReport]:
    """Reports of two ranks whose device may be one that the profiler knows."""

    def run(context: RankContext) -> RankReport:
        device, rank = CpuDevice(2), int(os.environ["RANK"])
        device.profiler_activity = activity
        join_process_group(device, 1, 60.0)
        loop = StepLoop(UnevenTrainer(), torch.ones(8, 8), context, device)
        loop.timed_step()
        start = time.monotonic()
        # Without the decisions of a window between them, whose broadcast makes ranks wait for one another as well.
        times = [loop.timed_step() for _ in range(STEPS)]
        end = time.monotonic()
        if not readable and rank:
            (context.workdir / f"trace-{rank}.json" / "full").mkdir(parents=True)  # where its file should be
        step_trace = loop.trace(times, room if rank else 1 << 40, in_one_group=True)
        state = loop.probe(1)
        leave_process_group()
        window = {"step_times_s": times, "window_start": start, "window_end": end}
        return RankReport(rank=rank, status=Status.OK, step_trace=step_trace, **window, **state)

    def supervised() -> list[str]:
        ending = conclude([supervise(Launch(run, 2, folder, time.monotonic() + budget_s), 1 << 40, [])])
        assert ending.status is Status.OK, ending.reason
        return [report.model_dump_json() for report in ending.reports]

    return [RankReport.model_validate_json(report) for report in in_fork(supervised)]


def test_slowest_steps_add_up_to_no_more_than_the_window(tmp_path: Path) -> None:
    reports = measured(tmp_path)
    start, end = window_of(reports)
    steps = slowest([report.step_times_s for report in reports])
    assert all(seconds >= SLOW_S for seconds in steps)
    assert sum(steps) <= end - start
    assert all(min(report.step_times_s) < SLOW_S for report in reports), "a rank's clock ran while it waited"


def test_traced_steps_are_no_part_of_the_window(tmp_path: Path) -> None:
    # A CPU has no kernels: what its profiler records shows that the way from the steps to the report is whole.
    for report in measured(tmp_path, activity="CPU"):
        assert (report.step_trace.steps, report.step_trace.compute, report.step_trace.collectives) == (2, [], {})
        assert len(report.losses) == STEPS + 2


def test_a_device_without_kernels_is_not_traced(tmp_path: Path) -> None:
    assert [report.step_trace for report in measured(tmp_path)] == [None, None]


def test_a_rank_without_room_for_a_trace_keeps_all_from_it(tmp_path: Path) -> None:
    assert [report.step_trace for report in measured(tmp_path, activity="CPU", room=1 << 20)] == [None, None]


def test_a_trace_does_not_take_the_end_of_the_budget(tmp_path: Path) -> None:
    reports = measured(tmp_path, activity="CPU", budget_s=TRACE_RESERVE_S)
    assert [report.step_trace for report in reports] == [None, None]


def test_a_trace_that_cannot_be_read_costs_no_measurement(tmp_path: Path) -> None:
    first, second = measured(tmp_path, activity="CPU", readable=False)
    assert first.step_trace is not None
    assert (second.status, second.step_trace) == (Status.OK, None)
