"""Latency of serving: which share of the requests was answered within which time."""

from collections.abc import Iterator, Sequence
from typing import Any

from dissect.cells.spec import ServeSpec
from dissect.config.layout import Axis
from dissect.metrics.serving import ServingMetrics
from dissect.present.report.charts.cells import Cells, rows_of
from dissect.present.report.charts.chart import (
    DASHES,
    Chart,
    Missing,
    Row,
    colour,
    count_missing,
    identity,
    missing_of,
    plain,
    rounded,
)
from dissect.present.tables.columns import Quantity, Record, metrics_of
from dissect.present.tables.views import VIEWS
from dissect.statistics.quantiles import quantile

_QUANTITIES: tuple[Quantity, ...] = tuple(VIEWS["requests"].by_name[n] for n in ("latency_s", "ttft_s", "tpot_s"))
_CHOICES = ("End to end", "TTFT", "TPOT")
_MOST_POINTS = 100
_WITHIN: tuple[Axis, ...] = ("model", "method", "workload")
_CAPTION = (
    "Share of the requests of a cell that were answered within the time on the axis; further left is better. End to "
    "end: from the send to the end of the answer. TTFT: to its first token. TPOT: time per output token after that."
)


def cdf_points(samples: Sequence[float], most: int = _MOST_POINTS) -> list[tuple[float, float]]:
    """Corners (value, percent) of the empirical distribution, from 0 % at the smallest sample.

    More samples than ``most`` are drawn as that many evenly spaced quantiles, the largest sample included.
    """
    ordered = sorted(samples)
    if not ordered:
        return []
    steps = min(len(ordered), most)
    shares = [(step + 1) / steps for step in range(steps)]
    return [(ordered[0], 0.0), *((quantile(ordered, share), 100 * share) for share in shares)]


def latency_charts(cells: Cells) -> Iterator[Chart]:
    """One chart per platform that served anything."""
    records = cells.of_stage("serve")
    for number, platform in enumerate(dict.fromkeys(record.cell.platform for record in records)):
        here = [record for record in records if record.cell.platform == platform]
        measured = [record for record in here if metrics_of(record, ServingMetrics)]
        if not measured:
            continue
        rows = rows_of(here, "serving")
        absent = tuple(_not_drawn(measured))
        told = [_CAPTION, *([f"{len(absent)} kinds of samples are missing."] if absent else []), count_missing(rows)]
        yield Chart(
            name=f"latency-{number + 1}",
            stage="serve",
            title=f"Serving on {cells.manifest.platforms[platform].label}: latency of the requests",
            caption=" ".join(filter(None, told)),
            figure={"data": list(_traces(cells, measured)), "layout": _layout()},
            missing=(*missing_of(rows), *absent),
            tables=cells.tables_of(here),
        )


def _layout() -> dict[str, Any]:
    titles = [f"{quantity.header} ({quantity.unit})" for quantity in _QUANTITIES]
    return {
        "xaxis": {"rangemode": "tozero"},
        "yaxis": {"title": {"text": "Share of requests (%)"}, "range": [0, 101]},
        "meta": {
            "choices": [
                {"label": name, "xaxis": {"title": {"text": title}}}
                for name, title in zip(_CHOICES, titles, strict=True)
            ],
        },
    }


def _traces(cells: Cells, records: Sequence[Record]) -> Iterator[dict[str, Any]]:
    """Per kind of latency one line per cell: colours are engines, dashes tell the cells of one engine apart."""
    engines = list(dict.fromkeys(record.cell.framework for record in records))
    axes = tuple(axis for axis in _WITHIN if len({getattr(record.cell, axis) for record in records}) > 1)
    within = list(dict.fromkeys(tuple(getattr(record.cell, axis) for axis in axes) for record in records))
    for choice, quantity in enumerate(_QUANTITIES):
        for record in records:
            row = record.cell.model_dump()
            metrics = metrics_of(record, ServingMetrics)
            samples = getattr(metrics.samples, quantity.name) if metrics else None
            if not samples:
                continue
            name = cells.name(row, "framework", *axes)
            dash = within.index(tuple(row[axis] for axis in axes)) % len(DASHES)
            points = cdf_points([quantity.scale * value for value in samples])
            look = {
                "color": colour(engines.index(row["framework"])),
                "dash": DASHES[dash], "shape": "hv", "width": 2,
            }  # fmt: skip
            yield {
                "type": "scatter", "mode": "lines", "name": name, "line": look, "x": [rounded(x) for x, _ in points],
                "y": [rounded(y) for _, y in points], "hovertemplate": _hover(cells, row, quantity),
                "meta": {"choice": choice, "cell": identity(row)},
            }  # fmt: skip


def _hover(cells: Cells, row: Row, quantity: Quantity) -> str:
    what = f"{quantity.header}: %{{y:.0f}} % within %{{x:.4g}} {quantity.unit}"
    place = f"{cells.name(row, 'model', 'method')}, {plain(row['workload'])}"
    return f"<b>{cells.label('framework', row)}</b> {place}<br>{what}<extra></extra>"


def _not_drawn(records: Sequence[Record]) -> Iterator[Missing]:
    """Requests that got no answer, and latencies that answers in one piece do not have."""
    whole, lost = [], []
    for record in records:
        metrics = metrics_of(record, ServingMetrics)
        spec = record.result.spec if record.result else None
        if metrics and metrics.samples.ttft_s is None:
            whole.append(record.cell.id)
        if metrics and isinstance(spec, ServeSpec) and metrics.requests < spec.workload.requests:
            lost.append(f"{record.cell.id}: {spec.workload.requests - metrics.requests} of {spec.workload.requests}")
    if whole:
        yield Missing("TTFT and TPOT: answers came whole", tuple(whole))
    if lost:
        yield Missing("Requests without an answer are not in the lines", tuple(lost))
