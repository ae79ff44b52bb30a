"""Predicted against measured time and energy of training steps, each cell predicted as if it had not been measured."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean, median
from typing import Any

from dissect.cells.manifest import Manifest, PlatformFacts
from dissect.cells.spec import OperatorSpec, TrainingSpec
from dissect.metrics.operators import CollectiveMetrics, GemmMetrics, MemcpyMetrics
from dissect.metrics.training import TrainingMetrics
from dissect.predict.curves import Datasheet, MeasuredOperator
from dissect.predict.host_cost import MeasuredStep, host_cost
from dissect.predict.step_time import Pace, TimePrediction, identity_of
from dissect.present.tables.columns import Record, gpus_of
from dissect.present.tables.grid import Grid, GridEntry
from dissect.present.tables.prediction_groups import ROW_NAMES, grouped, median_and_largest, training_numbers
from dissect.results.result import Result

TIME_COLUMNS = {
    "measured_step_s": "geometric mean of the runs' median step times",
    "predicted_step_s": "predicted time of a step",
    "step_low_s": "lower end of its interval",
    "step_high_s": "upper end of its interval",
    "step_error": "predicted / measured - 1",
    "step_covered": "whether the interval has the measured time",
    "compute_s": "predicted time of products and of kernels that move bytes, in both passes",
    "exposed_communication_s": "predicted time of communication beside which nothing else runs",
    "optimizer_s": "predicted time of the optimizer's kernels",
    "offload_s": "predicted time of copies from and to the host, and of its own arithmetic",
    "launch_s": "predicted time in which GPUs wait for their host",
    "time_origins": "where each part comes from, separated by ;",
    "launch_cost_s": "host time of a launch",
    "corrected_by": "cells that show the host time of a launch, separated by ;",
    "elsewhere_step_s": "predicted time where no cell of the same machine is known",
    "elsewhere_error": "its error",
    "elsewhere_covered": "whether its interval has the measured time",
    "predicted_tokens_per_s": "tokens of a step over all GPUs / predicted time",
    "measured_energy_j": "mean of the runs' energy of a step over all GPUs",
    "predicted_energy_j": "predicted energy of a step",
    "energy_low_j": "lower end of its interval",
    "energy_high_j": "upper end of its interval",
    "energy_error": "predicted / measured - 1",
}
"""Column of the CSV -> its meaning."""
TIME_HEADERS = (
    "Cells",
    "Median error (%)",
    "Largest error (%)",
    "In the interval",
    "Other machines: median (%)",
    "Largest (%)",
    "In the interval",
    "Energy: median (%)",
    "Largest (%)",
    "In the interval",
)
TIME_RULES = (
    "Errors are predicted / measured - 1, without sign. What a launch costs the host, and nothing else, is taken from "
    "other measured cells of the same machine; under other machines no cell of it is known. GPUs are busy where they "
    "are predicted to wait for their host for less than a fifth of a step."
)


@dataclass(frozen=True)
class ComparedTime:
    """A measured cell beside its prediction."""

    record: Record
    measured_s: float
    prediction: TimePrediction
    elsewhere: TimePrediction
    """The same where no cell of its machines is known."""
    energy_j: float | None
    """Measured energy of a step; None where it was not measured."""
    limit_w: float | None
    """Power limit of a GPU; None where no result has it."""

    @property
    def error(self) -> float:
        """Relative error of the time."""
        return self.prediction.step_s / self.measured_s - 1

    @property
    def elsewhere_error(self) -> float:
        """The same where no cell of its machines is known."""
        return self.elsewhere.step_s / self.measured_s - 1

    @property
    def energies(self) -> tuple[float, float, float] | None:
        """Predicted energy of a step with its interval; None without a power limit."""
        return self.prediction.energy_j(self.limit_w) if self.limit_w else None

    @property
    def energy_error(self) -> float | None:
        """Relative error of the energy; None where it was not measured."""
        return self.energies[0] / self.energy_j - 1 if self.energies and self.energy_j else None

    @property
    def energy_covered(self) -> bool:
        """Whether the interval has the measured energy."""
        return bool(self.energies and self.energy_j and self.energies[1] <= self.energy_j <= self.energies[2])

    def covers(self, prediction: TimePrediction) -> bool:
        """Whether the interval of a prediction has the measured time."""
        return prediction.low_s <= self.measured_s <= prediction.high_s


def datasheet(facts: PlatformFacts) -> Datasheet:
    """What a platform declares of its GPUs."""
    return Datasheet(dict(facts.peak_flops), facts.memory_bytes_per_s, facts.link_bytes_per_s)


def measured_operators(records: Iterable[Record]) -> list[MeasuredOperator]:
    """Numbers of the operator cells, of each the newest run."""
    return [
        MeasuredOperator(record.spec, run.metrics)
        for record in records
        if isinstance(record.spec, OperatorSpec)
        for run in record.results[-1:]
        if isinstance(run.metrics, GemmMetrics | MemcpyMetrics | CollectiveMetrics)
    ]


def measured_steps(records: Iterable[Record], pace: Pace) -> Iterator[MeasuredStep]:
    """What a launch costs in each training cell on each machine, where launches limit it."""
    for record in records:
        by_machine: dict[frozenset[str], list[TrainingMetrics]] = {}
        for run, metrics in _runs(record):
            by_machine.setdefault(machine_of(run), []).append(metrics)
        for machine, found in by_machine.items():
            spec, step = record.spec, _step_s(found)
            if isinstance(spec, TrainingSpec) and machine:
                sheet = datasheet(record.platform)
                if shown := pace.show(record.cell.id, spec, found[0].batch, sheet, step, machine):
                    yield shown


def machine_of(run: Result) -> frozenset[str]:
    """Identifiers of the GPUs that ran it."""
    return frozenset(gpu.uuid for gpu in gpus_of(run))


def power_limits(records: Iterable[Record]) -> dict[str, float]:
    """GPU model -> power limit in watts."""
    found: dict[str, list[float]] = {}
    for record in records:
        for run in record.results:
            for gpu in gpus_of(run):
                if gpu.power_limit_w:
                    found.setdefault(gpu.name, []).append(gpu.power_limit_w)
    return {model: median(limits) for model, limits in found.items()}


def compare_times(records: Sequence[Record]) -> Iterator[ComparedTime]:
    """Each training cell beside its prediction, to which its own runs and repetitions of it contribute nothing."""
    pace = Pace(measured_operators(records))
    steps, limits = list(measured_steps(records, pace)), power_limits(records)
    for record in records:
        spec, found = record.spec, [metrics for _, metrics in _runs(record)]
        if not isinstance(spec, TrainingSpec) or not found:
            continue
        batch, model, sheet = found[0].batch, spec.hardware.gpu_model, datasheet(record.platform)
        machine = frozenset(name for run in record.results for name in machine_of(run))
        others = [each for each in steps if each.identity != identity_of(spec, batch)]
        away = [each for each in others if not each.machine & machine]
        here, elsewhere = (pace.predict(spec, batch, sheet, host_cost(them, model, machine)) for them in (others, away))
        energies = [metrics.energy_per_step_j for metrics in found if metrics.energy_per_step_j]
        energy = sum(energies) / len(energies) if energies else None
        if here and elsewhere:
            yield ComparedTime(record, _step_s(found), here, elsewhere, energy, limits.get(model))


def time_row(each: ComparedTime) -> dict[str, Any]:
    """The row of a cell by column."""
    found, energies = each.prediction, each.energies or (None, None, None)
    parts = {f"{part.name.replace(' ', '_')}_s": part.seconds for part in found.parts}
    return parts | {
        "measured_step_s": each.measured_s, "predicted_step_s": found.step_s, "step_low_s": found.low_s,
        "step_high_s": found.high_s, "step_error": each.error, "step_covered": each.covers(found),
        "time_origins": ";".join(f"{part.name}: {part.origin}" for part in found.parts if part.seconds),
        "launch_cost_s": found.host.launch_s, "corrected_by": ";".join(found.host.cells) or None,
        "elsewhere_step_s": each.elsewhere.step_s, "elsewhere_error": each.elsewhere_error,
        "elsewhere_covered": each.covers(each.elsewhere), "predicted_tokens_per_s": found.tokens / found.step_s,
        "measured_energy_j": each.energy_j, "predicted_energy_j": energies[0], "energy_low_j": energies[1],
        "energy_high_j": energies[2], "energy_error": each.energy_error,
    }  # fmt: skip


def time_grid(manifest: Manifest, compared: Sequence[ComparedTime]) -> Grid:
    """One row over all cells, over those whose GPUs are busy and those that wait, and one per group."""
    groups: Mapping[tuple[str, ...], list[ComparedTime]] = {
        ("all", "", "", ""): list(compared),
        ("GPUs are busy", "", "", ""): [each for each in compared if each.prediction.is_busy],
        ("GPUs wait for their host", "", "", ""): [each for each in compared if not each.prediction.is_busy],
        **grouped(manifest, compared),
    }
    return Grid(
        name=f"{manifest.name}_time",
        title=f"{manifest.title}: time and energy of a step",
        caption=manifest.caption,
        row_names=ROW_NAMES,
        rows=[name for name, group in groups.items() if group],
        columns=[(header,) for header in TIME_HEADERS],
        entries=[_entries(group) for group in groups.values() if group],
        remarks=[TIME_RULES],
    )


def _entries(group: Sequence[ComparedTime]) -> list[GridEntry]:
    energies = [each for each in group if each.energy_error is not None]
    texts = [
        str(len(group)),
        *median_and_largest((each.error for each in group), 1),
        f"{sum(each.covers(each.prediction) for each in group)} of {len(group)}",
        *median_and_largest((each.elsewhere_error for each in group), 1),
        f"{sum(each.covers(each.elsewhere) for each in group)} of {len(group)}",
        *median_and_largest((each.energy_error for each in energies), 1),
        f"{sum(each.energy_covered for each in energies)} of {len(energies)}",
    ]
    return [GridEntry(text) for text in texts]


def _runs(record: Record) -> Iterator[tuple[Result, TrainingMetrics]]:
    for run in record.results:
        if (metrics := training_numbers(run.metrics)) is not None:
            yield run, metrics


def _step_s(found: Sequence[TrainingMetrics]) -> float:
    return geometric_mean(metrics.step_time_s.median for metrics in found)
