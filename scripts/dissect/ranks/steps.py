"""The measured loop that all training frameworks share: warm-up, measured window, and when each ends."""

import gc
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any, Protocol, get_args

from dissect.base.outcome import InvalidMeasurement, Phase, StoppedBy
from dissect.cells.spec import Sampling
from dissect.machine.device import Device
from dissect.ranks.device_time import StepTrace, step_trace
from dissect.ranks.messages import RankContext
from dissect.ranks.trace import read_trace
from dissect.statistics.step_times import MIN_SAMPLES, estimate, settled

if TYPE_CHECKING:
    import torch

REASONS = ("settled", *get_args(StoppedBy))
"""Why steps end; ``settled`` ends the warm-up only, ``interval`` and ``window`` the measured window only."""
TEARDOWN_S = 2.0
"""Left of the budget for reporting and for the end of the processes."""
TRACED_STEPS, TRACED_S = 2, 2.0
"""Steps that are traced for the device time, and the seconds that they may take; a slow step is traced once."""
TRACE_RESERVE_S = 30.0
"""Left of the budget for the profiler, its file and the time to read it: a measured cell must not time out by them."""
TRACE_BYTES = 512 * 2**20
"""Memory of the device that must be free for a trace: a measured cell must not run out of memory by it."""

SPANS = (1, 2)
"""Steps on either side of the comparison that ends a warm-up: two that agree, or two pairs where single steps jump."""

Verdict = Callable[[list[float], float], str | None]
"""(step times so far, seconds left of the budget) -> why to stop, or None to go on."""


class DivergedError(InvalidMeasurement):
    """The loss is not finite any more: what was timed is no training."""


class Trainer(Protocol):
    """One framework's training step, and nothing of how it is timed."""

    def train_step(self, tokens: "torch.Tensor", enter: Callable[[Phase], None]) -> "torch.Tensor":
        """Forward, backward and optimizer step on ``tokens`` [batch, seq_len]; returns the detached loss.

        Calls ``enter`` before each of the three. Must not wait for the device.
        """
        ...


class StepLoop:
    """Synchronised steps of one rank; rank 0 decides when warm-up and window end, and all ranks follow."""

    def __init__(self, trainer: Trainer, tokens: "torch.Tensor", context: RankContext, device: Device) -> None:
        self._trainer, self._tokens, self._context, self._device = trainer, tokens, context, device
        self._losses: list[float] = []

    def measure(self, sampling: Sampling) -> dict[str, Any]:
        """Warm up, then measure; returns the fields of ``RankReport`` that come of it."""
        warmup, ended_by = self._series(lambda times, left: warmup_verdict(times, sampling, left, SPANS))
        self._device.reset_peak_memory()
        with no_garbage_collection():
            energy_before, window_start = self._device.energy_j(), time.monotonic()
            window, reason = self._series(lambda times, left: window_verdict(times, sampling, left))
            window_end, energy_after = time.monotonic(), self._device.energy_j()
        return {
            "warmup_step_times_s": warmup,
            "warmup_settled": ended_by == "settled",
            "step_times_s": window,
            "stopped_by": reason,
            "energy_j": None if energy_before is None or energy_after is None else energy_after - energy_before,
            "window_start": window_start,
            "window_end": window_end,
            **self._end_state(),
        }

    def probe(self, steps: int) -> dict[str, Any]:
        """Run so many steps only to see that they fit; returns the fields of ``RankReport`` that come of it."""
        self._device.reset_peak_memory()
        for _ in range(steps):
            self.timed_step()
        return self._end_state()

    def _series(self, verdict: Verdict) -> tuple[list[float], str]:
        """Step times in seconds, at least one, until there is a reason to stop; and the reason."""
        times: list[float] = []
        while True:
            times.append(self.timed_step())
            reason = self._agree(lambda: verdict(times, self._context.seconds_left()))
            if reason is not None:
                return times, reason

    def trace(self, times: list[float], memory_bytes: int, in_one_group: bool) -> StepTrace | None:
        """Record a few more steps of those that took ``times``; None where there is no trace, or none to read.

        The profiler is told of the device only, so that the host loses no time to it. The losses do not count. Ranks
        need different times to start the profiler, and the first collective would wait for the last: so a step that
        does not count comes first, and what does starts after a barrier.
        """
        activity = self._device.profiler_activity
        if activity is None or not (steps := self._least(self._traceable(times, memory_bytes))):
            return None
        from torch import distributed
        from torch.profiler import ProfilerActivity, profile

        with no_garbage_collection(), profile(activities=[getattr(ProfilerActivity, activity)]) as profiler:
            self._untimed_step()
            distributed.barrier()
            self._device.synchronize()
            since_ns = time.time_ns()
            for _ in range(steps):
                self._untimed_step()
        path = self._context.workdir / f"trace-{os.environ['RANK']}.json"
        try:
            profiler.export_chrome_trace(str(path))
            return step_trace(read_trace(path), steps, self._device.backend, in_one_group, since_ns)
        except Exception:  # whatever a profiler gets wrong, the measurement is done
            print("the device time of a step is not known: its trace cannot be read", file=sys.stderr)
            traceback.print_exc()
            return None

    def _traceable(self, times: list[float], memory_bytes: int) -> int:
        """How many steps this rank may trace, after one that does not count."""
        step_s = median(times)
        steps = max(1, min(TRACED_STEPS, int(TRACED_S / step_s)))
        fits = self._device.driver_memory_bytes() + TRACE_BYTES <= memory_bytes
        in_time = self._context.seconds_left() > 2 * (steps + 1) * step_s + TRACE_RESERVE_S
        return steps if fits and in_time else 0

    def _untimed_step(self) -> None:
        """Train one step to its end; its loss is not kept."""
        self._trainer.train_step(self._tokens, self._context.enter)
        self._device.synchronize()

    def timed_step(self) -> float:
        """Seconds from one idle device to the next; the loss is fetched after the clock has stopped.

        No rank's clock starts before all are through with the step before, so that the slowest ranks' times of all
        steps add up to no more than the window.
        """
        from torch import distributed

        self._device.synchronize()
        distributed.barrier()
        start = time.perf_counter()
        loss = self._trainer.train_step(self._tokens, self._context.enter)
        self._device.synchronize()
        seconds = time.perf_counter() - start
        self._losses.append(float(loss))
        return seconds

    def _agree(self, decide: Callable[[], str | None]) -> str | None:
        """Rank 0's decision, on all ranks: their clocks and times differ, their number of steps must not."""
        import torch
        from torch import distributed

        code = torch.full((1,), -1, dtype=torch.int32, device=self._device.torch_device)
        if distributed.get_rank() == 0 and (reason := decide()) is not None:
            code.fill_(REASONS.index(reason))
        distributed.broadcast(code, src=0)
        index = int(code.item())
        return None if index < 0 else REASONS[index]

    def _least(self, number: int) -> int:
        """The smallest of the ranks' numbers, on all ranks."""
        import torch
        from torch import distributed

        least = torch.full((1,), number, dtype=torch.int32, device=self._device.torch_device)
        distributed.all_reduce(least, op=distributed.ReduceOp.MIN)
        return int(least.item())

    def _end_state(self) -> dict[str, Any]:
        """Losses and memory at the end. Raises ``DivergedError``, also because JSON has no word for such a loss."""
        for step, loss in enumerate(self._losses):
            if not math.isfinite(loss):
                raise DivergedError(f"the loss was {loss} at step {step}")
        return {
            "losses": self._losses,
            "peak_memory_bytes": self._device.peak_memory_bytes(),
            "driver_memory_bytes": self._device.driver_memory_bytes(),
        }


def warmup_verdict(
    times: list[float], sampling: Sampling, seconds_left: float, spans: Sequence[int] = (2,)
) -> str | None:
    """Between its least and most steps the warm-up ends once the step time has settled, over any of the spans.

    It also ends when no more than the least measured steps still fit the budget.
    """
    if len(times) < sampling.warmup_min_steps:
        return None
    if any(settled(times, span) for span in spans):
        return "settled"
    if len(times) >= sampling.warmup_max_steps:
        return "max_steps"
    return "budget" if seconds_left < (sampling.min_steps + 1) * times[-1] + TEARDOWN_S else None


def window_verdict(times: list[float], sampling: Sampling, seconds_left: float) -> str | None:
    """The measured window ends when the interval is narrow enough, or else by steps, its own length or the budget.

    Never before ``min_steps``: a budget too short for those ends in the parent's timeout. The interval counts once
    there are samples enough for it to hold with 95 %. The budget is spent when two more steps, at the pace of the
    slowest, would overrun it.
    """
    if len(times) < sampling.min_steps:
        return None
    if len(times) >= MIN_SAMPLES and estimate(times).relative_half_width <= sampling.interval_target:
        return "interval"
    if len(times) >= sampling.max_steps:
        return "max_steps"
    if sum(times) >= sampling.window_s:
        return "window"
    return "budget" if seconds_left < 2 * max(times) + TEARDOWN_S else None


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Python's cyclic collector is off and what exists already is out of its sight, so that no step pays for it."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
