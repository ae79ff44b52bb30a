"""Throughput against memory: every training cell, and those that no other beats in both."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dissect.base.outcome import Status
from dissect.present.report.charts.cells import Cells, rows_of
from dissect.present.report.charts.chart import (
    SYMBOLS,
    Chart,
    Row,
    axis,
    colour,
    count_missing,
    identity,
    missing_of,
    plain,
    rounded,
)
from dissect.present.tables.views import VIEWS

_STAGES: Mapping[str, str] = {"pretrain": "Pre-training", "finetune": "Fine-tuning"}
_HOVER = ("tokens_per_s", "peak_memory_gib", "nvml_peak_memory_gib", "mfu")
_CAPTION = (
    "Each point is one cell: peak memory of one GPU against throughput per GPU (on CPU: of one process). Up and to the "
    "left is better. The stepped line joins the cells that no other of the same platform and model beats in both; "
    "b is the batch per GPU."
)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the (cost, gain) points that no other equals or beats in both, by ascending cost.

    Of points that are equal in both the first one stands for all.
    """
    front: list[int] = []
    for index in sorted(range(len(points)), key=lambda each: (points[each][0], -points[each][1])):
        if not front or points[index][1] > points[front[-1]][1]:
            front.append(index)
    return front


def memory_charts(cells: Cells) -> Iterator[Chart]:
    """One chart per training stage that has numbers."""
    for stage, title in _STAGES.items():
        records = cells.of_stage(stage)
        rows = rows_of(records, "training")
        measured = [row for row in rows if row["status"] == Status.OK]
        if measured:
            yield Chart(
                name=f"memory-{stage}",
                stage=stage,
                title=f"{title}: throughput against memory",
                caption=f"{_CAPTION} {count_missing(rows)}".rstrip(),
                figure={"data": list(_traces(cells, measured)), "layout": _layout(measured)},
                missing=missing_of(rows),
                tables=cells.tables_of(records),
            )


def _layout(rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "xaxis": axis("Peak memory per GPU (GiB)", [row["peak_memory_gib"] for row in rows]),
        "yaxis": axis("Throughput (tokens/s per GPU)", [_per_gpu(row) for row in rows]),
    }


def _traces(cells: Cells, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Per platform and model its points, followed by their front."""
    places = dict.fromkeys((row["platform"], row["model"]) for row in rows)
    for platform, model in places:
        inside = [row for row in rows if (row["platform"], row["model"]) == (platform, model)]
        tone = colour(cells.colour_of(platform))
        shared = {"legendgroup": f"{platform} {model}", "name": cells.name(inside[0], "platform", "model")}
        symbol = SYMBOLS[cells.symbol_of(model) % len(SYMBOLS)]
        points = _points(cells, inside)
        yield {
            **shared, **points, "type": "scatter", "mode": "markers", "hovertemplate": "%{hovertext}<extra></extra>",
            "marker": {"color": tone, "symbol": symbol, "size": 9, "line": {"color": "var(--paper)", "width": 1}},
        }  # fmt: skip
        front = pareto_front(list(zip(points["x"], points["y"], strict=True)))
        yield {
            **shared, **{name: [values[at] for at in front] for name, values in points.items()}, "type": "scatter",
            "mode": "lines+text", "showlegend": False, "textposition": "top left", "hoverinfo": "skip",
            "line": {"color": tone, "shape": "hv", "width": 1.5}, "meta": {"front": True},
            "textfont": {"color": "var(--ink)", "size": 11},
        }  # fmt: skip


def _points(cells: Cells, rows: Sequence[Row]) -> dict[str, list[Any]]:
    return {
        "x": [rounded(row["peak_memory_gib"]) for row in rows],
        "y": [rounded(_per_gpu(row)) for row in rows],
        "hovertext": [_hover(cells, row) for row in rows],
        "customdata": [identity(row) for row in rows],
        "text": [f"{cells.label('method', row)}, b{row['batch_measured']}" for row in rows],
    }


def _hover(cells: Cells, row: Row) -> str:
    quantities = [VIEWS["training"].by_name[name] for name in _HOVER]
    lines = [f"<b>{cells.label('method', row)}</b>, {cells.name(row, 'platform', 'model', 'framework')}"]
    lines.append(f"{plain(row['workload'])}, batch {row['batch_measured']} per GPU, {row['n_gpus']} GPUs")
    for quantity in quantities:
        if row[quantity.name] is not None:
            ends = [row.get(f"{quantity.name}{end}") for end in ("_low", "_high")]
            lines.append(f"{quantity.header}: {quantity.show(row[quantity.name], *ends)} {quantity.unit}")
    return "<br>".join(lines)


def _per_gpu(row: Row) -> float:
    value: float = row["tokens_per_s"] / row["n_gpus"]
    return value
