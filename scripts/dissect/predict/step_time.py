"""Predicted time and energy of a training step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from dissect.base.outcome import Phase
from dissect.cells.frameworks import framework
from dissect.cells.spec import TrainingSpec
from dissect.predict.curves import MEASURED, Curves, Datasheet, MeasuredOperator, TimeOrigin
from dissect.predict.gpu_power import energy_of
from dissect.predict.host_cost import HostCost, MeasuredStep, launch_cost
from dissect.predict.phase_times import Times, busy_s, step_s, times_of
from dissect.predict.predicted_value import PredictedValue
from dissect.predict.rank_work import StepWork
from dissect.predict.repetition import step_identity

PartName = Literal["compute", "exposed communication", "optimizer", "offload", "launch"]
OFF: dict[TimeOrigin, float] = {MEASURED: 0.07, "datasheet": 0.16}
"""Standard deviation of the work of a GPU, as a share, by where the times of its operators come from.

Of datasheets: what published speeds of GeForce cards differ by (docs/prediction.md) is 1.9 of it.
"""
OFF_OFFLOAD = 0.25
"""The same of offloading, of which two cells are known: LoRA with ZeRO-2 and 3 on H200."""
DEVIATIONS = {"busy": 1.3, "machine": 1.8, "elsewhere": 1.9}
"""Ends of the interval in standard deviations: where GPUs are busy, and where they wait for a known or another host.

Measured: conformal quantiles for 95 % over the shipped cells, each predicted from the others. The busy cells are too
few for one: theirs is the least with which all are inside, and 80 % of the runs that others publish.
"""
BUSY = 0.8
"""Share of a step from which on its GPUs count as busy."""


@dataclass(frozen=True)
class TimePart:
    """A part of a step."""

    name: PartName
    seconds: float
    origin: str
    """Where the number comes from: operators measured on this GPU, a datasheet, or measured cells."""


@dataclass(frozen=True)
class TimePrediction:
    """Predicted time of a step on the GPUs of a spec."""

    parts: tuple[TimePart, ...]
    """Parts one after the other: ``launch`` is the time in which GPUs wait for their host."""
    low_s: float
    high_s: float
    host: HostCost
    """What a launch costs; its cells correct the prediction."""
    tokens: int
    """Tokens of a step over all GPUs."""
    n_gpus: int

    @property
    def step_s(self) -> float:
        """Predicted seconds of a step."""
        return sum(part.seconds for part in self.parts)

    @property
    def origin(self) -> str:
        """Where the times of its kernels come from: the least certain of all."""
        return self.parts[0].origin

    @property
    def busy_share(self) -> float:
        """Share of the step in which a GPU does not wait for its host."""
        return 1 - sum(part.seconds for part in self.parts if part.name == "launch") / self.step_s

    @property
    def is_busy(self) -> bool:
        """Whether GPUs seldom wait for their host."""
        return self.busy_share >= BUSY

    def energy_j(self, limit_w: float) -> PredictedValue[float]:
        """Joules of a step over all GPUs, each with a power limit of ``limit_w`` watts."""
        work = self.busy_share * self.step_s
        works = PredictedValue(work, min(work, self.low_s), min(work, self.high_s))
        return energy_of(PredictedValue(self.step_s, self.low_s, self.high_s), works, self.n_gpus * limit_w)


_RANKS: tuple[TimeOrigin, ...] = (MEASURED, "datasheet", "unknown")
"""Origins from the most certain to the least."""


class Pace:
    """Predicts times from operators that were measured, and from what datasheets say."""

    def __init__(self, operators: Sequence[MeasuredOperator]) -> None:
        """``operators`` may be of several GPUs; a prediction takes those of its own."""
        self._operators = operators
        self._curves: dict[tuple[str, ...], Curves] = {}
        self._last: tuple[TrainingSpec, dict[int, StepWork | None]] | None = None

    def predict(self, spec: TrainingSpec, batch: int, sheet: Datasheet, host: HostCost) -> TimePrediction | None:
        """The predicted time of a step with ``batch`` sequences per GPU.

        None on ``cpu``, where the framework does not say, and where the times of operators are unknown.
        """
        work, curves = self._work_of(spec, batch), self._curves_of(spec, sheet)
        if work is None:
            return None
        times, origins = times_of(work, curves), {phase: curves.origin(each) for phase, each in work.items()}
        worst = max(origins.values(), key=_RANKS.index)
        if worst == "unknown":
            return None
        passes = [phase for phase in times if phase is not Phase.OPTIMIZER]
        step, offload = step_s(times, host.launch_s), sum(each.offload_s for each in times.values())
        parts = (
            TimePart("compute", sum(times[phase].compute_s for phase in passes), worst),
            TimePart("exposed communication", sum(each.exposed_s for each in times.values()), worst),
            TimePart("optimizer", times[Phase.OPTIMIZER].compute_s, origins[Phase.OPTIMIZER]),
            TimePart("offload", offload, worst),
            TimePart("launch", step - busy_s(times), host.source),
        )
        low, high = _ends(times, host, OFF[worst] * busy_s(times) + OFF_OFFLOAD * offload)
        tokens = batch * spec.hardware.n_gpus * spec.workload.seq_len
        return TimePrediction(parts, low, high, host, tokens, spec.hardware.n_gpus)

    def measured_step(
        self, cell: str, spec: TrainingSpec, batch: int, sheet: Datasheet, step: float, machine: frozenset[str]
    ) -> MeasuredStep | None:
        """The launch cost that a cell with steps of ``step`` seconds shows; None where launches do not limit it."""
        work = work_of(spec, batch)
        cost = launch_cost(times_of(work, self._curves_of(spec, sheet)), step) if work else None
        if cost is None:
            return None
        return MeasuredStep(cell, step_identity(spec, batch), spec.hardware.gpu_model, machine, cost)

    def _work_of(self, spec: TrainingSpec, batch: int) -> StepWork | None:
        """The work of a rank, kept for the next spec if that is the same on another GPU."""
        if self._last is None or not _is_same_work(self._last[0], spec):
            self._last = spec, {}
        known = self._last[1]
        if batch not in known:
            known[batch] = work_of(spec, batch)
        return known[batch]

    def _curves_of(self, spec: TrainingSpec, sheet: Datasheet) -> Curves:
        hardware, dtype = spec.hardware, spec.workload.dtype
        name = (hardware.gpu_model, hardware.interconnect, dtype, repr(sheet))
        if name not in self._curves:
            self._curves[name] = Curves(self._operators, sheet, hardware, dtype)
        return self._curves[name]


def _is_same_work(one: TrainingSpec, other: TrainingSpec) -> bool:
    on, there = one.hardware, other.hardware
    same_gpus = (on.device, on.n_gpus, on.n_nodes) == (there.device, there.n_gpus, there.n_nodes)
    same_work = (one.model, one.method, one.workload) == (other.model, other.method, other.workload)
    return same_gpus and one.framework == other.framework and same_work


def _ends(times: Times, host: HostCost, off_s: float) -> tuple[float, float]:
    """Ends of the interval: what the host may be off by and what the work may (``off_s`` a deviation), squared sums."""
    step = step_s(times, host.launch_s)
    waits = "machine" if host.is_here else "elsewhere"
    deviations = DEVIATIONS["busy" if busy_s(times) >= BUSY * step else waits]
    factor = math.exp(deviations * host.spread)
    less, more = (step_s(times, launch) - step for launch in (host.launch_s / factor, host.launch_s * factor))
    return max(0.0, step - math.hypot(deviations * off_s, less)), step + math.hypot(deviations * off_s, more)


def work_of(spec: TrainingSpec, batch: int) -> StepWork | None:
    """Work of a rank by phase; None on ``cpu``, and where the framework does not say."""
    module = framework(spec.framework).step_work
    if module is None or spec.hardware.device == "cpu":
        return None
    found: StepWork | None = import_module(module).step_work(spec, batch)
    return found
