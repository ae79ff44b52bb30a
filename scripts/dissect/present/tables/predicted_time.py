"""Predicted against measured time and energy of training steps, each cell predicted as if it had not been measured."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from dissect.cells.manifest import Manifest
from dissect.cells.spec import TrainingSpec
from dissect.predict.repetition import step_identity
from dissect.predict.step_time import TimePrediction
from dissect.present.tables.columns import Record
from dissect.present.tables.grid import Grid
from dissect.present.tables.measured_pace import MeasuredPace, machine_of, training_runs, typical_step_s
from dissect.present.tables.prediction_error import PredictedNumber, errors_and_coverage
from dissect.present.tables.prediction_groups import error_grid, grouped
from dissect.statistics.numbers import Number

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
    "elsewhere_low_s": "lower end of its interval",
    "elsewhere_high_s": "upper end of its interval",
    "elsewhere_error": "its error",
    "elsewhere_covered": "whether its interval has the measured time",
    "unknown_gpu_step_s": "predicted time where nothing was measured with that GPU",
    "unknown_gpu_low_s": "lower end of its interval",
    "unknown_gpu_high_s": "upper end of its interval",
    "unknown_gpu_error": "its error",
    "unknown_gpu_covered": "whether its interval has the measured time",
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
    "Unknown GPU: median (%)",
    "Largest (%)",
    "In the interval",
    "Energy: median (%)",
    "Largest (%)",
    "In the interval",
)
TIME_RULES = (
    "Errors are predicted / measured - 1, without sign. What a launch costs the host, and nothing else, is taken from "
    "other measured cells of the same machine; under other machines no cell of it is known, and under unknown GPU "
    "neither a cell nor an operator of that GPU: its datasheet and the launches of H200 stand in. GPUs are busy where "
    "they are predicted to wait for their host for less than a fifth of a step."
)


@dataclass(frozen=True)
class ComparedTime:
    """A measured cell beside its prediction."""

    record: Record
    prediction: TimePrediction
    step: PredictedNumber
    """Seconds of a step."""
    elsewhere: PredictedNumber
    """The same where no cell of its machines is known."""
    unknown_gpu: PredictedNumber
    """The same where nothing was measured with that GPU; not predicted where no datasheet is enough."""
    energy: PredictedNumber
    """Joules of a step over all GPUs; not predicted where no result has their power limit."""


def compare_times(records: Sequence[Record]) -> Iterator[ComparedTime]:
    """Each training cell beside its prediction, to which its own runs and repetitions of it contribute nothing."""
    known = MeasuredPace(records)
    for record in records:
        spec, found = record.spec, [metrics for _, metrics in training_runs(record)]
        if not isinstance(spec, TrainingSpec) or not found:
            continue
        batch, identity = found[0].batch, step_identity(spec, found[0].batch)
        machine = frozenset(name for run in record.results for name in machine_of(run))
        others = [each for each in known.steps if each.identity != identity]
        away = [each for each in others if not each.machine & machine]
        here = known.predict(spec, batch, record.platform, machine, others)
        elsewhere = known.predict(spec, batch, record.platform, machine, away)
        unknown = known.predict_on_unknown(spec, batch, record.platform)
        energies = [energy for run in record.results if (energy := run.energy_j)]
        limit_w = known.limits_w.get(spec.hardware.gpu_model)
        if here and elsewhere:
            step_s = typical_step_s(found)
            joules = Number(*here.energy_j(limit_w)) if limit_w else None
            yield ComparedTime(
                record,
                here,
                step=PredictedNumber(step_s, _seconds(here)),
                elsewhere=PredictedNumber(step_s, _seconds(elsewhere)),
                unknown_gpu=PredictedNumber(step_s, _seconds(unknown)),
                energy=PredictedNumber(fmean(energies) if energies else None, joules),
            )


def _seconds(found: TimePrediction | None) -> Number | None:
    return Number(found.step_s, found.low_s, found.high_s) if found else None


def part_columns(found: TimePrediction) -> dict[str, Any]:
    """The parts of a predicted step by column, with their origins and the cells that correct them."""
    return {f"{part.name.replace(' ', '_')}_s": part.seconds for part in found.parts} | {
        "time_origins": ";".join(f"{part.name}: {part.origin}" for part in found.parts if part.seconds),
        "launch_cost_s": found.host.launch_s,
        "corrected_by": ";".join(found.host.cells) or None,
    }


def time_row(each: ComparedTime) -> dict[str, Any]:
    """The row of a cell by column."""
    return {
        **part_columns(each.prediction),
        **each.step.columns(
            "measured_step_s", "predicted_step_s", "step_low_s", "step_high_s", "step_error", "step_covered"
        ),
        **each.elsewhere.columns(
            "measured_step_s", "elsewhere_step_s", "elsewhere_low_s", "elsewhere_high_s", "elsewhere_error",
            "elsewhere_covered",
        ),
        **each.unknown_gpu.columns(
            "measured_step_s", "unknown_gpu_step_s", "unknown_gpu_low_s", "unknown_gpu_high_s", "unknown_gpu_error",
            "unknown_gpu_covered",
        ),
        **each.energy.columns(
            "measured_energy_j", "predicted_energy_j", "energy_low_j", "energy_high_j", "energy_error"
        ),
        "predicted_tokens_per_s": each.prediction.tokens / each.prediction.step_s,
    }  # fmt: skip


def time_grid(manifest: Manifest, compared: Sequence[ComparedTime]) -> Grid:
    """One row over all cells, over those whose GPUs are busy and those that wait, and one per group."""
    groups: Mapping[tuple[str, ...], list[ComparedTime]] = {
        ("all", "", "", ""): list(compared),
        ("GPUs are busy", "", "", ""): [each for each in compared if each.prediction.is_busy],
        ("GPUs wait for their host", "", "", ""): [each for each in compared if not each.prediction.is_busy],
        **grouped(manifest, compared),
    }
    return error_grid(manifest, "time and energy of a step", groups, TIME_HEADERS, _texts, [TIME_RULES])


def _texts(group: Sequence[ComparedTime]) -> list[str]:
    return [
        str(len(group)),
        *errors_and_coverage(each.step for each in group),
        *errors_and_coverage(each.elsewhere for each in group),
        *errors_and_coverage(each.unknown_gpu for each in group),
        *errors_and_coverage(each.energy for each in group),
    ]
