"""What the time of a training step goes into: by phase, and by module of the model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dissect.base.outcome import Status
from dissect.present.report.charts.cells import Cells, rows_of
from dissect.present.report.charts.chart import Chart, Row, colour, count_missing, identity, missing_of, plain, rounded
from dissect.present.tables.labels import axis_label

_PHASES = ("step", "forward", "backward", "optimizer")
_PARTS = (
    ("Compute", 0),
    ("Communication beside compute", 4),
    ("Communication alone", 1),
    ("Idle", None),
)
"""Part of a phase and its colour."""
_OTHER = "Other"
_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "Attention, projections": ("qkv", "output_projection"),
    "Attention, core": ("rope", "scores", "softmax", "weighted_values", "attention_kernel", "attention_rest"),
    "MLP": ("gate", "up", "silu", "down"),
    "Norms and residuals": ("rms_norm", "residual"),
    "Embedding, head, loss": ("embedding", "head", "loss"),
    _OTHER: ("mask", "gradients", "unattributed"),
}
"""Modules of one colour; each is a piece of its own."""
_PHASES_CAPTION = (
    "Share of the phase in which compute kernels ran (on CPU: operators), alone or beside communication, in which "
    "nothing but communication ran, and in which the device was idle. Under the profiler, mean over its steps."
)
_MODULES_CAPTION = (
    "Kernel time per step (on CPU: self time of operators) by module of the model. Each piece is one module, modules "
    "of one kind share a colour. Recomputation is part of the backward phase."
)
_DIRECTIONS = ("forward", "recomputation", "backward")


def phase_charts(cells: Cells) -> Iterator[Chart]:
    """One bar per profiled cell: how busy the device was in a phase, and with what."""
    records = cells.by_place(cells.of_stage("profile"))
    rows = rows_of(records, "phases")
    measured = [row for row in rows if row["status"] == Status.OK]
    if not measured:
        return
    choices = [phase for phase in _PHASES if any(row["step_phase"] == phase for row in measured)]
    traces = [
        trace
        for choice, phase in enumerate(choices)
        for trace in _phase_traces(cells, [row for row in measured if row["step_phase"] == phase], choice)
    ]
    yield Chart(
        name="phases",
        stage="profile",
        title="Where the time of a training step goes",
        caption=f"{_PHASES_CAPTION} {_without(rows)}".rstrip(),
        figure={"data": traces, "layout": _layout(cells, "Share of the phase (%)", "step_phase", choices)},
        missing=missing_of(rows),
        tables=cells.tables_of(records),
    )


def module_charts(cells: Cells) -> Iterator[Chart]:
    """One bar per profiled cell: which modules its kernels belong to."""
    records = cells.by_place(cells.of_stage("profile"))
    rows = rows_of(records, "modules")
    single = {module for family in _FAMILIES.values() for module in family}
    measured = [row for row in rows if row["status"] == Status.OK and row["module"] in single]
    if not measured:
        return
    choices = [each for each in _DIRECTIONS if any(row["direction"] == each for row in measured)]
    traces = [
        trace
        for choice, direction in enumerate(choices)
        for trace in _module_traces(cells, [row for row in measured if row["direction"] == direction], choice)
    ]
    yield Chart(
        name="modules",
        stage="profile",
        title="Which modules take the time",
        caption=f"{_MODULES_CAPTION} {_without(rows)}".rstrip(),
        figure={"data": traces, "layout": _layout(cells, "Share of the kernel time (%)", "direction", choices)},
        missing=missing_of(rows),
        tables=cells.tables_of(records),
    )


def phase_parts(row: Row) -> list[float]:
    """Seconds of a phase in the order of the parts; they sum to its overall time unless kernels outlast it."""
    overlapped, exposed = row["communication_overlapped_s"], row["communication_exposed_s"]
    alone = max(0.0, row["compute_time_s"] - overlapped)
    return [alone, overlapped, exposed, max(0.0, row["phase_time_s"] - row["compute_time_s"] - exposed)]


def _without(rows: Sequence[Row]) -> str:
    """Of the cells, not of their rows."""
    return count_missing(
        list({(row["platform"], row["model"], row["method"], row["workload"]): row for row in rows}.values())
    )


def _layout(cells: Cells, title: str, of: Any, choices: Sequence[str]) -> dict[str, Any]:
    labels = [axis_label(cells.manifest, of, choice) for choice in choices]
    return {
        "barmode": "stack",
        "xaxis": {"title": {"text": title}, "range": [0, 100]},
        "yaxis": {"autorange": "reversed", "showticklabels": False, "showgrid": False, "type": "category"},
        "meta": {"choices": [{"label": label} for label in labels], "row_px": 44},
    }


def _phase_traces(cells: Cells, rows: Sequence[Row], choice: int) -> Iterator[dict[str, Any]]:
    seconds = [phase_parts(row) for row in rows]
    for part, (label, tone) in enumerate(_PARTS):
        shares = [100 * each[part] / sum(each) if sum(each) else 0.0 for each in seconds]
        texts = [_piece(label, 1e3 * each[part], share) for each, share in zip(seconds, shares, strict=True)]
        yield _bars(rows, shares, texts, label, tone, choice)
    yield _names(cells, rows, choice)


def _module_traces(cells: Cells, rows: Sequence[Row], choice: int) -> Iterator[dict[str, Any]]:
    whole: dict[str, float] = {}
    for row in rows:
        whole[row["key"]] = whole.get(row["key"], 0.0) + row["module_time_s"]
    for number, (family, modules) in enumerate(_FAMILIES.items()):
        tone = None if family == _OTHER else number
        first = True
        for module in modules:
            inside = [row for row in rows if row["module"] == module and row["module_time_s"]]
            if inside:
                shares = [100 * row["module_time_s"] / whole[row["key"]] for row in inside]
                label = cells.label("module", inside[0])
                times = [1e3 * row["module_time_s"] for row in inside]
                texts = [_piece(label, time, share) for time, share in zip(times, shares, strict=True)]
                yield {**_bars(inside, shares, texts, family, tone, choice), "showlegend": first, "legendgroup": family}
                first = False
    yield _names(cells, list({row["key"]: row for row in rows}.values()), choice)


def _piece(label: str, milliseconds: float, share: float) -> str:
    return f"<b>{label}</b><br>{milliseconds:,.4g} ms, {share:.1f} %"


def _bars(
    rows: Sequence[Row], shares: Sequence[float], texts: Sequence[str], name: str, tone: int | None, choice: int
) -> dict[str, Any]:
    return {
        "type": "bar", "orientation": "h", "name": name, "x": [rounded(share) for share in shares],
        "y": [row["key"] for row in rows], "hovertext": list(texts), "hovertemplate": "%{hovertext}<extra></extra>",
        "customdata": [identity(row) for row in rows], "width": 0.45, "offset": 0, "meta": {"choice": choice},
        "marker": {
            "color": "var(--grid)" if tone is None else colour(tone), "line": {"color": "var(--paper)", "width": 1},
        },
    }  # fmt: skip


def _names(cells: Cells, rows: Sequence[Row], choice: int) -> dict[str, Any]:
    """Which cell a bar is, written above it."""
    return {
        "type": "scatter", "mode": "text", "x": [0] * len(rows), "y": [row["key"] for row in rows],
        "text": [
            f"<b>{cells.label('method', row)}</b> {cells.name(row, 'platform', 'model')}, {plain(row['workload'])}"
            for row in rows
        ],
        "textposition": "top right", "textfont": {"color": "var(--ink)"}, "hoverinfo": "skip", "showlegend": False,
        "customdata": [identity(row) for row in rows], "cliponaxis": False, "meta": {"choice": choice},
    }  # fmt: skip
