"""Scaling efficiency of training cells, which compares cells of one table."""

from collections.abc import Mapping, Sequence
from typing import Any

from dissect.base.outcome import Status
from dissect.config.layout import QuantityName
from dissect.present.tables.columns import Record
from dissect.present.tables.over_runs import ratio_of, times, values_of
from dissect.statistics.run_values import RunValue

RATE: QuantityName = "tokens_per_s"
_SETTING = ("platform", "model", "framework", "method", "seq_len", "batch")
"""What cells have in common whose numbers of GPUs are compared."""


def fill_efficiency(rows: Sequence[tuple[Record, dict[str, Any]]]) -> None:
    """Fill in throughput per GPU over that of the fewest GPUs; 1 by definition for these, so without an interval.

    The interval is that of the ratio over runs, which runs of one round make narrower. Without a throughput on either
    side, or on any other number of GPUs, there is no efficiency.
    """
    settings: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for _, row in rows:
        if row["status"] == Status.OK:
            settings.setdefault(tuple(row[axis] for axis in _SETTING), []).append(row)
    for several in settings.values():
        fewest = min(several, key=lambda row: row["n_gpus"])
        if all(row["n_gpus"] == fewest["n_gpus"] for row in several):
            continue
        for row in several:
            names = (f"scaling_efficiency{end}" for end in ("", "_low", "_high"))
            row |= dict(zip(names, _efficiency(fewest, row), strict=True))


def _efficiency(fewest: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    if row["n_gpus"] == fewest["n_gpus"]:
        return 1.0 if per_gpu(row) else None, None, None
    found = ratio_of(per_gpu(fewest), per_gpu(row))
    return (found.ratio, found.low, found.high) if found else (None, None, None)


def per_gpu(row: Mapping[str, Any]) -> Sequence[RunValue]:
    """Throughput per GPU of each run of a row."""
    return times(values_of(row, RATE), 1 / row["n_gpus"])
