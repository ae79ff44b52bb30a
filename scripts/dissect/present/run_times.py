"""Predicted memory, work and wall time of a cell's run, from its spec and what measured cells say. Imports no torch."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from dissect.cells.any_spec import parse_spec
from dissect.cells.cell import Cell
from dissect.cells.frameworks import states_exceed_memory
from dissect.cells.platform_facts import prediction_facts
from dissect.cells.spec import ServeSpec, Spec, TrainingSpec
from dissect.cells.study import Study
from dissect.config.platform import Platform
from dissect.predict.memory import MemoryPrediction, predict_memory
from dissect.predict.outlook import LargestBatch, Outlook, largest_batch, outlook
from dissect.predict.step_time import TimePrediction
from dissect.predict.wall_time import LoadTime, Tries, WallTime, WallTimes
from dissect.present.measured_walls import measured_walls
from dissect.present.tables.columns import Record
from dissect.present.tables.measured_pace import MeasuredPace
from dissect.present.tables.server_pace import ServerPace
from dissect.present.tables.tidy import read_records
from dissect.results.cell_runs import CellRuns
from dissect.results.store import STORE_DIR, Store
from dissect.stages.training.other_cells import predicted_start
from dissect.stages.training.search import count_trials


class ExpectedMemory(NamedTuple):
    """Predicted memory of a training cell."""

    memory: MemoryPrediction
    batch: int
    """Sequences per GPU; of the batch ``max`` as many as are expected to fit, 0 where not even one is."""
    outlook: Outlook
    trials: Tries | None = None
    """Trials of the batch ``max``."""


class ExpectedRun(NamedTuple):
    """What is predicted of each run of a cell."""

    work: TimePrediction | LoadTime | None
    """The time of a training step, or of a server's load."""
    wall: WallTime | None
    enough: int | None = None
    """Runs that are enough if it runs out of memory as expected: one, and none where states alone exceed it."""
    tries: Tries | None = None
    """Trials of a search for the largest batch, or rates that one for the rate that holds tries."""

    @property
    def longest_s(self) -> float | None:
        """Upper end of its wall time in seconds; None of a cell that takes longer if it does not run out of memory."""
        return self.wall.high_s if self.wall and self.enough is None else None

    def runs(self, lacking: int) -> int:
        """Runs that are expected of those that the cell lacks."""
        return lacking if self.enough is None else min(lacking, self.enough)


class RunTimes:
    """What measured cells say of the times of others."""

    def __init__(self, records: Sequence[Record], platforms: Mapping[str, Platform]) -> None:
        self.records, self._platforms = records, platforms
        self._walls = WallTimes(measured_walls(records))
        self._expected: dict[str, ExpectedRun] = {}

    @cached_property
    def pace(self) -> MeasuredPace:
        """What they say of steps of training on GPUs."""
        return MeasuredPace(self.records)

    @cached_property
    def servers(self) -> ServerPace:
        """What they say of servers on GPUs."""
        return ServerPace(self.records)

    def limit_w(self, spec: Spec) -> float | None:
        """Power limit in watts of a GPU of which there is a result."""
        return self.pace.limits_w.get(spec.hardware.gpu_model)

    def of(self, cell: Cell) -> ExpectedRun:
        """What is predicted of a supported cell, worked out once."""
        path = cell.path or ""
        if path not in self._expected:
            spec = parse_spec(cell.canonical or "")
            self._expected[path] = self.expect(spec, cell.platform, expected_memory(spec))
        return self._expected[path]

    def expect(self, spec: Spec, platform: str, memory: ExpectedMemory | None) -> ExpectedRun:
        """What is predicted of a cell of a platform with such memory."""
        work = self._work(spec, platform, memory)
        outlook, trials = (memory.outlook, memory.trials) if memory else (None, None)
        is_skipped = isinstance(spec, TrainingSpec) and states_exceed_memory(spec)
        enough = 0 if is_skipped else 1 if outlook is Outlook.RUNS_OUT else None
        tries = work.tries if isinstance(work, LoadTime) else trials
        return ExpectedRun(work, self._walls.predict(spec, work, outlook, trials), enough, tries)

    def _work(self, spec: Spec, platform: str, memory: ExpectedMemory | None) -> TimePrediction | LoadTime | None:
        facts = prediction_facts(self._platforms[platform])
        if isinstance(spec, ServeSpec):
            return self.servers.load(spec, facts)
        if not (isinstance(spec, TrainingSpec) and memory and memory.batch):
            return None
        return self.pace.predict(spec, memory.batch, facts, self.pace.machine_of_platform(platform))


def measured_times(study: Study, project: Path, read: Callable[[Path], CellRuns | None] | None = None) -> RunTimes:
    """What the runs of this clone and the reference results say of times, of all tables and figures.

    ``read`` gives those of a published path; by default the published ones, else those of the store.
    """
    records = read_records(study.informed.measurable, project, read or Store(project / STORE_DIR).runs_at)
    return RunTimes(records, study.catalog.platforms)


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
