"""Predicted wall time of a run: its start and its steps or load, or what measured runs of its kind took."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from dissect.cells.spec import Hardware, InspectSpec, OperatorSpec, Sampling, ServeSpec, Spec, TrainingSpec
from dissect.predict.outlook import Outlook
from dissect.predict.step_time import TimePrediction

WARMUP_STEPS, SLOW_STEPS, WARMUP_S = 7.5, 3.5, 0.8
"""A warm-up lasts as long as so many steps and seconds: the first steps take so many more than they are.

Measured: fitted to the 105 shipped runs of training, whose steps take 0.1 to 2 s.
"""
TRACED_STEPS, TRACE_S = 3, 2.0
"""Steps after the window that are traced, and seconds to read the trace. Measured: shipped cells on H200 and H100."""
TRIAL_STEPS, TRIAL_S = 2, 1.0
"""A trial lasts as long as so many steps and seconds beside its start: three steps where the batch fits
(``PROBE_STEPS`` of the stage), about one where it does not. Measured: 17 runs of the shipped searches, whose
steps take 0.3 to 1.3 s.
"""
SPREAD, BETWEEN_GPUS = 0.4, 0.3
"""Standard deviations of the logarithm of what starts take, and whole cells, within a kind and from GPU to GPU.

Measured: 0.34 to 0.39 over the shipped cells of training, operators and servers, each held against the others.
"""
DEVIATIONS = 2.0
"""Ends of the interval, in standard deviations."""

Kind = tuple[object, ...]


class Tries(NamedTuple):
    """Trials of a search for the largest batch, or rates that a search for one tries."""

    expected: int
    fewest: int
    most: int


@dataclass(frozen=True)
class WallTime:
    """Predicted wall time of one run, in seconds."""

    seconds: float
    low_s: float
    high_s: float
    origin: str
    """Where it comes from, in words."""
    needs_s: float | None = None
    """The least that its steps and trials need of its budget; None where that is not predicted."""
    budget_s: float | None = None
    search_s: float = 0.0
    """The part of it that a search takes: trials before the run, or all loads of a search for a rate."""


@dataclass(frozen=True)
class LoadTime:
    """Predicted duration of a server's load, sent once, in seconds; of a search for a rate that of all its loads."""

    seconds: float
    low_s: float
    high_s: float
    tries: Tries | None = None
    """Rates that a search tries; None of one load."""


@dataclass(frozen=True)
class MeasuredWall:
    """Wall time of a measured run."""

    spec: Spec
    total_s: float
    start_s: float
    """The part of it that is neither steps and trials nor a server's load."""
    trial_start_s: float = 0.0
    """The part of the start that each trial has too: what follows imports and compilation, which all trials share."""


class _Typical:
    """Median times by kind, on the same GPU or on any of the same kind of device."""

    def __init__(self, found: Iterable[tuple[Kind, Hardware, float]]) -> None:
        grouped: dict[tuple[Kind, str], list[float]] = {}
        for kind, hardware, seconds in found:
            for place in {hardware.gpu_model, hardware.device}:  # one on a CPU that is named so
                grouped.setdefault((kind, place), []).append(seconds)
        self._times = {name: (median(times), len(times)) for name, times in grouped.items()}

    def of(self, kind: Kind, hardware: Hardware) -> WallTime | None:
        """The median of a kind with its interval; None where none was measured."""
        here, there = self._times.get((kind, hardware.gpu_model)), self._times.get((kind, hardware.device))
        found = here or there
        if found is None:
            return None
        seconds, number = found
        spread = math.hypot(SPREAD * math.sqrt(1 + 1 / number), 0.0 if here else BETWEEN_GPUS)
        factor = math.exp(DEVIATIONS * spread)
        where = hardware.gpu_model if here else "other GPUs"
        return WallTime(seconds, seconds / factor, seconds * factor, f"measured runs of its kind on {where}: {number}")


class WallTimes:
    """Predicts wall times from those of measured runs."""

    def __init__(self, measured: Iterable[MeasuredWall]) -> None:
        """``measured`` are runs that ended ``ok``, on any GPU and of any stage."""
        known = list(measured)
        started = [(each.spec, each.start_s) for each in known if isinstance(each.spec, TrainingSpec | ServeSpec)]
        self._starts = _Typical((_start_kind(spec), spec.hardware, seconds) for spec, seconds in started)
        self._trial_starts = _Typical(
            (_start_kind(each.spec), each.spec.hardware, each.trial_start_s)
            for each in known
            if isinstance(each.spec, TrainingSpec)
        )
        self._wholes = _Typical((_kind(each.spec), each.spec.hardware, each.total_s) for each in known)

    def predict(
        self,
        spec: Spec,
        work: TimePrediction | LoadTime | None = None,
        expected: Outlook | None = None,
        trials: Tries | None = None,
    ) -> WallTime | None:
        """The wall time of a run, from what is predicted of its steps or its load; None where nothing is known.

        What is ``expected`` of its memory says whether it gets to its steps; ``trials`` come before these.
        """
        found = None
        if isinstance(spec, TrainingSpec | ServeSpec) and (start := self._starts.of(_start_kind(spec), spec.hardware)):
            if isinstance(spec, TrainingSpec) and not isinstance(work, LoadTime):
                trial = self._trial_starts.of(_start_kind(spec), spec.hardware) or start
                found = _trained(spec, start, (trial, trials or Tries(0, 0, 0)), work, expected)
            elif isinstance(spec, ServeSpec) and isinstance(work, LoadTime):
                found = _served(spec, start, work)
        return found or self._wholes.of(_kind(spec), spec.hardware)


def _served(spec: ServeSpec, start: WallTime, load: LoadTime) -> WallTime:
    """A run whose load is sent as often as the spec says."""
    times, budget = spec.workload.bursts + spec.workload.calibrate, spec.sampling.budget_s
    ends = ((start.seconds, load.seconds), (start.low_s, load.low_s), (start.high_s, load.high_s))
    seconds, low, high = (min(budget, start_s + times * load_s) for start_s, load_s in ends)
    origin = f"predicted load; its start: {start.origin}"
    if load.tries:  # the budget ends a search with what it has found
        return WallTime(seconds, low, high, origin, search_s=seconds - start.seconds)
    return WallTime(seconds, low, high, origin, start.seconds + times * load.seconds, budget)


def _trained(
    spec: TrainingSpec,
    start: WallTime,
    searching: tuple[WallTime, Tries],
    step: TimePrediction | None,
    expected: Outlook | None,
) -> WallTime | None:
    """A run of training, with the starts of its trials; None where neither steps nor running out are predicted."""
    if step is None and expected is not Outlook.RUNS_OUT:
        return None
    trial, trials = searching
    longest = start.high_s
    if step:
        longest = _run_s(spec, start.high_s, step.high_s, trials.most * _trial_s(trial.high_s, step.high_s))
    if step is None or expected is Outlook.RUNS_OUT:
        return WallTime(start.seconds, start.low_s, longest, f"its start: {start.origin}")
    least = start.low_s
    if expected is not Outlook.CLOSE:
        least = _run_s(spec, start.low_s, step.low_s, trials.fewest * _trial_s(trial.low_s, step.low_s))
    trials_s = trials.expected * _trial_s(trial.seconds, step.step_s)
    seconds = _run_s(spec, start.seconds, step.step_s, trials_s)
    fewest_steps = SLOW_STEPS + spec.sampling.warmup_min_steps + spec.sampling.min_steps
    needs_s = fewest_steps * step.step_s + trials_s
    origin = f"predicted steps; its start: {start.origin}"
    budget = spec.sampling.budget_s
    return WallTime(seconds, least, longest, origin, needs_s, budget, min(budget, trials_s))


def _run_s(spec: TrainingSpec, start_s: float, step_s: float, trials_s: float) -> float:
    """Seconds of a run and of the trials before it; what follows the start lasts no longer than the budget."""
    return start_s + min(spec.sampling.budget_s, steps_s(spec.sampling, step_s) + trials_s)


def _trial_s(start_s: float, step_s: float) -> float:
    return start_s + TRIAL_S + TRIAL_STEPS * step_s


def steps_s(sampling: Sampling, step_s: float) -> float:
    """Seconds of warm-up, window and trace; the window is that of an interval that does not get narrow enough."""
    window = max(sampling.min_steps * step_s, min(sampling.window_s, sampling.max_steps * step_s))
    return WARMUP_S + (WARMUP_STEPS + TRACED_STEPS) * step_s + window + TRACE_S


def _start_kind(spec: TrainingSpec | ServeSpec) -> Kind:
    """What decides how long a start takes: the libraries, and whether layers are compiled."""
    if isinstance(spec, ServeSpec):
        return (spec.framework,)
    return spec.framework, spec.method.is_compiled, spec.stage == "profile"


def _kind(spec: Spec) -> Kind:
    """What decides how long a cell takes where its steps are not predicted."""
    kind: Kind = (spec.stage, spec.framework)
    if isinstance(spec, InspectSpec | OperatorSpec):
        return kind
    kind = (*kind, repr(spec.model))
    if isinstance(spec, ServeSpec):
        load = spec.workload
        return (*kind, load.arrival.label, load.requests, load.bursts)
    return (*kind, spec.method.is_compiled, spec.workload.batch == "max")
