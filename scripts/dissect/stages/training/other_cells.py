"""What other cells of the store show of a cell: whether it must run out of memory, and where a search may start."""

import logging
from typing import Any

from dissect.base.outcome import Flag, Status
from dissect.base.units import GIB
from dissect.cells.frameworks import state_bytes
from dissect.cells.spec import TrainingSpec, canonical_spec, spec_key
from dissect.metrics.training import TrainingMetrics
from dissect.predict.outlook import LargestBatch, largest_batch
from dissect.results.result import Result
from dissect.results.store import Store
from dissect.stages.training.search import SearchStart, bracket

_LOG = logging.getLogger(__name__)


def with_batch(spec: TrainingSpec, batch: int | str) -> TrainingSpec:
    """The same cell with another batch."""
    workload = spec.workload.model_copy(update={"batch": batch})
    return spec.model_copy(update={"workload": workload})


def certain_oom(spec: TrainingSpec, store: Store) -> str | None:
    """Why the cell must run out of memory, in one sentence; None if it has to be tried."""
    needed, there = state_bytes(spec), spec.hardware.device_memory_bytes
    if needed > there:
        return (
            f"parameters, gradients and optimizer states alone take {needed / GIB:.2f} GiB per GPU, "
            f"{there / GIB:.2f} GiB are available"
        )
    wanted = spec.workload.batch
    for batch in range(1, 2 if wanted == "max" else wanted):
        key = spec_key(canonical_spec(with_batch(spec, batch)))
        smaller = store.entry(key).peek()
        if smaller is not None and smaller.status is Status.OOM:
            return f"batch {batch} of the same cell already ran out of memory (key {key}, phase {smaller.phase})"
    return None if wanted == "max" else _searched(spec, wanted, store)


def _searched(spec: TrainingSpec, batch: int, store: Store) -> str | None:
    """Why the search of the ``max`` cell otherwise alike rules the batch out; None if it does not."""
    key = spec_key(canonical_spec(with_batch(spec, "max")))
    runs = store.entry(key).peek()
    if runs is None:
        return None
    ran_out = 1 if runs.status is Status.OOM else _smallest_oom(runs.newest)
    if ran_out is None or ran_out > batch:
        return None
    return f"the search for the largest batch of the same cell ran out of memory at batch {ran_out} (key {key})"


def _smallest_oom(result: Result) -> int | None:
    """The smallest batch that ran out of memory for certain; None where others may have had some of the GPUs'."""
    if Flag.OTHER_PROCESSES in result.flags and result.spec.hardware.device != "cpu":
        return None
    return bracket(result.metrics.trials).ran_out if isinstance(result.metrics, TrainingMetrics) else None


def search_start(spec: TrainingSpec, store: Store) -> SearchStart:
    """Where a search for the largest batch starts: at the predicted one.

    Without a prediction, at that of the most similar ``max`` cell in the store, of the same hardware and model.
    """
    if (found := _predicted(spec)) is not None:
        return predicted_start(found)
    wanted = spec.model_dump(mode="json")
    known = [(_likeness(wanted, other), entry) for entry, other in store.specs() if _is_comparable(wanted, other)]
    for _, entry in sorted(known, key=lambda pair: -pair[0]):
        runs = entry.peek()
        if runs is not None and isinstance(runs.newest.metrics, TrainingMetrics):
            return SearchStart(runs.newest.metrics.batch, "similar cell")
    return SearchStart()


def predicted_start(found: LargestBatch) -> SearchStart:
    """Where a search starts whose limit is predicted."""
    return SearchStart(max(1, found.expected), "prediction", range(found.low, found.high + 1))


def _predicted(spec: TrainingSpec) -> LargestBatch | None:
    try:
        return largest_batch(spec)
    except Exception:  # whatever a prediction gets wrong, the search finds the limit
        _LOG.exception("the largest batch cannot be predicted")
        return None


def _is_comparable(wanted: dict[str, Any], other: dict[str, Any]) -> bool:
    return (
        other.get("stage") == wanted["stage"]
        and other.get("workload", {}).get("batch") == "max"
        and all(other.get(part) == wanted[part] for part in ("model", "hardware"))
    )


def _likeness(wanted: dict[str, Any], other: dict[str, Any]) -> int:
    """Number of equal fields of method and workload."""
    return sum(_shared(wanted[part], other[part]) for part in ("method", "workload"))


def _shared(one: dict[str, Any], other: dict[str, Any]) -> int:
    return sum(other.get(name) == value for name, value in one.items())
