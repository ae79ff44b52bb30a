"""Scaling: throughput and efficiency of one setting over the number of GPUs."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from dissect.base.outcome import Status
from dissect.config.layout import Axis
from dissect.present.report.charts.cells import Cells, rows_of
from dissect.present.report.charts.chart import (
    SYMBOLS,
    Chart,
    Row,
    colour,
    count_missing,
    identity,
    log_axis,
    missing_of,
    rounded,
)
from dissect.present.tables.columns import Record
from dissect.present.tables.efficiency import efficiencies

_SETTING: tuple[Axis, ...] = ("platform", "model", "framework", "method", "seq_len", "batch")
_CAPTION = (
    "Each line is one setting measured with several numbers of GPUs (on CPU: processes). Dashed: ideal scaling from "
    "its smallest measured number. Bars are 95 % intervals."
)
_LABELS = ("Throughput", "Efficiency")


def scaling_charts(cells: Cells) -> Iterator[Chart]:
    """One chart of all training settings that are planned with more than one number of GPUs."""
    settings: dict[tuple[Any, ...], list[Record]] = {}
    for record in cells.of_stage("pretrain", "finetune"):
        place = (record.cell.stage, *(getattr(record.cell, name) for name in _SETTING))
        settings.setdefault(place, []).append(record)
    several = [group for group in settings.values() if len({record.cell.n_gpus for record in group}) > 1]
    records = [record for group in several for record in group]
    rows = rows_of(records, "training")
    if not any(row["status"] == Status.OK for row in rows):
        return
    traces = [trace for n, group in enumerate(several) for trace in _traces(cells, rows_of(group, "training"), n)]
    yield Chart(
        name="scaling",
        stage="pretrain",
        title="Throughput over the number of GPUs",
        caption=f"{_CAPTION} {count_missing(rows)}".rstrip(),
        figure={"data": traces, "layout": _layout(rows)},
        missing=missing_of(rows),
        tables=cells.tables_of(records),
    )


def _layout(rows: Sequence[Row]) -> dict[str, Any]:
    counts = sorted({row["n_gpus"] for row in rows})
    ticks = {"tickvals": counts, "ticktext": [str(count) for count in counts]}
    throughputs = [row["tokens_per_s"] for row in rows if row["tokens_per_s"]]
    # Ideal scaling is a straight line only where both axes are logarithmic.
    axes = (
        log_axis("Throughput (tokens/s)", throughputs),
        {"title": {"text": "Scaling efficiency (%)"}, "type": "linear", "rangemode": "tozero", "dtick": None},
    )
    return {
        "xaxis": {"title": {"text": _count_label(rows)}, "type": "log", **ticks},
        "yaxis": {},
        "meta": {"choices": [{"label": name, "yaxis": each} for name, each in zip(_LABELS, axes, strict=True)]},
    }


def _count_label(rows: Sequence[Row]) -> str:
    devices = {row["device"] for row in rows} - {None}
    if devices == {"cpu"}:
        return "Number of processes"
    return "Number of GPUs (CPU: processes)" if "cpu" in devices else "Number of GPUs"


def _traces(cells: Cells, rows: Sequence[Row], number: int) -> Iterator[dict[str, Any]]:
    """Per choice the measured line, and the ideal one from its first point."""
    measured = sorted((row for row in rows if row["status"] == Status.OK), key=lambda row: row["n_gpus"])
    if not measured:
        return
    first, last = measured[0], measured[-1]
    counts = [first["n_gpus"], last["n_gpus"]]
    throughput = [(row["tokens_per_s"], row["tokens_per_s_low"], row["tokens_per_s_high"]) for row in measured]
    share = [(point.efficiency, point.low, point.high) for point in efficiencies(pd.DataFrame(measured))]
    ideal = [first["tokens_per_s"] * count / counts[0] for count in counts]
    for choice, (numbers, straight, unit) in enumerate(((throughput, ideal, "tokens/s"), (share, [100, 100], "%"))):
        yield {
            "type": "scatter", "mode": "lines", "x": counts, "y": [rounded(value) for value in straight],
            "line": {"color": "var(--ink)", "dash": "dash", "width": 1.5}, "opacity": 0.45, "hoverinfo": "skip",
            "showlegend": False, "meta": {"choice": choice, "cell": identity(first)},
        }  # fmt: skip
        yield _line(cells, measured, numbers, unit, number) | {"meta": {"choice": choice}}


def _line(
    cells: Cells, rows: Sequence[Row], numbers: Sequence[tuple[float, float, float]], unit: str, number: int
) -> dict[str, Any]:
    name = cells.name(rows[0], *_SETTING[:4])
    tone = colour(number)
    return {
        "type": "scatter", "mode": "lines+markers", "name": name, "legendgroup": f"{name} {number}",
        "x": [row["n_gpus"] for row in rows], "y": [rounded(value) for value, _, _ in numbers],
        "error_y": {
            "type": "data", "symmetric": False, "array": [rounded(high - value) for value, _, high in numbers],
            "arrayminus": [rounded(value - low) for value, low, _ in numbers], "color": tone, "width": 3,
        },
        "hovertext": [
            f"<b>{name}</b><br>{row['n_gpus']} GPUs, {cells.name(row, 'seq_len', 'batch')}<br>"
            f"{value:,.4g} [{low:,.4g}–{high:,.4g}] {unit}"
            for row, (value, low, high) in zip(rows, numbers, strict=True)
        ],
        "hovertemplate": "%{hovertext}<extra></extra>", "customdata": [identity(row) for row in rows],
        "line": {"color": tone, "width": 2}, "marker": {"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 9},
    }  # fmt: skip
