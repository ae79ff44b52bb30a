"""Matrix products below the roof that a GPU's peak and memory bandwidth make (Williams et al., 2009)."""

from collections.abc import Iterator, Sequence
from typing import Any

from dissect.base.outcome import Status
from dissect.present.figures.roofline import roof
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
    plain,
    rounded,
)
from dissect.present.tables.views import VIEWS

_TERA = 1e12
_CAPTION = (
    "Each point is a matrix product: its throughput over its arithmetic intensity. The lines are what the declared "
    "peak and memory bandwidth of one GPU allow; a point far below its roof leaves performance on the table."
)


def roofline_charts(cells: Cells) -> Iterator[Chart]:
    """One chart of the matrix products on all platforms."""
    records = [record for record in cells.of_stage("operators") if record.cell.framework == "gemm"]
    rows = rows_of(records, "gemm")
    measured = [row for row in rows if row["status"] == Status.OK]
    if not measured:
        return
    groups = _grouped(measured, "platform", "dtype")
    roofs = [(inside, _roof(cells, inside, measured)) for inside in groups]
    bare = list(dict.fromkeys(cells.label("platform", inside[0]) for inside, trace in roofs if not trace))
    said = f"No peak and no memory bandwidth are declared, so there is no roof: {', '.join(bare)}." if bare else ""
    yield Chart(
        name="roofline",
        stage="operators",
        title="Roofline of matrix products",
        caption=" ".join(filter(None, [_CAPTION, said, count_missing(rows, "size")])),
        figure={
            "data": [trace for _, trace in roofs if trace]
            + [_points(cells, inside) for inside in _grouped(measured, "platform", "dtype", "model")],
            "layout": {
                "xaxis": log_axis(
                    "Arithmetic intensity (FLOP/byte)", [row["arithmetic_intensity"] for row in measured]
                ),
                "yaxis": log_axis("Throughput (TFLOP/s)", [row["tflops"] for row in measured]),
            },
        },
        missing=missing_of(rows),
        tables=cells.tables_of(records),
    )


def _grouped(rows: Sequence[Row], *names: str) -> list[list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return list(groups.values())


def _points(cells: Cells, rows: Sequence[Row]) -> dict[str, Any]:
    """The products of one model, or the squares, on one platform at one dtype."""
    row = rows[0]
    model = "square matrices" if row["product"] == "square" else cells.label("model", row)
    return {
        "type": "scatter", "mode": "markers", "name": f"{cells.label('platform', row)}, {row['dtype']}: {model}",
        "x": [rounded(row["arithmetic_intensity"]) for row in rows], "y": [rounded(row["tflops"]) for row in rows],
        "marker": {
            "color": colour(cells.colour_of(row["platform"])), "size": 8,
            "symbol": SYMBOLS[cells.symbol_of(row["model"]) % len(SYMBOLS)],
            "line": {"color": "var(--paper)", "width": 1},
        },
        "hovertext": [_hover(cells, row) for row in rows], "hovertemplate": "%{hovertext}<extra></extra>",
        "customdata": [identity(row) for row in rows],
    }  # fmt: skip


def _roof(cells: Cells, rows: Sequence[Row], drawn: Sequence[Row]) -> dict[str, Any] | None:
    """Over the intensities of all points, with the ridge; None where the platform declares neither limit."""
    facts = cells.manifest.platforms[rows[0]["platform"]]
    peak, bandwidth = facts.peak_flops.get(rows[0]["dtype"]), facts.memory_bytes_per_s
    intensities = [row["arithmetic_intensity"] for row in drawn]
    ends = (min(intensities) / 1.6, max(intensities) * 1.6)
    ridge = [peak / bandwidth] if peak and bandwidth else []
    corners = sorted({*ends, *(at for at in ridge if ends[0] < at < ends[1])})
    heights = [height / _TERA for at in corners if (height := roof(at, peak, bandwidth))]
    if not heights:
        return None
    name = f"{cells.label('platform', rows[0])}, {rows[0]['dtype']}"
    limits = [f"peak {peak / _TERA:,.4g} TFLOP/s"] if peak else []
    limits += [f"memory {bandwidth / 1e9:,.4g} GB/s"] if bandwidth else []
    return {
        "type": "scatter", "mode": "lines", "name": f"{name}: roof", "x": [rounded(at) for at in corners],
        "y": [rounded(height) for height in heights],
        "line": {"color": colour(cells.colour_of(rows[0]["platform"])), "dash": "dash", "width": 1.5},
        "hovertemplate": f"<b>{name}</b><br>{'<br>'.join(limits)}<extra></extra>",
        "meta": {"cell": ["", *identity(rows[0])[1:3], "*", "*", "*"]},
    }  # fmt: skip


def _hover(cells: Cells, row: Row) -> str:
    view = VIEWS["gemm"].by_name
    lines = [f"<b>{plain(str(row['product']))}</b>, {row['rows']:,} rows", cells.name(row, "platform", "model")]
    for name in ("tflops", "peak_share", "arithmetic_intensity"):
        if row[name] is not None:
            ends = [row.get(f"{name}{end}") for end in ("_low", "_high")]
            lines.append(f"{view[name].header}: {view[name].show(row[name], *ends)} {view[name].unit}")
    return "<br>".join(lines)
