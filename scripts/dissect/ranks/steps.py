"""The measured loop that all training frameworks share: warm-up, measured window, and when each ends."""

import gc
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from dissect.base.outcome import InvalidMeasurement, Phase
from dissect.cells.spec import Sampling
from dissect.machine.device import Device
from dissect.ranks.messages import RankContext
from dissect.statistics.step_times import MIN_SAMPLES, estimate, settled

if TYPE_CHECKING:
    import torch

REASONS = ("settled", "interval", "max_steps", "window", "budget")
"""Why steps end; ``settled`` ends the warm-up only, ``interval`` and ``window`` the measured window only."""
TEARDOWN_S = 2.0
"""Left of the budget for reporting and for the end of the processes."""

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
        warmup, ended_by = self._series(lambda times, left: warmup_verdict(times, sampling, left))
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

    def timed_step(self) -> float:
        """Seconds from one idle device to the next; the loss is fetched after the clock has stopped."""
        self._device.synchronize()
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


def warmup_verdict(times: list[float], sampling: Sampling, seconds_left: float) -> str | None:
    """Between its least and most steps the warm-up ends once the step time has settled.

    It also ends when no more than the least measured steps still fit the budget.
    """
    if len(times) < sampling.warmup_min_steps:
        return None
    if settled(times):
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
