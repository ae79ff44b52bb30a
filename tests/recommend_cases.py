"""Records of cells to choose from, and questions about them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import factories as make
from dissect.base.outcome import Phase, Status
from dissect.cells.terms import Terms
from dissect.config.price import Price
from dissect.config.question import Question
from dissect.present.recommend.answer import Answer, answer
from dissect.present.recommend.candidates import candidates
from dissect.present.recommend.standing import Standing
from dissect.present.tables.columns import Record
from dissect.results.result import Result
from dissect.statistics.estimate import Estimate

GIB = 2**30
EUR = Price(per_gpu_hour=3.6, currency="EUR", source="a price list", date="2026-03")
TERMS = {
    "h200": Terms(price=EUR),
    "a800": Terms(),
    "cpu": Terms(stand_ins=["llama-tiny"]),
}


def training(
    project: Path,
    method: str,
    rate: float,
    spread: Sequence[float] = make.SPREAD,
    gib: int | Sequence[int] = 20,
    **where: Any,
) -> Record:
    """A fine-tuning cell with so many tokens per second, in runs of the same rounds that differ by these factors.

    ``device`` is what the device alone would allow, the same in all runs.
    """
    sizes = [gib] * len(spread) if isinstance(gib, int) else gib
    flags, nvml, batch = where.pop("flags", []), where.pop("nvml", True), where.pop("batch", 1)
    device_s = 700 / device if (device := where.pop("device", None)) else None
    traced = {"compute_time_s": device_s, "communication_time_s": 0.0} if device_s else {}
    knobs = where.pop("knobs", {})
    spec = make.finetune_spec(make.hardware(n_gpus=2), zero_stage=len(method) % 4, batch=batch, **knobs)
    runs = []
    for factor, size in zip(spread, sizes, strict=True):
        rates = Estimate(median=rate * factor, low=rate * 0.9, high=rate * 1.1, mean=rate, n=20)
        metrics = make.training_metrics(
            spec, tokens_per_s=rates, nvml_peak_memory_bytes=size * GIB if nvml else None,
            peak_memory_bytes=(size - 1) * GIB, **traced,
        )  # fmt: skip
        runs.append(make.ok_result(spec, metrics, flags))
    return recorded(project, make.in_rounds(runs), method, **where)


def ended(project: Path, method: str, status: Status, **where: Any) -> Record:
    spec = make.finetune_spec(make.hardware(n_gpus=2), zero_stage=len(method) % 4)
    return recorded(project, [make.ended_result(spec, status, Phase.BACKWARD, "no room")], method, **where)


def serving(project: Path, engine: str, seconds: float, **load: Any) -> Record:
    spec = make.serve_spec(engine=engine, **load)
    runs = make.serving_runs(spec, seconds)
    cell = make.published_cell(project, *runs, platform="h200", method="tuned")
    workload = f"r{spec.workload.requests}-burst" + "-calibrated" * spec.workload.calibrate + "-n1"
    return Record(cell.model_copy(update={"workload": workload}), make.PLATFORMS["h200"], make.cell_runs(*runs))


def searched(project: Path, engine: str, capacity: float, ttft_s: float) -> Record:
    """A search for the rate that holds a TTFT of 2 s, at which this engine takes less."""
    spec = make.serve_spec(engine=engine, requests=40, arrival={"kind": "poisson", "search": {"ttft_s": 2.0}})
    found = make.search_metrics(spec, capacity)
    samples = found.samples.model_copy(update={"ttft_s": [ttft_s] * found.requests})
    runs = make.in_rounds(make.ok_result(spec, found.model_copy(update={"samples": samples})) for _ in range(5))
    cell = make.published_cell(project, *runs, platform="h200", method="tuned")
    return Record(cell.model_copy(update={"workload": "r40-search-n1"}), make.PLATFORMS["h200"], make.cell_runs(*runs))


def recorded(project: Path, runs: Sequence[Result], method: str, platform: str = "h200", **ids: Any) -> Record:
    cell = make.published_cell(project, *runs, platform=platform, method=method, model=ids.pop("model", "llama2-7b"))
    return Record(cell.model_copy(update=ids), make.PLATFORMS[platform], make.cell_runs(*runs))


def ask(records: list[Record], failures: dict[str, str] | None = None, **question: Any) -> Answer:
    asked = Question.model_validate({"stage": "finetune", "model": "llama2-7b"} | question)
    return answer(asked, candidates(records, TERMS, failures))


def standings(found: Answer) -> dict[str, Standing]:
    return {cell.row["method"]: cell.standing for cell in found.standings}
