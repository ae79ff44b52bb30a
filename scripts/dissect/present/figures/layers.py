"""Parts that several kinds of figures are put together from."""

import json
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair as alt

from dissect.present.figures.look import DASHES, NOTE, SHAPES, SMALL
from dissect.present.figures.subject import Panel, Subject

Part = alt.LayerChart | alt.FacetChart
Described = Part | alt.ConcatChart
COLUMN, PAGE = 336, 688
"""Widths in pixels of 1/96 inch: a column of a two-column paper, and the page."""
HEIGHT = 165
TELLS = alt.expr("datum.says")
"""Tooltip: the table in the mark's data."""
_TOO_WIDE = 20
"""How many times the lowest value the highest may reach on a linear scale."""
_AXIS = 58
"""Room for the numbers of an axis."""
_TITLES = 72
"""Room for the title of an axis and that of the panel below it."""
_TITLE_LETTER, _TITLE_LINE = 6.4, 16
"""Widest mean width of a letter in a panel's title, and height of a line of it, in pixels."""
_LEGEND_MARK, _LEGEND_LETTER = 40, 6.2
_OVERHANG = 9
"""How far the number at the upper end of an axis, or a mark there, sticks out of the drawing area, at most."""


_STEPS: Sequence[tuple[float, Sequence[float]]] = (
    (3, (1, 1.2, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9)),
    (10, (1, 1.5, 2, 3, 4, 5, 7)),
    (100, (1, 2, 5)),
    (math.inf, (1,)),
)
"""Up to which ratio of the ends of a logarithmic axis -> what is labelled of each power of ten."""


class _Marks(alt.Data):
    """Data inside the description. Of each of thousands of values Altair would ask what it is, several times."""

    def to_dict(self, *_: Any, **__: Any) -> dict[str, Any]:
        """The values as they are."""
        return {"values": self["values"]}


def data_of(marks: Iterable[Mapping[str, Any]]) -> alt.Data:
    """Data inside the description."""
    return _Marks(values=list(marks))  # type: ignore[no-untyped-call]  # As Altair has it.


def across(n_panels: int) -> int:
    """How many panels stand side by side."""
    return {1: 1, 2: 2, 4: 2}.get(n_panels, 3)


def width(n_panels: int) -> int:
    """Width in pixels of the drawing area of one panel, beside its axis."""
    return (COLUMN if n_panels == 1 else PAGE // across(n_panels)) - _AXIS


def panel_of(layers: Iterable[alt.Chart], marks: Iterable[Mapping[str, Any]]) -> Part:
    """Layers of one panel over its marks. Titles stand above what sticks out; a blank has all of them at one height."""
    strut = alt.Chart(data_of([{}])).mark_text(text=" ", baseline="bottom", fontSize=_OVERHANG, x=0, y=0)
    return alt.layer(*layers, strut, data=data_of(marks))


def side_by_side(
    subject: Subject, panels: Sequence[Panel], parts: Sequence[Part], notes: Any, below: int = 0
) -> Described:
    """One drawing of all panels; ``notes`` are the lines below each title, for each panel a list.

    ``below`` is the height of what stands between the drawing areas and their axes.
    """
    most = max(map(len, notes))
    letters = int((width(len(panels)) + _AXIS) / _TITLE_LETTER)
    titles = [textwrap.wrap(panel.title, letters) for panel in panels]
    titled = [
        part.properties(
            title=_title(title, [*lines, *[""] * (most - len(lines))]),
            width=width(len(panels)),
            height=HEIGHT,
        )
        for title, part, lines in zip(titles, parts, notes, strict=True)
    ]
    # The drawing areas are aligned, whatever stands around them.
    further = max(1, *map(len, titles)) - 1
    spacing = {"column": _AXIS, "row": _TITLES + below + 12 * most + _TITLE_LINE * further}
    together = alt.concat(*titled, columns=across(len(panels)), bounds="flush", spacing=spacing)
    return together.properties(description=subject.manifest.title)


def _title(title: Sequence[str], notes: Sequence[str]) -> alt.TitleParams:
    if not title:
        return alt.TitleParams(notes or [""], fontSize=SMALL)
    # Even an empty list of notes takes the height of a line.
    return alt.TitleParams(title, subtitle=notes) if notes else alt.TitleParams(title)


def legend_columns(labels: Iterable[str], n_panels: int = 1) -> int:
    """How many entries of a legend fit side by side above the panels."""
    room = COLUMN if n_panels == 1 else PAGE
    return max(1, int(room / (_LEGEND_MARK + _LEGEND_LETTER * max(map(len, labels), default=0))))


def colour(labels: Sequence[str], n_panels: int, **legend: Any) -> alt.Color:
    """A colour per label; its legend says so."""
    tones = alt.Color("series:N").scale(domain=list(labels))
    return tones.legend(columns=legend_columns(labels, n_panels), **legend)


def shape(labels: Sequence[str], field: str = "series", **legend: Any) -> alt.Shape:
    """A symbol per label, out of step with the colours, so that no pair of both repeats soon."""
    symbols = [SHAPES[(n + n // len(SHAPES)) % len(SHAPES)] for n in range(len(labels))]
    return alt.Shape(f"{field}:N").scale(domain=list(labels), range=symbols).legend(**legend)


def dash(labels: Sequence[str]) -> alt.StrokeDash:
    """A kind of line per label, without a legend where there is only one."""
    dashes = [DASHES[n % len(DASHES)] for n in range(len(labels))]
    legend = alt.Legend(symbolType="stroke", symbolSize=300) if len(labels) > 1 else None
    return alt.StrokeDash("style:N").scale(domain=list(labels), range=dashes).legend(legend)


def value_axis(
    field: str, title: str | None, values: Sequence[float], channel: Any = alt.Y, is_shared: bool = False
) -> Any:
    """From zero, unless the values are so different that the lower ones could not be told apart.

    If ``is_shared``, the values are those of several panels, and each panel has the scale of all.
    """
    known = [value for value in values if value > 0]
    if known and max(known) > _TOO_WIDE * min(known):
        return log_axis(field, title, known, channel, is_shared)
    limit = {"domainMax": max(known), "nice": True} if is_shared and known else {}
    return channel(f"{field}:Q").title(title).scale(zero=True, **limit).axis(tickCount=5)


def log_axis(
    field: str, title: str | None, values: Sequence[float], channel: Any = alt.Y, is_shared: bool = False
) -> Any:
    """Powers of ten, with numbers between them where there is room; ``is_shared`` as for ``value_axis``."""
    ends = {"domain": [min(values), max(values)]} if is_shared else {}
    axis = channel(f"{field}:Q").title(title).scale(type="log", nice=False, padding=8, **ends)
    return axis.axis(values=_log_ticks(values), format=",~g")


def size_axis(field: str, title: str, labels: Mapping[int, str], below: int = 0) -> alt.X:
    """Sizes by powers of two; as many are labelled as there is room for. The axis stands that far below the drawing."""
    words = f"({json.dumps({str(size): labels[size] for size in sorted(labels)})})[datum.value]"
    axis = alt.Axis(values=sorted(labels), labelExpr=words, labelOverlap="greedy", labelSeparation=6, offset=below)
    return alt.X(f"{field}:Q").title(title).scale(type="log", base=2, nice=False, padding=12).axis(axis)


def words_only(description: str, headline: str, lines: Sequence[str]) -> Described:
    """What stands in place of a drawing."""
    text = alt.Chart(data_of([{"words": [headline, *lines]}])).mark_text(
        align="left", baseline="top", lineBreak="\n", style=NOTE, x=0, y=0, lineHeight=14
    )
    height = 16 + 14 * len(lines)
    shown = alt.layer(text.encode(text="words:N")).properties(width=COLUMN, height=height)
    return shown.properties(description=description)


def _log_ticks(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    steps = next(steps for span, steps in _STEPS if high < span * low)
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    return [
        float(f"{step}e{power}")
        for power in powers
        for step in steps
        if low / 1.05 <= step * 10.0**power <= high * 1.05
    ]
