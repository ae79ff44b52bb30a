"""What servers would do that were never run: predictions for a grid of engines, models, GPUs and bursts.

Any engine of the study, each model, each GPU that is declared or known by its datasheet. Nothing of this is a result.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from dissect.base.outcome import Status
from dissect.cells.askable import COUNTS, Askable
from dissect.cells.engines import engine_facts
from dissect.cells.manifest import PlatformFacts
from dissect.cells.spec import ServeSpec
from dissect.config.arrival import Arrival
from dissect.predict.server_times import OFF_LATENCY, ServerPrediction, cache_tokens, why_unpredicted
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
from dissect.present.tables.predicted_latency import latency_off, predicted_latency
from dissect.present.tables.server_pace import ServerPace

BURSTS = (1, 10, 100, 1000)
"""Requests at once that can be chosen."""
FEW_BURSTS = BURSTS[:-1]
"""Those that are predicted on GPUs without a measured server: the largest takes longer than all others."""
PERCENTILES = ("p99", "p50")
"""Share of the requests that latencies can be asked for, the default of ``recommend`` first."""


def server_needs(
    records: Sequence[Record], asked: Askable, labels: Mapping[str, Mapping[str, str]]
) -> PredictedNeeds | None:
    """Predictions, corrected by measured cells; None where nothing that can be asked has one.

    On GPUs without a measured server engines are predicted as they are tuned.
    """
    choices = Choices(ServeSpec, records, asked)
    loads = [spec.workload for spec in choices.settings.values() if spec.workload.arrival.kind == "burst"]
    if not loads or not choices.gpus:
        return None
    load, forecast = loads[0], _Forecast(ServerPace(records))
    served = {choices.gpu_of(spec.hardware) for _, spec in choices.measured}
    files: dict[str, dict[str, list[Any]]] = {f"server-{name}": {} for name in choices.gpus}
    for (setting, spec), (model, architecture), number, (name, gpu) in product(
        choices.settings.items(), choices.models.items(), COUNTS, choices.gpus.items()
    ):
        changes = {"hardware": on_gpus(gpu, number), "model": architecture, "workload": load}
        there = spec.model_copy(update=changes)
        if why_unpredicted(there) is None and _splits(there) and (name in served or setting.endswith("/tuned")):
            bursts = BURSTS if name in served else FEW_BURSTS
            files[f"server-{name}"][f"{setting} {model} {number}"] = forecast.numbers(there, gpu.facts, bursts)
    why = {name: why_unpredicted(spec) for name, spec in choices.settings.items()}
    return PredictedNeeds(
        [
            ("setting", "Engine and policy", [(name, _setting_label(name)) for name in choices.settings]),
            *choices.fields(labels.get("model", {})),
            ("count", "Number of GPUs", [(str(number), str(number)) for number in COUNTS]),
            ("batch", f"Requests at once, of {load.input_tokens} + {load.output_tokens} tokens",
             [(str(number), f"{number:,}") for number in reversed(BURSTS)]),
            ("percentile", "Of the requests", [(name, f"{name[1:]} %") for name in PERCENTILES]),
        ],
        {
            "gpus": {name: gpu_facts(gpu, [f"server-{name}"]) for name, gpu in choices.gpus.items()},
            "sources": forecast.sources,
            "bursts": BURSTS,
            "percentiles": PERCENTILES,
            "latencies": [name if name == "latency" else name.upper() for name in OFF_LATENCY],
            "tokens": [load.input_tokens, load.output_tokens],
            "measured": dict(_measured(choices, (load.input_tokens, load.output_tokens))),
            "why": {name: reason for name, reason in why.items() if reason},
            "words": WORDS,
        },
        files,
    )  # fmt: skip


class _Forecast:
    """Numbers of servers, and where their times come from."""

    def __init__(self, pace: ServerPace) -> None:
        self._pace = pace
        self.sources: list[tuple[str, list[float]]] = []
        """Where times come from, and shares by which they may be off: of the duration, and of each latency."""

    def numbers(self, spec: ServeSpec, facts: PlatformFacts, bursts: Sequence[int]) -> list[Any]:
        """Tokens of the cache with interval, most requests of the engine; where one fits, place in ``sources``.

        That, and for each burst its seconds and the latencies of each percentile, follows only where it is predicted.
        """
        rules = engine_facts(spec.framework).batching
        most = rules(spec).max_sequences if rules else 0
        room = cache_tokens(spec)
        if room.value < spec.workload.input_tokens + spec.workload.output_tokens:
            return [*room, most]
        found = [self._pace.predict(_burst(spec, number), facts) for number in bursts]
        told = [each for each in found if each]
        if len(told) < len(found):
            return [*room, most]
        offs = [rounded(told[0].off), *(rounded(latency_off(told[0], name)) for name in OFF_LATENCY)]
        source = place_in(self.sources, (told[0].sources, offs))
        return [*room, most, source, *(_times(each) for each in told)]


def _times(found: ServerPrediction) -> list[float]:
    latencies = (predicted_latency(found, name, int(p[1:]) / 100) for p in PERCENTILES for name in OFF_LATENCY)
    return [rounded(found.duration_s), *(rounded(each.value) if each else 0.0 for each in latencies)]


def _burst(spec: ServeSpec, number: int) -> ServeSpec:
    load = spec.workload.model_copy(update={"requests": number, "arrival": Arrival(kind="burst")})
    return spec.model_copy(update={"workload": load})


def _measured(choices: Choices[ServeSpec], lengths: tuple[int, int]) -> Iterable[tuple[str, str]]:
    """Choices that were measured, and the keys of their cells."""
    for record, spec in choices.measured:
        load, gpu = spec.workload, choices.gpu_of(spec.hardware)
        is_same = (load.input_tokens, load.output_tokens) == lengths and load.requests in BURSTS
        is_burst = load.arrival.kind == "burst"
        if gpu and is_same and is_burst and record.runs and record.runs.status is Status.OK:
            name = f"{setting_of(record)} {record.cell.model} {spec.hardware.n_gpus} {gpu} {load.requests}"
            yield name, record.runs.key


def _splits(spec: ServeSpec) -> bool:
    """Whether the engine can split the model over the GPUs."""
    heads, gpus = spec.model.num_attention_heads, spec.hardware.n_gpus
    return gpus == 1 or (engine_facts(spec.framework).splits_models and heads % gpus == 0)


def _setting_label(name: str) -> str:
    _, engine, policy = name.split("/")
    return f"{framework_labels()[engine]}, {policy}"
