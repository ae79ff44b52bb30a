"""All cells that a question can match, as rows of comparable numbers: per GPU, per joule, per unit of money."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, get_args

from dissect.base.outcome import Status
from dissect.cells.cell_id import without_set
from dissect.cells.spec import ServeSpec, TrainingSpec
from dissect.cells.terms import Terms
from dissect.config.layout import ViewName
from dissect.config.price import price_that_counts
from dissect.config.question import AskedStage
from dissect.present.tables.columns import Record
from dissect.present.tables.on_device import DEVICE_RATE
from dissect.present.tables.over_runs import RUN_VALUES, values_of
from dissect.present.tables.rate_views import BOUND, search_of
from dissect.present.tables.start_classes import START_CLASS
from dissect.present.tables.tidy import rows_once
from dissect.present.tables.views import VIEWS
from dissect.statistics.run_values import RunValue

NOT_MEASURED = "not measured"
UNSUPPORTED = "unsupported"
CALIBRATED = "calibrated"
"""Part of the name of a workload that is sent once more by another load generator."""
TIMES = ("ttft", "tpot", "latency")
PERCENTILES = ("p50", "p90", "p95", "p99")
ENDS = ("", "_low", "_high")
RATES = ("held_rate_per_s", "failed_rate_per_s", "latency_growth")
"""Numbers of a search alone: the rate that holds, the next one, which does not, and how far latency grew meanwhile."""
OBJECTIVE = ("objective_ttft_s", "objective_tpot_s", "objective_share")
"""What the requests of a search had to keep."""

NUMBERS = (
    "tokens_per_s", DEVICE_RATE, "tokens_per_s_per_gpu", "seconds_per_million_tokens", "cost_per_million_tokens",
    "tokens_per_price",
    *(f"{time}_{percentile}_s" for time in TIMES for percentile in PERCENTILES),
    "tokens_per_joule", "joules_per_token", *RATES,
)  # fmt: skip
"""Columns with ``_low`` and ``_high`` beside each, which are empty where runs give no interval."""
_AT_RATE = (*(f"latency_{percentile}_s" for percentile in PERCENTILES), "joules_per_token")
OWN_RATE = tuple(name + end for name in _AT_RATE for end in ENDS)
"""Columns that a search does not have: they would be at the rate that its own cell holds, and do not compare."""
LARGEST = ("memory_gib",)
"""Columns that hold the largest run, which no interval of a mean belongs to."""
COLUMNS = (
    "stage", "platform", "platform_label", "model", "stand_in", "framework", "method", "workload", "n_gpus", "batch",
    "device", "work", *OBJECTIVE, "states", "memory_is_held", "status", "reason",
    *(number + end for number in NUMBERS for end in ENDS), BOUND, *LARGEST,
    "memory_source", "price_per_gpu_hour", "currency", "reference", "flags", "runs", "starts", "measured_at",
    "machine", "git_commit", "key",
)  # fmt: skip
"""Fields of a candidate that the CSV has; ``number`` and fields of single runs come in addition."""
DEVICE_VALUES = "device_values"
"""Field of a candidate: column that follows from throughput -> its values in the runs as the device alone has them."""
SEARCHES = "searches"
"""Field of a candidate: the searches for the rate that holds in its runs, with every rate that was tried."""

_Read = tuple[tuple[float | None, float | None, float | None], list[RunValue]]
_VIEW: dict[AskedStage, ViewName] = {"pretrain": "training", "finetune": "training", "serve": "serving"}

_FIELDS = {
    *COLUMNS,
    *(number + end for number in LARGEST for end in ENDS),
    RUN_VALUES,
    DEVICE_VALUES,
    SEARCHES,
    START_CLASS,
    "number",
}


class Candidate(dict[str, Any]):
    """A row, None in columns that it does not fill: most rows of thousands fill a third. Others are a KeyError."""

    def __missing__(self, column: str) -> None:
        if column not in _FIELDS:
            raise KeyError(column)


def candidates(
    records: Iterable[Record],
    terms: Mapping[str, Terms],
    failures: Mapping[str, str] | None = None,
    price: float | str | None = None,
) -> list[dict[str, Any]]:
    """One row per cell of the stages that can be asked about, with ``COLUMNS``; a cell of several tables counts once.

    Cells of held memory have none to rank by, since their speed is that of no card.
    A platform without terms runs no stand-in, and has no price unless one is given for all. Throughput is that of the
    view: tokens of training steps, or generated tokens of a server. ``failures`` has the last failure of cells without
    a result, by key. Cells that calibrate the load generator are left out: they repeat the load of another cell.
    """
    distinct = {(r.cell.platform, r.cell.id, r.cell.key): r for r in records if r.cell.stage in get_args(AskedStage)}
    rows: list[dict[str, Any]] = []
    for stage, view in _VIEW.items():
        found = [r for r in distinct.values() if r.cell.stage == stage and CALIBRATED not in r.cell.workload.split("-")]
        for record in found:
            [row] = rows_once(record, VIEWS[view])
            terms_here = terms.get(without_set(record.cell.platform), Terms())
            made = _row(record, row, terms_here, failures or {}, price)
            filled = {column: value for column, value in made.items() if value is not None}
            rows.append(Candidate(filled, number=len(rows)))
    return rows


def _row(
    record: Record, row: Mapping[str, Any], terms: Terms, failures: Mapping[str, str], given: float | str | None
) -> dict[str, Any]:
    per_hour, currency = price_that_counts(given, terms.price) or (None, None)
    cell, serves, objective_ttft_s = record.cell, record.cell.stage == "serve", record.cell.objective_ttft_s
    without = OWN_RATE if objective_ttft_s else ()
    shared = {name: row[name] for name in (*COLUMNS, START_CLASS) if name in row and name not in without}
    status, reason = row["status"], row["reason"]
    if record.runs is None and not record.reason:
        failed = failures.get(cell.key or "")
        status, reason = (Status.FAILED.value, failed) if failed else (NOT_MEASURED, "")
    numbers: dict[str, Any] = {RUN_VALUES: {}, DEVICE_VALUES: {}}
    held = record.platform.memory_is_held
    if status == Status.OK and not held:
        rates = rows_once(record, VIEWS["rates"])[0] if objective_ttft_s else None
        numbers = _numbers(row, rates, cell.n_gpus, per_hour, serves)
        numbers |= {name: rates[name] for name in (*OBJECTIVE, BOUND)} if rates else {}
        numbers[SEARCHES] = [found for run in record.results if (found := search_of(run))] or None
    return {
        **shared, **numbers, "platform": without_set(cell.platform), "platform_label": record.platform.label,
        "stand_in": cell.model in terms.stand_ins, "work": work_of(record),
        "objective_ttft_s": objective_ttft_s, "states": _states(record), "memory_is_held": held,
        "batch": row.get("batch_measured") or cell.batch, "status": status, "reason": reason,
        "price_per_gpu_hour": per_hour, "currency": currency,
    }  # fmt: skip


def _numbers(
    row: Mapping[str, Any], rates: Mapping[str, Any] | None, n_gpus: int, per_hour: float | None, serves: bool
) -> dict[str, Any]:
    """The numbers of a cell that ended ``ok``, with intervals and the values of its runs; ``rates`` of a search."""
    rate = "output_tokens_per_s" if serves else "tokens_per_s"
    per_joule = "tokens_per_joule_served" if serves else "tokens_per_joule"
    memory, source = _memory(row, serves)
    of_rate = {
        "tokens_per_s": (1.0, False),
        "tokens_per_s_per_gpu": (1 / n_gpus, False),
        "seconds_per_million_tokens": (1e6, True),
    }
    if per_hour:
        per_second = per_hour * n_gpus / 3600
        of_rate |= {"cost_per_million_tokens": (1e6 * per_second, True), "tokens_per_price": (1 / per_second, False)}
    found = {name: _read(row, rate, *how) for name, how in of_rate.items()}
    on_device = {name: _read(row, DEVICE_RATE, *how) for name, how in of_rate.items()}
    found |= {
        "tokens_per_joule": _read(row, per_joule),
        "joules_per_token": _read(row, per_joule, inverse=True),
        "memory_gib": _read(row, memory),
        DEVICE_RATE: _read(row, DEVICE_RATE),
    }
    found |= {name: _read(row, name) for name in NUMBERS if serves and name.split("_")[0] in TIMES}
    if rates:
        found = {name: each for name, each in found.items() if name not in OWN_RATE}
        found |= {name: _read(rates, name) for name in RATES}
    ends = {
        column: each for name, (three, _) in found.items() for column, each in zip(_columns(name), three, strict=True)
    }
    return {**ends, RUN_VALUES: _runs(found), DEVICE_VALUES: _runs(on_device), "memory_source": source}


@cache
def _columns(name: str) -> tuple[str, ...]:
    """A number and its ends; the same texts for thousands of rows."""
    return tuple(name + end for end in ENDS)


def _runs(numbers: Mapping[str, _Read]) -> dict[str, list[RunValue]]:
    return {name: runs for name, (_, runs) in numbers.items()}


def _read(row: Mapping[str, Any], name: str, factor: float = 1.0, inverse: bool = False) -> _Read:
    """A number of a row times a factor, or the factor over it: value, ends of its interval, and its runs' values."""

    def convert(value: float | None) -> float | None:
        return None if not value else factor / value if inverse else factor * value

    runs = [RunValue(convert(each.value) or 0.0, each.start, each.round) for each in values_of(row, name)]
    value, low, high = (convert(row.get(column)) for column in _columns(name))
    return (value, *((high, low) if inverse else (low, high))), runs


def _memory(row: Mapping[str, Any], serves: bool) -> tuple[str, str]:
    """Quantity of the peak memory of one GPU, and its source: NVML's, else that of the allocator or the processes."""
    if serves:
        return "server_memory_gib", row["server_memory_source"]
    if row["nvml_peak_memory_gib"] is not None:
        return "nvml_peak_memory_gib", "nvml"
    return "peak_memory_gib", row["peak_memory_source"]


def work_of(record: Record) -> str:
    """The work of a cell without how it is done; only settings with the same work are ranked together.

    For a server it is the load without its GPUs. For training it is the length of a sequence, the batch of a GPU or the
    largest that each setting can do, and what trains. The data type belongs to both.
    """
    cell = record.cell
    if cell.stage == "serve":
        return cell.workload.rsplit("-n", 1)[0] + _other_dtype(record.spec)
    return training_work(cell.seq_len, cell.batch, record.spec)


def training_work(seq_len: int | None, batch: int | str | None, spec: object) -> str:
    """That of training with its spec; of a cell without a run only its adapter's name would be known."""
    size = "the largest batch of each setting" if batch == "max" else f"batch {batch}"
    trains = _trained(spec.method) if isinstance(spec, TrainingSpec) else "what its method trains"
    return f"sequences of {seq_len} tokens, {size} per GPU, {trains}{_other_dtype(spec)}"


def _other_dtype(spec: object) -> str:
    """The data type in words unless it is the usual one; nothing where no run tells it."""
    dtype = spec.workload.dtype if isinstance(spec, TrainingSpec | ServeSpec) else "bf16"
    return "" if dtype == "bf16" else f", in {dtype}"


def _states(record: Record) -> str | None:
    """Precision of the optimizer states of a training cell with a run, if its weights are bf16."""
    spec = record.spec
    return spec.method.states if isinstance(spec, TrainingSpec) and spec.workload.dtype == "bf16" else None


def _trained(method: Any) -> str:
    """What the optimizer updates."""
    if adapter := method.trained_adapter:
        fields = ", ".join(
            f"{name} {'/'.join(value) if isinstance(value, list) else value}"
            for name, value in adapter.model_dump(exclude={"kind"}).items()
        )
        return f"{adapter.kind} trains ({fields})"
    return "all but a frozen 4-bit base trains" if method.is_quantized else "all parameters train"
