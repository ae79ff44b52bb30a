"""What servers would do that were never run: predictions for a grid of engines, models, GPUs and bursts.

Engines with their policies are those of measured cells, models and GPUs those of cells of training too, each combined
with each. Nothing of this is a result.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from dissect.base.outcome import Status
from dissect.cells.engines import engine_facts
from dissect.cells.spec import ServeSpec, TrainingSpec
from dissect.cells.terms import Terms
from dissect.config.arrival import Arrival
from dissect.predict.server_times import OFF_LATENCY, ServerPrediction, cache_tokens, why_unpredicted
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
from dissect.present.tables.predicted_latency import latency_off, predicted_latency
from dissect.present.tables.server_pace import ServerPace

BURSTS = (1, 10, 100, 1000)
"""Requests at once that can be chosen."""
PERCENTILES = ("p99", "p50")
"""Share of the requests that latencies can be asked for, the default of ``recommend`` first."""


def server_needs(
    records: Sequence[Record], terms: Mapping[str, Terms], labels: Mapping[str, Mapping[str, str]]
) -> PredictedNeeds | None:
    """Predictions from measured cells; None where no serving cell on GPUs is among them."""
    known = [(r, r.spec) for r in records if isinstance(r.spec, TrainingSpec | ServeSpec)]
    known = [(record, spec) for record, spec in known if spec.hardware.device != "cpu"]
    bursts = [(r, s) for r, s in known if isinstance(s, ServeSpec) and s.workload.arrival.kind == "burst"]
    if not bursts:
        return None
    gpus = first_of((place_of(r), (r, s)) for r, s in known if _is_whole(s))
    models = first_of((record.cell.model, spec.model) for record, spec in known)
    settings = first_of((f"{record.cell.framework}/{record.cell.method}", spec) for record, spec in bursts)
    load = bursts[0][1].workload
    forecast, needs = _Forecast(ServerPace(records)), {}
    for (setting, spec), (model, architecture), (place, (record, of)) in product(
        settings.items(), models.items(), gpus.items()
    ):
        asked = spec.model_copy(update={"hardware": of.hardware, "model": architecture, "workload": load})
        if why_unpredicted(asked) is None and _splits(asked):
            needs[f"{setting} {model} {place}"] = forecast.numbers(asked, record)
    why = {name: why_unpredicted(spec) for name, spec in settings.items()}
    return PredictedNeeds(
        [
            ("setting", "Engine and policy", [(name, _setting_label(name)) for name in settings]),
            ("model", "Model", [(name, labels.get("model", {}).get(name, name)) for name in models]),
            ("gpus", "GPUs", [(name, gpus_label(r)) for name, (r, _) in gpus.items() if is_in(needs, 2, name)]),
            ("batch", f"Requests at once, of {load.input_tokens} + {load.output_tokens} tokens",
             [(str(number), f"{number:,}") for number in reversed(BURSTS)]),
            ("percentile", "Of the requests", [(name, f"{name[1:]} %") for name in PERCENTILES]),
        ],
        {
            "gpus": {name: gpu_facts(*found, terms) for name, found in gpus.items()},
            "needs": needs,
            "sources": forecast.sources,
            "bursts": BURSTS,
            "percentiles": PERCENTILES,
            "latencies": [name if name == "latency" else name.upper() for name in OFF_LATENCY],
            "tokens": [load.input_tokens, load.output_tokens],
            "measured": dict(_measured(bursts, (load.input_tokens, load.output_tokens))),
            "why": {name: reason for name, reason in why.items() if reason},
            "words": WORDS,
        },
    )  # fmt: skip


class _Forecast:
    """Numbers of servers, each once for all platforms of the same GPUs."""

    def __init__(self, pace: ServerPace) -> None:
        self._pace = pace
        self._known: dict[str, list[Any]] = {}
        self.sources: list[tuple[str, list[float]]] = []
        """Where times come from, and shares by which they may be off: of the duration, and of each latency."""

    def numbers(self, spec: ServeSpec, record: Record) -> list[Any]:
        """Tokens of the cache with interval, most requests of the engine; where one fits, place in ``sources``.

        That, and for each burst its seconds and the latencies of each percentile, follows only where it is predicted.
        """
        on, facts = spec.hardware, record.platform
        sheet = (facts.peak_flops, facts.memory_bytes_per_s, facts.link_bytes_per_s)
        gpus = (on.gpu_model, on.n_gpus, on.device_memory_bytes, sheet)
        name = repr((spec.framework, spec.settings, spec.model, gpus))
        if name not in self._known:
            self._known[name] = self._numbers(spec, record)
        return self._known[name]

    def _numbers(self, spec: ServeSpec, record: Record) -> list[Any]:
        rules = engine_facts(spec.framework).batching
        most = rules(spec).max_sequences if rules else 0
        low, middle, high = cache_tokens(spec)
        found = [self._pace.predict(_burst(spec, number), record.platform) for number in BURSTS]
        told = [each for each in found if each]
        if len(told) < len(found):
            return [middle, low, high, most]
        offs = [rounded(told[0].off), *(rounded(latency_off(told[0], name)) for name in OFF_LATENCY)]
        source = (told[0].sources, offs)
        if source not in self.sources:
            self.sources.append(source)
        return [middle, low, high, most, self.sources.index(source), *(_times(each) for each in told)]


def _times(found: ServerPrediction) -> list[float]:
    latencies = (predicted_latency(found, name, int(p[1:]) / 100) for p in PERCENTILES for name in OFF_LATENCY)
    return [rounded(found.duration_s), *(rounded(each.value) if each else 0.0 for each in latencies)]


def _burst(spec: ServeSpec, number: int) -> ServeSpec:
    load = spec.workload.model_copy(update={"requests": number, "arrival": Arrival(kind="burst")})
    return spec.model_copy(update={"workload": load})


def _measured(bursts: Iterable[tuple[Record, ServeSpec]], lengths: tuple[int, int]) -> Iterable[tuple[str, str]]:
    """Choices that were measured, and the keys of their cells."""
    for record, spec in bursts:
        cell, load = record.cell, spec.workload
        is_same = (load.input_tokens, load.output_tokens) == lengths and load.requests in BURSTS
        if is_same and record.runs and record.runs.status is Status.OK:
            yield f"{cell.framework}/{cell.method} {cell.model} {place_of(record)} {load.requests}", record.runs.key


def _is_whole(spec: TrainingSpec | ServeSpec) -> bool:
    """Whether the GPUs are of one node, with all of their memory."""
    return spec.hardware.n_nodes == 1 and not spec.hardware.card_memory_bytes


def _splits(spec: ServeSpec) -> bool:
    """Whether the engine can split the model over the GPUs."""
    heads, gpus = spec.model.num_attention_heads, spec.hardware.n_gpus
    return gpus == 1 or (engine_facts(spec.framework).splits_models and heads % gpus == 0)


def _setting_label(name: str) -> str:
    engine, policy = name.split("/")
    return f"{framework_labels()[engine]}, {policy}"
