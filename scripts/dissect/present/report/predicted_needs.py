"""What training would need that was never run: predictions for a grid of settings, models, GPUs and batches.

Any setting of the study, each model, each GPU that is declared or known by its datasheet. Nothing of this is a result.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from dissect.base.outcome import Status
from dissect.base.units import GIB
from dissect.cells.askable import COUNTS, Askable, AskedGpu
from dissect.cells.frameworks import framework
from dissect.cells.spec import TrainingSpec
from dissect.config.kinds import STAGE_TITLES
from dissect.predict.gpu_architecture import is_hopper
from dissect.predict.memory import MemoryPrediction, predict_memory
from dissect.predict.outlook import OUTSIDE_BYTES, Outlook, needed_bytes, outlook
from dissect.present.report.needs_form import (
    WORDS,
    Choices,
    PredictedNeeds,
    gpu_facts,
    on_gpus,
    place_in,
    rounded,
    setting_of,
)
from dissect.present.tables.columns import Record
from dissect.present.tables.labels import framework_labels
from dissect.present.tables.measured_pace import MeasuredPace

BATCHES = (1, 2, 4, 8, 16, 32)
"""Sequences per GPU that can be chosen."""
_STAGES = ("pretrain", "finetune")


def predicted_needs(
    records: Sequence[Record], asked: Askable, labels: Mapping[str, Mapping[str, str]]
) -> PredictedNeeds | None:
    """Predictions, corrected by measured cells; None where nothing that can be asked has one."""
    choices = Choices(TrainingSpec, (r for r in records if r.cell.stage in _STAGES), asked)
    grid = _Grid(MeasuredPace(records), choices.gpus)
    for (setting, spec), (model, architecture), number in product(
        choices.settings.items(), choices.models.items(), COUNTS
    ):
        grid.fill(f"{setting} {model} {number}", spec.model_copy(update={"model": architecture}), number)
    settings = dict.fromkeys(key.partition(" ")[0] for file in grid.memory.values() for key in file)
    if not settings:
        return None
    return PredictedNeeds(
        [
            ("setting", "Method", [(name, _setting_label(name)) for name in settings]),
            *choices.fields(labels.get("model", {})),
            ("count", "Number of GPUs", [(str(number), str(number)) for number in reversed(COUNTS)]),
            ("batch", "Sequences per GPU", [(str(batch), str(batch)) for batch in BATCHES]),
        ],
        {
            "gpus": {name: gpu_facts(gpu, [_memory_file(gpu), f"need-{name}"]) for name, gpu in choices.gpus.items()},
            "batches": BATCHES,
            "lengths": {setting: spec.workload.seq_len for setting, spec in choices.settings.items()},
            "sources": grid.sources,
            "measured": dict(_measured(choices)),
            "words": WORDS,
        },
        grid.memory | {f"need-{name}": speeds for name, speeds in grid.speeds.items()},
    )  # fmt: skip


class _Grid:
    """Memory, which is the same on all GPUs with the same workspaces, and the speed on each GPU."""

    def __init__(self, pace: MeasuredPace, gpus: Mapping[str, AskedGpu]) -> None:
        self._pace, self._gpus = pace, gpus
        self.memory: dict[str, dict[str, list[list[float]]]] = {_memory_file(gpu): {} for gpu in gpus.values()}
        """File -> choice -> for each batch GiB: per GPU the peak with interval and what it must have at least and most,
        then what the host must have.
        """
        self.speeds: dict[str, dict[str, list[list[float]]]] = {name: {} for name in gpus}
        """GPU -> choice -> for each batch tokens/s with interval and place in ``sources``; empty without a speed."""
        self.sources: list[str] = []

    def fill(self, choice: str, spec: TrainingSpec, number: int) -> None:
        """Add the predictions of a choice, if its framework takes so many GPUs."""
        peaks: dict[str, list[MemoryPrediction]] = {}
        for name, gpu in self._gpus.items():
            there = spec.model_copy(update={"hardware": on_gpus(gpu, number)})
            if framework(spec.framework).constraint(there):
                return
            file = _memory_file(gpu)
            if file not in peaks:
                found = [predict_memory(there, batch) for batch in BATCHES]
                # The page finds a batch by its place.
                peaks[file] = [each for each in found if each] if all(found) else []
                if peaks[file]:
                    self.memory[file][choice] = [_sizes(found) for found in peaks[file]]
            speeds = [self._speed(there, found, gpu) for found in peaks[file]]
            while speeds and not speeds[-1]:
                speeds.pop()
            if speeds:
                self.speeds[name][choice] = speeds

    def _speed(self, spec: TrainingSpec, memory: MemoryPrediction, gpu: AskedGpu) -> list[float]:
        if outlook(memory, spec.hardware) is Outlook.RUNS_OUT:
            return []
        time = self._pace.predict(spec, memory.batch, gpu.facts, frozenset())
        if time is None or not time.low_s:
            return []
        rates = [rounded(time.tokens / seconds) for seconds in (time.step_s, time.high_s, time.low_s)]
        return [*rates, place_in(self.sources, f"kernels: {time.origin}; launches: {time.host.source}")]


def _sizes(found: MemoryPrediction) -> list[float]:
    room = needed_bytes(found)
    needed = (room.low + OUTSIDE_BYTES, room.high + OUTSIDE_BYTES, found.host_bytes)
    return [rounded(size / GIB) for size in (found.peak_bytes, found.low_bytes, found.high_bytes, *needed)]


def _memory_file(gpu: AskedGpu) -> str:
    return "memory-hopper" if is_hopper(gpu.hardware) else "memory"


def _measured(choices: Choices[TrainingSpec]) -> Iterator[tuple[str, str]]:
    """Choices that were measured, and the keys of their cells."""
    for record, spec in choices.measured:
        batch, gpu = spec.workload.batch, choices.gpu_of(spec.hardware)
        if gpu and record.runs and record.runs.status is Status.OK and batch in BATCHES:
            name = f"{setting_of(record)} {record.cell.model} {spec.hardware.n_gpus} {gpu} {batch}"
            yield name, record.runs.key


def _setting_label(name: str) -> str:
    stage, engine, method = name.split("/")
    title = next(title for known, title in STAGE_TITLES.items() if known == stage)
    return f"{title}, {framework_labels()[engine]}, {method}"
