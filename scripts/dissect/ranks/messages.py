"""What passes between the measuring parent and the ranks that it forks."""

import time
from collections.abc import Callable
from ctypes import c_double, c_int
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt, PositiveInt

from dissect.base.model import Model
from dissect.base.outcome import Flag, Phase, Status
from dissect.base.text import without_controls
from dissect.ranks.device_time import StepTrace
from dissect.results.result import Anchor

PHASES = tuple(Phase)
KEPT_FILES = "kept"
"""Folder below the work folder for files that outlive the ranks."""


class RankReport(Model):
    """How one rank fared, written by it as ``rank-<rank>.json`` in the work folder; times are CLOCK_MONOTONIC."""

    rank: NonNegativeInt
    status: Status
    phase: Phase | None = None
    """Phase in which the rank ended, unless ``ok``."""
    reason: str | None = None
    warmup_step_times_s: list[float] = []
    step_times_s: list[float] = []
    """Synchronised steps of the measured window."""
    warmup_settled: bool = False
    stopped_by: str | None = None
    """``interval``, ``max_steps``, ``window`` or ``budget``."""
    losses: list[float] = []
    """Loss of every step, warm-up included."""
    peak_memory_bytes: NonNegativeInt = 0
    driver_memory_bytes: NonNegativeInt = 0
    """Driver total minus free at the end; on ``cpu`` the resident set."""
    energy_j: float | None = None
    parameters: NonNegativeInt = 0
    trainable_parameters: NonNegativeInt = 0
    attention_kernel: str | None = None
    flags: list[Flag] = []
    """Reasons to doubt the numbers that only the rank knows."""
    ready_at: float = 0.0
    """Time at which the process group was ready."""
    built_at: float = 0.0
    compile_s: float = 0.0
    """Seconds before ``built_at`` in which the framework compiled the model."""
    window_start: float = 0.0
    window_end: float = 0.0
    traced_at: float = 0.0
    """Time at which nothing was left to be measured; 0 where nothing follows the window."""
    step_trace: StepTrace | None = None
    """What the device did in some steps after the window; None where it was not traced."""
    anchor: Anchor | None = None
    findings: dict[str, Any] = {}
    """What only this stage's runner reports; its own summary reads it."""


@dataclass(frozen=True)
class RankContext:
    """What a rank knows of the run that it is part of.

    The shared numbers have no locks: a rank that is killed while it holds one would block its parent for ever.
    """

    workdir: Path
    phase: c_int
    """Index into ``PHASES`` of what this rank does now: the parent reads it when it has to end the rank."""
    deadline: c_double
    """CLOCK_MONOTONIC time at which the cell's budget is spent; the parent moves it on after a suspension."""
    probe_steps: PositiveInt | None = None
    """Set in the trials of a ``max`` search: run so many steps, report memory, measure nothing."""

    def enter(self, phase: Phase) -> None:
        """Record the phase that the rank enters."""
        self.phase.value = PHASES.index(phase)

    @property
    def current(self) -> Phase:
        """The phase that the rank is in."""
        return PHASES[self.phase.value]

    def keep_file(self, name: str, data: bytes) -> None:
        """Keep a file for the cell's folder in the store."""
        folder = self.workdir / KEPT_FILES
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)

    def seconds_left(self) -> float:
        """Seconds left of the budget; negative once it is spent."""
        return self.deadline.value - time.monotonic()


RankEntry = Callable[[RankContext], RankReport]
"""What a runner gives the launcher: called once in each forked rank, RANK, WORLD_SIZE, LOCAL_RANK set."""


def describe(error: BaseException) -> str:
    """One line: kind of error and first line of its message; what libraries put below is advice."""
    lines = without_controls(str(error)).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__
