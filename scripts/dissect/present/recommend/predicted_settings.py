"""Settings that were not measured, as they are predicted: beside an answer, never ranked in it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dissect.base.units import GIB
from dissect.cells.any_spec import parse_spec
from dissect.cells.cell_id import CellId
from dissect.cells.platform_facts import prediction_facts
from dissect.cells.spec import ServeSpec, TrainingSpec
from dissect.cells.study import Study
from dissect.config.question import Question
from dissect.predict.memory import predict_memory
from dissect.predict.outlook import Outlook, outlook
from dissect.predict.prediction import MemoryPrediction
from dissect.predict.server_times import why_unpredicted
from dissect.predict.step_time import TimePrediction
from dissect.present.recommend.answer import Answer
from dissect.present.recommend.answer_text import cost_words, setting_name
from dissect.present.recommend.candidates import NOT_MEASURED
from dissect.present.recommend.predicted_servers import PredictedServer, predicted_servers
from dissect.present.tables.measured_pace import MeasuredPace
from dissect.present.tables.server_pace import ServerPace
from dissect.present.tables.tidy import read_records
from dissect.results.cell_runs import read_runs
from dissect.statistics.numbers import Number

SHOWN = 3
"""Settings that are shown."""
PIPELINES = "pipelines: how long their stages wait for each other was never measured"
COMPILED = "compiled layers: which kernels the compiler makes of them is not known"
_SCREEN = 40
"""Lines of an answer in a terminal."""


@dataclass(frozen=True)
class PredictedSetting:
    """One setting of training with its predictions."""

    row: Mapping[str, Any]
    memory: MemoryPrediction
    time: TimePrediction

    @property
    def tokens_per_s(self) -> float:
        """Predicted throughput over all GPUs."""
        return self.time.tokens / self.time.step_s

    @property
    def text(self) -> str:
        """The setting, and what is predicted of it."""
        rate = Number(self.tokens_per_s, self.time.tokens / self.time.high_s, self.time.tokens / self.time.low_s)
        sizes = (each / GIB for each in (self.memory.peak_bytes, self.memory.low_bytes, self.memory.high_bytes))
        seconds = (self.time.step_s, self.time.low_s, self.time.high_s)
        parts = [rate.show("tokens/s"), Number(*sizes).show("GiB"), *cost_words(self.row, seconds, self.time.tokens)]
        return f"{setting_name(self.row)}: {', '.join(parts)}, {Outlook.FITS}"


def predicted_settings(found: Answer, study: Study, project: Path) -> list[PredictedSetting | PredictedServer]:
    """Settings of the answer that are not measured and are expected to fit, the fastest first."""
    asked = _unmeasured(found, study)
    if not asked:
        return []
    manifest = study.prediction_of(study.catalog.experiments)
    records = read_records(manifest, project, lambda path: read_runs(path) if path.exists() else None)
    pace, servers = MeasuredPace(records), ServerPace(records)
    settings: list[PredictedSetting | PredictedServer] = []
    for row, spec in asked:
        if isinstance(spec, TrainingSpec):
            settings += _predicted(row, spec, study, pace, found.question)
        elif isinstance(spec, ServeSpec):
            served = servers.predict(spec, prediction_facts(study.catalog.platforms[row["platform"]]))
            settings += predicted_servers(
                row, spec, served, servers.limits_w.get(spec.hardware.gpu_model), found.question
            )
    return sorted(settings, key=lambda each: -each.tokens_per_s)


def _unmeasured(found: Answer, study: Study) -> list[tuple[Mapping[str, Any], TrainingSpec | ServeSpec]]:
    """Settings of the answer on GPUs that are not measured, with their specs."""
    # A reference of the same name is a measurement.
    measured = {CellId.of(cell.row) for cell in found.standings if cell.row["reference"]}
    unmeasured = [cell.row for cell in found.unknown if cell.reason == NOT_MEASURED]
    unknown = [row for row in unmeasured if CellId.of(row) not in measured]
    specs = {cell.id: cell.canonical for each in study.experiments.values() for cell in each if cell.canonical}
    asked = [(row, parse_spec(specs[name])) for row in unknown if (name := str(CellId.of(row))) in specs]
    known = [(row, spec) for row, spec in asked if isinstance(spec, TrainingSpec | ServeSpec)]
    return [(row, spec) for row, spec in known if spec.hardware.device != "cpu"]


def unpredicted_text(found: Answer, study: Study) -> str:
    """How many settings of the answer have no prediction, by the reason; empty if all have one."""
    reasons = Counter(reason for _, spec in _unmeasured(found, study) if (reason := _why(spec)))
    return "".join(f"Not predicted: {number} × {reason}.\n" for reason, number in reasons.items())


def _why(spec: TrainingSpec | ServeSpec) -> str | None:
    return why_unpredicted(spec) if isinstance(spec, ServeSpec) else why_no_steps(spec)


def why_no_steps(spec: TrainingSpec) -> str | None:
    """Why the steps of a training cell on GPUs are not predicted, in words; None where the spec is no reason."""
    if spec.method.is_compiled:
        return COMPILED
    return PIPELINES if getattr(spec.method, "pipeline_parallel", 1) > 1 else None


def _predicted(
    row: Mapping[str, Any], spec: TrainingSpec, study: Study, pace: MeasuredPace, question: Question
) -> Iterator[PredictedSetting]:
    memory = predict_memory(spec)
    if memory is None or outlook(memory, spec.hardware) is not Outlook.FITS:
        return
    if question.memory_gb and memory.high_bytes > question.memory_gb * GIB:
        return
    platform = row["platform"]
    facts = prediction_facts(study.catalog.platforms[platform])
    time = pace.predict(spec, memory.batch, facts, pace.machine_of_platform(platform))
    if time and time.low_s:
        least = question.min_tokens_per_s or 0
        if time.tokens / time.step_s >= least:
            yield PredictedSetting(row, memory, time)


def predicted_text(settings: Sequence[PredictedSetting | PredictedServer], lines_above: int) -> str:
    """The first settings in words, as many as a screen has room for below the answer."""
    room = min(SHOWN, _SCREEN - lines_above - 2)
    if not settings or room < 1:
        return ""
    head = f"Predicted, not measured: the fastest of {len(settings)} (`predicted=false` leaves them out):"
    return "\n".join(["", head, *(f"  predicted: {each.text}" for each in settings[:room])]) + "\n"
