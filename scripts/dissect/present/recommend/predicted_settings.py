"""Settings that were not measured, as they are predicted: beside an answer, never ranked in it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dissect.base.units import GIB
from dissect.cells.any_spec import parse_spec
from dissect.cells.cell_id import CellId
from dissect.cells.manifest import PlatformFacts
from dissect.cells.platform_facts import prediction_facts, why_untimed
from dissect.cells.spec import ServeSpec, TrainingSpec
from dissect.cells.study import Study
from dissect.config.question import Objective, Question
from dissect.predict.memory import MemoryPrediction
from dissect.predict.outlook import Outlook
from dissect.predict.step_time import TimePrediction
from dissect.present.recommend.answer import Answer
from dissect.present.recommend.answer_text import cost_words, counted, setting_name
from dissect.present.recommend.candidates import NOT_MEASURED, Candidate, training_work
from dissect.present.recommend.predicted_rank import BEST, LIMITS, Beyond, Predicted, Unpredicted, Untimed
from dissect.present.recommend.predicted_servers import predicted_server
from dissect.present.run_times import expected_memory
from dissect.present.tables.measured_pace import MeasuredPace
from dissect.present.tables.server_pace import ServerPace
from dissect.present.tables.tidy import read_records
from dissect.results.cell_runs import read_runs
from dissect.statistics.numbers import Number

SHOWN = 3
"""Settings that are shown."""
UNTIMED = "the times of its kernels, or of its copies to host memory, are not known"
PIPELINES = "pipelines: how long their stages wait for each other was never measured"
COMPILED = "compiled layers: which kernels the compiler makes of them is not known"
ELSEWHERE = (
    "Predicted: none; platform=<name> predicts another platform. The forms of results/report/index.html, which `all` "
    "writes, predict other GPUs and GPU counts."
)
_SCREEN = 40
"""Lines of an answer in a terminal."""


@dataclass(frozen=True)
class PredictedSetting(Predicted):
    """One setting of training with its predictions."""

    row: Mapping[str, Any]
    memory: MemoryPrediction
    time: TimePrediction
    limit_w: float | None
    """Power limit of a GPU in watts; None where no result has it."""

    @property
    def tokens_per_s(self) -> float:
        """Predicted throughput over all GPUs."""
        return self.time.tokens / self.time.step_s

    @property
    def waited_s(self) -> float:
        """Seconds of a token."""
        return self.time.step_s / self.time.tokens

    @property
    def memory_bytes(self) -> float:
        """Predicted peak per GPU."""
        return self.memory.peak_bytes

    @property
    def joules_per_token(self) -> float | None:
        """Predicted energy over all GPUs."""
        return self.time.energy_j(self.limit_w).value / self.time.tokens if self.limit_w else None

    @property
    def text(self) -> str:
        """The setting, and what is predicted of it."""
        time, tokens = self.time, self.time.tokens
        rate = Number(self.tokens_per_s, tokens / time.high_s, tokens / time.low_s)
        sizes = (each / GIB for each in (self.memory.peak_bytes, self.memory.low_bytes, self.memory.high_bytes))
        parts = [rate.show("tokens/s"), Number(*sizes).show("GiB")]
        if self.limit_w:
            parts.append(Number(*(each / tokens for each in time.energy_j(self.limit_w))).show("J/token"))
        parts += cost_words(self.row, (time.step_s, time.low_s, time.high_s), tokens)
        batch = f" of {self.memory.batch}" if self.row["batch"] == "max" else ""
        return f"{setting_name(self.row)}{batch}: {', '.join(parts)}, {Outlook.FITS}"


@dataclass(frozen=True)
class Forecast:
    """What is predicted of the settings of an answer that were not measured."""

    objective: Objective
    settings: Sequence[Predicted]
    """Those that are expected to fit and to keep within the limits of the question, the best first."""
    beyond: Counter[str]
    """What is predicted of others -> how many."""
    unknown: Counter[str]
    """Why others are not predicted -> how many."""

    def text(self, lines_above: int) -> str:
        """The best of each kind of work in words, as many as a screen has room for below the answer, one at least."""
        lines = [] if self.settings or self.beyond or self.unknown else [ELSEWHERE]
        if self.settings:
            works = dict.fromkeys(each.row["work"] for each in self.settings)
            best = [next(each for each in self.settings if each.row["work"] == work) for work in works]
            room = max(1, min(SHOWN, _SCREEN - lines_above - 2 - len(self.beyond) - len(self.unknown)))
            lines = [
                "",
                f"Predicted, not measured: {BEST[self.objective]} of each kind of work,"
                f" of {counted(len(self.settings), 'setting')} of {counted(len(best), 'kind')}"
                " (`predicted=false` leaves them out):",
                *(f"  predicted: {each.text}" for each in (best if len(best) > 1 else self.settings)[:room]),
            ]
        lines += [f"Predicted: {number} × {what}." for what, number in self.beyond.items()]
        lines += [f"Not predicted: {number} × {why}." for why, number in self.unknown.items()]
        return "".join(f"{line}\n" for line in lines)


def forecast(found: Answer, study: Study, project: Path) -> Forecast:
    """Predictions for the settings of an answer on GPUs that are not measured: each is counted in one way."""
    asked, objective = _unmeasured(found, study), found.question.objective
    settings, beyond, unknown = list[Predicted](), Counter[str](), Counter[str]()
    if asked:
        manifest = study.informed.prediction_of(study.catalog.experiments)
        records = read_records(manifest, project, lambda path: read_runs(path) if path.exists() else None)
        pace, servers = MeasuredPace(records), ServerPace(records)
    for row, spec in asked:
        platform = study.catalog.platforms[row["platform"]]
        facts = prediction_facts(platform)
        try:
            if isinstance(spec, TrainingSpec):
                work = training_work(spec.workload.seq_len, spec.workload.batch, spec)
                settings.append(_predicted(Candidate(row, work=work), spec, facts, pace, found.question))
            else:
                served = servers.predict(spec, facts)
                limit_w = servers.limits_w.get(spec.hardware.gpu_model)
                settings.append(predicted_server(row, spec, served, limit_w, found.question))
        except Beyond as reason:
            beyond[str(reason)] += 1
        except Untimed as reason:
            unknown[why_untimed(row["platform"], platform) or str(reason)] += 1
        except Unpredicted as reason:
            unknown[str(reason)] += 1
    return Forecast(objective, sorted(settings, key=lambda each: each.rank(objective)), beyond, unknown)


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


def why_no_steps(spec: TrainingSpec) -> str | None:
    """Why the steps of a training cell on GPUs are not predicted, in words; None where the spec is no reason."""
    if spec.method.is_compiled:
        return COMPILED
    return PIPELINES if getattr(spec.method, "pipeline_parallel", 1) > 1 else None


def _predicted(
    row: Mapping[str, Any], spec: TrainingSpec, facts: PlatformFacts, pace: MeasuredPace, question: Question
) -> PredictedSetting:
    """The predictions of a setting, at the largest batch that is expected to fit where it asks for that.

    Raises:
        Beyond: it is not expected to fit, or to keep within the limits of the question.
        Unpredicted: its memory or its time is not predicted.
    """
    expected = expected_memory(spec)
    if expected is None:
        raise Unpredicted(why_no_steps(spec) or "its memory is not modelled")
    if expected.outlook is not Outlook.FITS:
        raise Beyond(expected.outlook)
    memory = expected.memory
    if question.memory_gb and memory.high_bytes > question.memory_gb * GIB:
        raise Beyond(LIMITS)
    time = pace.predict(spec, memory.batch, facts, pace.machine_of_platform(row["platform"]))
    if time is None or not time.low_s:
        reason = why_no_steps(spec)
        raise Unpredicted(reason) if reason else Untimed(UNTIMED)
    if time.tokens / time.step_s < (question.min_tokens_per_s or 0):
        raise Beyond(LIMITS)
    return PredictedSetting(row, memory, time, pace.limits_w.get(spec.hardware.gpu_model))
