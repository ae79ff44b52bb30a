"""All cells that a question can match, as rows of comparable numbers: per GPU, per joule, per unit of money."""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

import pandas as pd

from dissect.base.outcome import Status
from dissect.cells.cell_id import without_set
from dissect.cells.terms import Terms
from dissect.config.layout import ViewName
from dissect.config.platform import Price
from dissect.config.question import AskedStage
from dissect.present.tables.columns import Record
from dissect.present.tables.tidy import plain_rows, tidy_frame
from dissect.present.tables.views import VIEWS

NOT_MEASURED = "not measured"
UNSUPPORTED = "unsupported"
TIMES = ("ttft", "tpot", "latency")
PERCENTILES = ("p50", "p90", "p95", "p99")
ENDS = ("", "_low", "_high")

NUMBERS = (
    "tokens_per_s", "tokens_per_s_per_gpu", "seconds_per_million_tokens", "cost_per_million_tokens", "tokens_per_price",
    *(f"{time}_{percentile}_s" for time in TIMES for percentile in PERCENTILES),
)  # fmt: skip
"""Columns with an interval: ``_low`` and ``_high`` beside each equal the number if the interval is unknown."""
COLUMNS = (
    "stage", "platform", "platform_label", "model", "stand_in", "framework", "method", "workload", "n_gpus", "batch",
    "device", "work", "status", "reason", *(number + end for number in NUMBERS for end in ENDS), "has_interval",
    "tokens_per_joule", "joules_per_token", "memory_gib", "memory_source", "price_per_gpu_hour", "currency",
    "reference", "flags", "measured_at", "machine", "git_commit", "key",
)  # fmt: skip
"""Columns of the frame of candidates."""

_VIEW: dict[AskedStage, ViewName] = {"pretrain": "training", "finetune": "training", "serve": "serving"}


def candidates(
    records: Iterable[Record], terms: Mapping[str, Terms], failures: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """One row per cell of the stages that can be asked about, with ``COLUMNS``; a cell of several tables counts once.

    A platform without terms has no price and runs no stand-in. Throughput is that of the view: tokens of training
    steps, or generated tokens of a server. ``failures`` has the last failure of cells without a result, by key.
    """
    distinct = {(r.cell.platform, r.cell.id, r.cell.key): r for r in records if r.cell.stage in get_args(AskedStage)}
    rows = []
    for stage, view in _VIEW.items():
        found = [record for record in distinct.values() if record.cell.stage == stage]
        for record, row in zip(found, plain_rows(tidy_frame(found, VIEWS[view])), strict=True):
            rows.append(_row(record, row, terms.get(without_set(record.cell.platform), Terms()), failures or {}))
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def _row(record: Record, row: Mapping[str, Any], terms: Terms, failures: Mapping[str, str]) -> dict[str, Any]:
    cell, serves = record.cell, record.cell.stage == "serve"
    shared = {name: row[name] for name in COLUMNS if name in row}
    status, reason = row["status"], row["reason"]
    if record.result is None and not cell.unsupported:
        failed = failures.get(cell.key or "")
        status, reason = (Status.FAILED.value, failed) if failed else (NOT_MEASURED, "")
    numbers = _numbers(row, cell.n_gpus, terms.price, serves) if status == Status.OK else {}
    return {
        **shared, **numbers, "platform": without_set(cell.platform), "platform_label": record.platform.label,
        "stand_in": cell.model in terms.stand_ins, "work": _work(cell.workload, cell.seq_len, serves),
        "batch": row.get("batch_measured") or cell.batch, "status": status, "reason": reason,
        "price_per_gpu_hour": terms.price.per_gpu_hour if terms.price else None,
        "currency": terms.price.currency if terms.price else None,
    }  # fmt: skip


def _numbers(row: Mapping[str, Any], n_gpus: int, price: Price | None, serves: bool) -> dict[str, Any]:
    """The numbers of a cell that ended ``ok``."""
    rate = "output_tokens_per_s" if serves else "tokens_per_s"
    value, low, high = (row[rate],) * 3 if serves else (row[rate + end] for end in ENDS)
    per_joule = row["tokens_per_joule_served" if serves else "tokens_per_joule"]
    per_hour = price.per_gpu_hour * n_gpus if price else None
    million = (1e6 / value, 1e6 / high, 1e6 / low)
    found = _ends("tokens_per_s", value, low, high)
    found |= _ends("tokens_per_s_per_gpu", value / n_gpus, low / n_gpus, high / n_gpus)
    found |= _ends("seconds_per_million_tokens", *million)
    if per_hour:
        found |= _ends("cost_per_million_tokens", *(per_hour * seconds / 3600 for seconds in million))
        found |= _ends("tokens_per_price", *(3600 * tokens / per_hour for tokens in (value, low, high)))
    energy = {"tokens_per_joule": per_joule, "joules_per_token": 1 / per_joule if per_joule else None}
    return {**found, **energy, **_memory(row, serves), "has_interval": not serves}


def _memory(row: Mapping[str, Any], serves: bool) -> dict[str, Any]:
    """Peak memory of one GPU: NVML's if there is one, else that of the allocator or the processes."""
    if serves:
        return {"memory_gib": row["server_memory_gib"], "memory_source": row["server_memory_source"]}
    if row["nvml_peak_memory_gib"] is not None:
        return {"memory_gib": row["nvml_peak_memory_gib"], "memory_source": "nvml"}
    return {"memory_gib": row["peak_memory_gib"], "memory_source": row["peak_memory_source"]}


def _ends(name: str, value: float, low: float, high: float) -> dict[str, float]:
    return {f"{name}{end}": number for end, number in zip(ENDS, (value, low, high), strict=True)}


def _work(workload: str, seq_len: int | None, serves: bool) -> str:
    """The work of a cell without how it is done; only settings with the same work are ranked together.

    For a server it is the load without its GPUs, for training the length of a sequence.
    """
    return workload.rsplit("-n", 1)[0] if serves else f"s{seq_len}"
