"""What training would need that was never run: predictions for a grid of settings, models, GPUs and batches.

Settings, models and GPUs are those of measured cells, each combined with each. Nothing of this is a result.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

from dissect.base.outcome import Status
from dissect.base.units import GIB
from dissect.cells.spec import TrainingSpec
from dissect.cells.terms import Terms
from dissect.config.kinds import STAGE_TITLES
from dissect.predict.memory import predict_memory
from dissect.predict.outlook import OUTSIDE_BYTES, needed_bytes
from dissect.present.report.needs_form import (
    WORDS,
    PredictedNeeds,
    first_of,
    gpu_facts,
    gpus_label,
    is_in,
    place_of,
    rounded,
)
from dissect.present.tables.columns import Record
from dissect.present.tables.labels import framework_labels
from dissect.present.tables.measured_pace import MeasuredPace

BATCHES = (1, 2, 4, 8, 16, 32)
"""Sequences per GPU that can be chosen."""
_STAGES = ("pretrain", "finetune")


def predicted_needs(
    records: Sequence[Record], terms: Mapping[str, Terms], labels: Mapping[str, Mapping[str, str]]
) -> PredictedNeeds | None:
    """Predictions from measured cells; None where no training cell on GPUs is among them."""
    trained = [(r, r.spec) for r in records if isinstance(r.spec, TrainingSpec) and r.cell.stage in _STAGES]
    trained = [(record, spec) for record, spec in trained if spec.hardware.device != "cpu"]
    cards = [(record, spec) for record, spec in trained if not spec.hardware.card_memory_bytes]
    gpus = first_of((place_of(r), (r, s)) for r, s in cards)
    models = first_of((record.cell.model, spec.model) for record, spec in trained)
    # What a framework splits depends on the number of GPUs, so each setting keeps its own.
    settings = first_of(
        ("/".join((r.cell.stage, r.cell.framework, r.cell.method, str(r.cell.n_gpus))), s) for r, s in trained
    )
    pace, needs = MeasuredPace(records), {}
    for (setting, spec), (model, architecture), (place, (record, of)) in product(
        settings.items(), models.items(), gpus.items()
    ):
        if spec.hardware.n_gpus != of.hardware.n_gpus:
            continue
        asked = spec.model_copy(update={"hardware": of.hardware, "model": architecture})
        for batch in BATCHES:
            if numbers := _numbers(asked, batch, record, pace):
                needs[f"{setting} {model} {place} {batch}"] = numbers
    if not needs:
        return None
    return PredictedNeeds(
        [
            ("setting", "Method", [(name, _setting_label(name)) for name in settings if is_in(needs, 0, name)]),
            ("model", "Model", [(name, labels.get("model", {}).get(name, name)) for name in models]),
            ("gpus", "GPUs", [(name, gpus_label(r)) for name, (r, _) in gpus.items() if is_in(needs, 2, name)]),
            ("batch", "Sequences per GPU", [(str(batch), str(batch)) for batch in BATCHES]),
        ],
        {
            "gpus": {name: gpu_facts(*found, terms) for name, found in gpus.items()},
            "needs": needs,
            "measured": {name: key for name, key in _measured(cards) if name in needs},
            "words": WORDS,
        },
    )  # fmt: skip


def _numbers(spec: TrainingSpec, batch: int, record: Record, pace: MeasuredPace) -> list[float] | None:
    """GiB per GPU: peak with interval, what a GPU must have at least and at most; then tokens/s with interval."""
    memory = predict_memory(spec, batch)
    if memory is None:
        return None
    sizes = (memory.peak_bytes, memory.low_bytes, memory.high_bytes)
    least, _, most = needed_bytes(memory)
    cards = (least + OUTSIDE_BYTES, most + OUTSIDE_BYTES)
    time = pace.predict(spec, batch, record.platform, pace.machine_of_platform(record.cell.platform))
    seconds = (time.step_s, time.high_s, time.low_s) if time else ()
    rates = [time.tokens / second for second in seconds if time and second]
    return [rounded(number) for number in (*(size / GIB for size in (*sizes, *cards)), *rates)]


def _measured(trained: Iterable[tuple[Record, TrainingSpec]]) -> Iterator[tuple[str, str]]:
    """Choices that were measured, and the keys of their cells."""
    for record, spec in trained:
        cell, batch = record.cell, spec.workload.batch
        if record.runs and record.runs.status is Status.OK and batch in BATCHES:
            setting = "/".join((cell.stage, cell.framework, cell.method, str(cell.n_gpus)))
            yield f"{setting} {cell.model} {place_of(record)} {batch}", record.runs.key


def _setting_label(name: str) -> str:
    stage, framework, method, n_gpus = name.split("/")
    title = next(title for known, title in STAGE_TITLES.items() if known == stage)
    return f"{title}, {framework_labels()[framework]}, {method}, {n_gpus} GPU{'s' * (n_gpus != '1')}"
