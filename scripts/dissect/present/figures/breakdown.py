"""Stacked bars: Figure 5, what each phase of a training step goes into, and the modules that its kernels belong to."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import altair as alt

from dissect.base.outcome import Status
from dissect.config.layout import Axis
from dissect.present.figures.layers import COLUMN, PAGE, TELLS, Described, data_of, legend_columns
from dissect.present.figures.look import INSIDE, NOTE, SIZE, WORDS
from dissect.present.figures.subject import Row, Subject
from dissect.present.tables.labels import axis_label
from dissect.present.tables.marks import mark

_SHARES = {
    "compute_share": "Compute {}",
    "communication_share": "Communication, not overlapped",
    "idle_share": "Idle",
}
"""Quantity -> label."""
_PHASES = ("forward", "backward", "optimizer")
_DIRECTIONS = ("forward", "recomputation", "backward")
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
_LEAST_WRITTEN = 5
"""Percent: a narrower piece has no room for its number."""
_BAR = 22

Pieces = Sequence[tuple[str, str, float, float]]
"""Name, colour's label, percent and seconds."""
Bar = tuple[Row, Axis, Pieces]
"""The row that it is of, and what tells it from the cell's other bars."""


def phases(subject: Subject) -> Described:
    """A bar per phase of each cell: compute, communication that nothing hides, idle; in percent of the phase."""
    devices = {row["device"] for row in subject.rows} - {None}
    kernels = "operators" if devices == {"cpu"} else "kernels (CPU: operators)" if "cpu" in devices else "kernels"
    labels = [label.format(kernels) for label in _SHARES.values()]

    def pieces(row: Row) -> Pieces:
        found = zip(labels, (row[name] for name in _SHARES), strict=True)
        return [(label, label, 100 * share, share * row["phase_time_s"]) for label, share in found]

    rows = [row for row in subject.rows if row["step_phase"] in (None, *_PHASES)]
    bars: list[Bar] = [(row, "step_phase", pieces(row)) for row in rows if row["status"] == Status.OK]
    lost = [row for row in rows if row["status"] != Status.OK]
    return _stacked(subject, subject.layout.series, bars, lost, labels, "Share of the phase (%)", COLUMN - 76)


def modules(subject: Subject) -> Described:
    """A bar per direction of each cell: which modules its kernels belong to, in percent of their time."""
    single = {module: family for family, members in _FAMILIES.items() for module in members}
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in subject.rows:
        if row["status"] == Status.OK and row["module"] in single and row["direction"] in _DIRECTIONS:
            groups.setdefault((row["key"], row["direction"]), []).append(row)
    bars: list[Bar] = []
    for rows in sorted(groups.values(), key=lambda rows: _DIRECTIONS.index(rows[0]["direction"])):
        whole = sum(row["module_time_s"] for row in rows)
        rows.sort(key=lambda row: list(single).index(row["module"]))
        pieces = [
            (axis_label(subject.manifest, "module", row["module"]), single[row["module"]],
             100 * row["module_time_s"] / whole, row["module_time_s"])
            for row in rows if row["module_time_s"]
        ]  # fmt: skip
        bars.append((rows[0], "direction", pieces))
    lost = [row for row in subject.rows if row["status"] != Status.OK]
    axes: Sequence[Axis] = ("platform", "model", "method")
    return _stacked(subject, axes, bars, lost, list(_FAMILIES), "Share of the kernel time (%)", PAGE - 130)


def _stacked(
    subject: Subject, axes: Sequence[Axis], bars: Sequence[Bar], lost: Sequence[Row],
    labels: Sequence[str], title: str, wide: int,
) -> Described:  # fmt: skip
    """The cells one below the other, a bar per phase or direction; a cell without numbers says how it ended."""
    nothing: dict[str, Any] = {
        "part": labels[-1],
        "left": 0,
        "right": 0,
        "middle": 0,
        "words": "",
        "outcome": "",
        "heading": "",
    }
    marks: list[dict[str, Any]] = []
    for cell in dict.fromkeys(subject.label(row, axes) for row in subject.rows):
        of_cell = [bar for bar in bars if subject.label(bar[0], axes) == cell]
        ended = [row for row in lost if subject.label(row, axes) == cell]
        if not of_cell and not ended:
            continue
        first = of_cell[0][0] if of_cell else ended[0]
        marks.append(subject.mark(first, **nothing | {"bar": f"{cell}|", "heading": cell}))
        marks += [subject.mark(row, **nothing | {"bar": f"{cell}| ", "outcome": mark(row).text}) for row in ended]
        for row, axis, pieces in of_cell:
            marks += _pieces(
                subject, row, pieces, nothing | {"bar": f"{cell}|{axis_label(subject.manifest, axis, row[axis])}"}
            )
    # What is left of a bar comes last, in the theme's colour for that.
    tones = alt.Color("part:N").scale(domain=[labels[-1], *labels[:-1]], range="ordinal")
    words = "split(datum.label, '|')[1]"
    base = alt.Chart().encode(y=alt.Y("bar:N").title(None).sort(None).axis(labelExpr=words))
    share = alt.X("left:Q").title(title).scale(domain=[0, 100]).axis(tickCount=5)
    entries = tones.legend(values=list(labels), columns=legend_columns(labels, 1 if wide < COLUMN else 2))
    note = base.mark_text(align="left", dx=2, style=NOTE, tooltip=TELLS).encode(x=alt.value(0), text="outcome:N")
    heading = base.mark_text(align="left", dx=2, dy=3, style=WORDS, fontSize=SIZE, tooltip=TELLS)
    layers = [
        base.mark_bar(tooltip=TELLS, height={"band": 0.78}).encode(x=share, x2="right:Q", color=entries),
        base.mark_text(style=INSIDE, tooltip=TELLS).encode(x="middle:Q", text="words:N"),
        note,
        heading.encode(x=alt.value(0), text="heading:N"),
    ]
    return alt.layer(*layers, data=data_of(marks)).properties(
        width=wide, height=alt.Step(_BAR), description=subject.manifest.title
    )


def _pieces(subject: Subject, row: Row, pieces: Pieces, nothing: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The parts of one bar from left to right."""
    left = 0.0
    for name, label, share, seconds in pieces:
        piece = subject.mark(row, **nothing | {
            "part": label, "left": left, "right": left + share, "middle": left + share / 2,
            "words": f"{share:.0f}" if share >= _LEAST_WRITTEN else "",
        })  # fmt: skip
        piece["says"] |= {"Part": name, "Time": f"{1e3 * seconds:,.4g} ms, {share:.1f} %"}
        yield piece
        left += share
