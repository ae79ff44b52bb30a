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
from dissect.predict.outlook import Outlook, largest_batch, outlook
from dissect.predict.prediction import MemoryPrediction
from dissect.predict.step_time import TimePrediction
from dissect.predict.wall_time import LoadTime, WallTime, WallTimes
from dissect.present.measured_walls import measured_walls
from dissect.present.tables.measured_pace import MeasuredPace
from dissect.present.tables.server_pace import ServerPace
from dissect.present.tables.tidy import read_records
from dissect.results.cell_runs import read_runs


class ExpectedMemory(NamedTuple):
    """Predicted memory of a training cell."""

    memory: MemoryPrediction
    batch: int
    """Sequences per GPU; of the batch ``max`` as many as are expected to fit, 0 where not even one is."""
    outlook: Outlook


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

    def longest_s(self, cell: Cell, declared: Platform) -> float | None:
        """Upper end of the wall time of one run in seconds; None where ``longest_wall_s`` has none."""
        spec = parse_spec(cell.canonical or "")
        expected = expected_memory(spec)
        work = self.work(spec, cell.platform, declared, expected)
        wall = self.walls.predict(spec, work, expected and expected.outlook)
        return longest_wall_s(wall, expected) if wall else None


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
    searched = largest_batch(spec) if spec.workload.batch == "max" else None
    batch = spec.workload.batch if searched is None else max(1, searched)
    found = predict_memory(spec, batch) if isinstance(batch, int) else None
    if found is None or not isinstance(batch, int):
        return None
    if searched is None:
        return ExpectedMemory(found, batch, outlook(found, spec.hardware))
    return ExpectedMemory(found, searched, Outlook.FITS if searched else Outlook.RUNS_OUT)
