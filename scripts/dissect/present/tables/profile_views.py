"""Views of profiled cells by phase of the step and by module of the model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from dissect.base.outcome import Phase
from dissect.metrics.profile import Direction, Group, Part, PartTime, PhaseTimes, ProfileMetrics
from dissect.present.tables.columns import Column, Combination, Quantity, Record, Scalar, metrics_of, over_runs
from dissect.present.tables.view import View
from dissect.results.result import Result

STEP = "step"
_DIRECTIONS: tuple[Direction, ...] = ("forward", "recomputation", "backward")
_FUSED: tuple[Part, ...] = ("attention_kernel",)
_APART: tuple[Part, ...] = ("scores", "softmax", "weighted_values")


@dataclass(frozen=True)
class PhaseRow:
    """Times of one phase, or of the whole step, in seconds."""

    overall: float
    compute: float
    recomputation: float
    overlapped: float
    exposed: float
    unprofiled: float | None = None
    """Median of the step without the profiler; known for the whole step only."""

    @property
    def idle(self) -> float:
        """Seconds in which no kernel ran."""
        return max(0.0, self.overall - self.compute - self.exposed)


@dataclass(frozen=True)
class ModuleRow:
    """Kernel time of a module in one direction."""

    time: float
    phase_compute: float
    """Kernel time of all modules in that phase."""
    calls: float


def _phases(_: Record, run: Result) -> Iterator[tuple[Mapping[str, Scalar], PhaseRow]]:
    metrics = metrics_of(run, ProfileMetrics)
    if metrics is None:
        return
    phases = [_phase(times) for times in metrics.dissection.phases]
    for times, phase in zip(metrics.dissection.phases, phases, strict=True):
        yield {"step_phase": str(times.phase)}, phase
    whole = PhaseRow(
        overall=sum(phase.overall for phase in phases),
        compute=sum(phase.compute for phase in phases),
        recomputation=sum(phase.recomputation for phase in phases),
        overlapped=sum(phase.overlapped for phase in phases),
        exposed=sum(phase.exposed for phase in phases),
        unprofiled=metrics.training.step_time_s.median,
    )
    yield {"step_phase": STEP}, whole


def _phase(times: PhaseTimes) -> PhaseRow:
    return PhaseRow(
        overall=times.overall_s,
        compute=times.compute_s,
        recomputation=times.recomputation_s,
        overlapped=times.communication_overlapped_s,
        exposed=times.communication_exposed_s,
    )


def modules_of(metrics: ProfileMetrics) -> Iterator[tuple[Mapping[str, Scalar], ModuleRow]]:
    """Every module in every direction of the model, with 0 where nothing ran; the optimizer is a phase of its own."""
    dissection = metrics.dissection
    compute = {times.phase: times.compute_s for times in dissection.phases}
    known = {(part.part, part.direction): part for part in (*dissection.parts, *dissection.groups)}
    absent = _FUSED if any(part in _APART for part, _ in known) else _APART
    names = [name for name in (*get_args(Part), *get_args(Group)) if name not in (*absent, "optimizer")]
    directions = [each for each in _DIRECTIONS if any(part.direction == each for part in known.values())]
    for name in names:
        for direction in directions:
            yield {"module": name, "direction": direction}, _module(known.get((name, direction)), compute)


def _module(part: PartTime | None, compute: Mapping[Phase, float]) -> ModuleRow:
    return ModuleRow(part.time_s, compute[part.phase], part.calls) if part else ModuleRow(0.0, 0.0, 0.0)


def _modules(_: Record, run: Result) -> Iterator[tuple[Mapping[str, Scalar], ModuleRow]]:
    metrics = metrics_of(run, ProfileMetrics)
    if metrics:
        yield from modules_of(metrics)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _dissected(record: Record, name: str) -> Scalar:
    def of(run: Result) -> Scalar:
        metrics = metrics_of(run, ProfileMetrics)
        return getattr(metrics.dissection, name) if metrics else None

    return over_runs(record, of)


def _steps(run: Result) -> int | None:
    metrics = metrics_of(run, ProfileMetrics)
    return metrics.profiled_step_time_s.n if metrics else None


ORIGIN = (
    Column(
        "source",
        "what the times are of: kernels, or on cpu operators with their self time",
        lambda r: _dissected(r, "source"),
    ),
    Column(
        "profiled_steps", "steps under the profiler, of which every time is the mean", lambda r: over_runs(r, _steps)
    ),
    Column("attributed_share", "of the kernel time: what has a module", lambda r: _dissected(r, "attributed_share")),
    Column(
        "parts_deviation",
        "largest difference between the modules of a phase and its kernel time, as a share",
        lambda r: _dissected(r, "parts_deviation"),
    ),
)
"""Columns with the origin of a profile's numbers."""
KERNELS = "on cpu self time of operators in their place"

MODULE_TIME = Quantity(
    "module_time_s", "Time", "ms",
    f"kernel time per step, {KERNELS}; where kernels overlapped, each has an equal share",
    lambda m: m.time, scale=1e3,
)  # fmt: skip

PHASES = View(
    points=_phases,
    axes={"step_phase": "forward, backward, optimizer, or step for all of them"},
    quantities=(
        Quantity(
            "phase_time_s", "Overall", "ms", "time of the phase, under the profiler", lambda p: p.overall, scale=1e3
        ),
        Quantity(
            "unprofiled_time_s", "Without profiler", "ms", "median step before the profiler was started",
            lambda p: p.unprofiled, scale=1e3, absent="only the profiler tells the phases apart",
        ),
        Quantity(
            "compute_time_s", "Compute kernels", "ms",
            f"in which at least one kernel ran that does not communicate; {KERNELS}", lambda p: p.compute, scale=1e3,
        ),
        Quantity(
            "compute_share", "Compute kernels' share", "%",
            f"share of the phase in which at least one kernel ran that does not communicate; {KERNELS}",
            lambda p: _share(p.compute, p.overall), Combination.MEAN, scale=1e2, decimals=1,
        ),
        Quantity(
            "recomputation_time_s", "Recomputation", "ms", "of the compute kernels: forward work done once more",
            lambda p: p.recomputation, scale=1e3,
        ),
        Quantity(
            "communication_overlapped_s", "Communication, overlapped", "ms",
            "in which communication ran beside compute kernels", lambda p: p.overlapped, scale=1e3,
        ),
        Quantity(
            "communication_exposed_s", "Communication, not overlapped", "ms",
            "in which nothing but communication ran, waiting for other ranks included",
            lambda p: p.exposed, scale=1e3,
        ),
        Quantity(
            "communication_share", "Communication's share", "%",
            "share of the phase in which nothing but communication ran, waiting for other ranks included",
            lambda p: _share(p.exposed, p.overall), Combination.MEAN, scale=1e2, decimals=1,
        ),
        Quantity(
            "busy_share", "Busy", "%", "share of the phase in which any kernel ran",
            lambda p: _share(p.compute + p.exposed, p.overall), Combination.MEAN, scale=1e2, decimals=1,
        ),
        Quantity(
            "idle_share", "Idle", "%", "share of the phase in which no kernel ran",
            lambda p: _share(p.idle, p.overall), Combination.MEAN, scale=1e2, decimals=1,
        ),
    ),
    origin=ORIGIN,
)  # fmt: skip
"""View with one row per phase."""

MODULES = View(
    points=_modules,
    axes={
        "module": "part of the model, or several together: decoder_layer, attention, attention_core",
        "direction": "forward, recomputation (forward work within the backward phase) or backward",
    },
    quantities=(
        MODULE_TIME,
        Quantity(
            "module_share", "Share", "%",
            "of the phase's compute kernels; 'All' and 'to' sum over others, all other modules make up 100",
            lambda m: _share(m.time, m.phase_compute), Combination.MEAN, scale=1e2, decimals=1,
        ),
        Quantity(
            "module_calls", "Kernels", "", "kernels (on cpu operators) per step", lambda m: m.calls, Combination.MEAN,
            decimals=0,
        ),
    ),
    origin=ORIGIN,
)  # fmt: skip
"""View with one row per module and direction."""
