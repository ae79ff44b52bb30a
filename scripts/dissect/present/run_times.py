"""Predicted memory, work and wall time of a cell's run, from its spec and what measured cells say. Imports no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dissect.cells.any_spec import parse_spec
from dissect.cells.cell import Cell
from dissect.cells.platform_facts import prediction_facts
from dissect.cells.spec import ServeSpec, Spec, TrainingSpec
from dissect.cells.study import Study
from dissect.config.platform import Platform
from dissect.predict.memory import predict_memory
from dissect.predict.outlook import LargestBatch, Outlook, largest_batch, outlook
from dissect.predict.prediction import MemoryPrediction
from dissect.predict.step_time import TimePrediction
from dissect.predict.wall_time import LoadTime, Tries, WallTime, WallTimes
from dissect.present.measured_walls import measured_walls
from dissect.present.tables.measured_pace import MeasuredPace
from dissect.present.tables.server_pace import ServerPace
from dissect.present.tables.tidy import read_records
from dissect.results.cell_runs import read_runs
from dissect.stages.training.search import count_trials
from dissect.stages.training.siblings import predicted_start


class ExpectedMemory(NamedTuple):
    """Predicted memory of a training cell."""

    memory: MemoryPrediction
    batch: int
    """Sequences per GPU; of the batch ``max`` as many as are expected to fit, 0 where not even one is."""
    outlook: Outlook
    trials: Tries | None = None
    """Trials of the batch ``max``."""


@dataclass(frozen=True)
class RunTimes:
    """What measured cells say of the times of others."""

    pace: MeasuredPace
    servers: ServerPace
    walls: WallTimes

    def work(
        self, spec: Spec, platform: str, declared: Platform, expected: ExpectedMemory | None
    ) -> TimePrediction | LoadTime | None:
        """The predicted time of a step, of a training cell with memory that is ``expected``, or of a server's load."""
        facts = prediction_facts(declared)
        if isinstance(spec, ServeSpec):
            return self.servers.load(spec, facts)
        if not (isinstance(spec, TrainingSpec) and expected and expected.batch):
            return None
        return self.pace.predict(spec, expected.batch, facts, self.pace.machine_of_platform(platform))

    def limit_w(self, spec: Spec) -> float | None:
        """Power limit in watts of a GPU of which there is a result."""
        return self.pace.limits_w.get(spec.hardware.gpu_model)

    def longest_s(self, cell: Cell, declared: Platform) -> float | None:
        """Upper end of the wall time of one run in seconds; None where ``longest_wall_s`` has none."""
        spec = parse_spec(cell.canonical or "")
        expected = expected_memory(spec)
        work = self.work(spec, cell.platform, declared, expected)
        wall = self.wall(spec, work, expected)
        return longest_wall_s(wall, expected) if wall else None

    def wall(
        self, spec: Spec, work: TimePrediction | LoadTime | None, expected: ExpectedMemory | None
    ) -> WallTime | None:
        """The predicted wall time of a run with such work and memory; None where nothing is known."""
        outlook, trials = (expected.outlook, expected.trials) if expected else (None, None)
        return self.walls.predict(spec, work, outlook, trials)


def longest_wall_s(wall: WallTime, expected: ExpectedMemory | None) -> float | None:
    """Upper end of a wall time in seconds; None of a cell that takes longer if it does not run out of memory."""
    return None if expected and expected.outlook is Outlook.RUNS_OUT else wall.high_s


def measured_times(study: Study, project: Path) -> RunTimes:
    """What the published cells and the reference results say of times, of all tables and figures."""
    records = read_records(study.measurable, project, lambda path: read_runs(path) if path.exists() else None)
    return RunTimes(MeasuredPace(records), ServerPace(records), WallTimes(measured_walls(records)))


def expected_memory(spec: Spec) -> ExpectedMemory | None:
    """Predicted memory of a training cell, of the batch ``max`` that of the largest batch that is expected to fit.

    None of other cells, and where memory is not predicted.
    """
    if not isinstance(spec, TrainingSpec):
        return None
    if spec.workload.batch == "max":
        searched = largest_batch(spec)
        return _expected_search(spec, searched) if searched else None
    found = predict_memory(spec)
    return ExpectedMemory(found, spec.workload.batch, outlook(found, spec.hardware)) if found else None


def _expected_search(spec: TrainingSpec, largest: LargestBatch) -> ExpectedMemory | None:
    found = predict_memory(spec, max(1, largest.expected))
    if found is None:
        return None
    said = Outlook.FITS if largest.low else Outlook.CLOSE if largest.high else Outlook.RUNS_OUT
    start = predicted_start(largest)
    numbers = [count_trials(limit, start) for limit in start.expected]
    trials = Tries(count_trials(largest.expected, start), min(numbers), max(numbers))
    return ExpectedMemory(found, largest.expected, said, trials)
