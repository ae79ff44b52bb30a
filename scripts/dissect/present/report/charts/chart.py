"""What an interactive figure is made of, and words that all of them share."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from dissect.base.outcome import Status
from dissect.cells.cell_id import NO_NAME
from dissect.present.tables.marks import mark, short_mark

Row = Mapping[str, Any]
Figure = dict[str, Any]
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "star", "x")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_COLOURS = 8
_DIGITS = 5
_TOO_WIDE = 20


@dataclass(frozen=True)
class Missing:
    """Cells, or sizes of one, that have no number for the same reason."""

    outcome: str
    """In words, with the reason."""
    names: tuple[str, ...]


@dataclass(frozen=True)
class Chart:
    """One interactive figure."""

    name: str
    """Of the element in the page: letters, digits and hyphens."""
    stage: str
    """Where in the page it stands."""
    title: str
    caption: str
    """In plain words: what is drawn, and how many cells have no number."""
    figure: Figure
    """``data`` and ``layout`` as Plotly reads them. A colour ``var(--name)`` is the page's.

    Every trace says what it is of, ``[key, stage, platform, model, framework, method]``: per point in ``customdata``,
    or once in ``meta.cell``, where ``*`` stands for all.
    """
    missing: tuple[Missing, ...]
    """All that is left out, with reasons."""
    tables: tuple[tuple[str, str], ...]
    """Name and title of the tables, or without any of the figures, in which the same cells stand."""


def colour(index: int) -> str:
    """The page's colour of the n-th series."""
    return f"var(--series-{index % _COLOURS + 1})"


def plain(words: str) -> str:
    """Words that Plotly shows as they are: it reads some HTML."""
    return escape(words, quote=False).replace("%{", "% {")


def rounded(value: float) -> float:
    """With as many digits as anybody can see in a drawing."""
    return float(f"{value:.{_DIGITS}g}")


def identity(row: Row) -> list[str]:
    """What charts.js filters by and links to."""
    names = ("key", "stage", "platform", "model", "framework", "method")
    return ["*" if row[name] == NO_NAME else str(row[name] or "") for name in names]


def missing_of(rows: Iterable[Row]) -> tuple[Missing, ...]:
    """Rows without a number by their outcome and reason, each name once."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        if row["status"] != Status.OK:
            said = mark(row)
            found.setdefault(said.notes[0] if said.notes else said.text, {})[_name(row)] = None
    return tuple(Missing(outcome, tuple(names)) for outcome, names in found.items())


def count_missing(rows: Sequence[Row], what: str = "cell") -> str:
    """Such as ``Without a number: 3 of 14 cells (2 OOM, 1 unsupported).``; says so too where none is missing."""
    ended = Counter(short_mark(row["status"]) for row in rows if row["status"] != Status.OK)
    if not ended:
        return f"All {len(rows)} {what}s have a number." if len(rows) > 1 else ""
    parts = ", ".join(f"{count} {outcome}" for outcome, count in ended.most_common())
    return f"Without a number: {ended.total()} of {len(rows)} {what}s ({parts})."


def axis(title: str, values: Iterable[float]) -> dict[str, Any]:
    """An axis; values that reach over more than a factor of 20 make it logarithmic."""
    known = [value for value in values if value > 0]
    if known and max(known) > _TOO_WIDE * min(known):
        return log_axis(title, known)
    return {"title": {"text": title}, "type": "linear", "rangemode": "tozero"}


def log_axis(title: str, values: Sequence[float]) -> dict[str, Any]:
    """Numbers at powers of ten, and between them the more of 1 to 9 the less the values span."""
    span = max(values) / min(values)
    return {"title": {"text": title}, "type": "log", "dtick": "D1" if span < 10 else "D2" if span < 1000 else 1}


def _name(row: Row) -> str:
    """The id of a row's cell, and which of its sizes it is."""
    cell = "/".join(str(row[name]) for name in ("stage", "platform", "model", "framework", "method", "workload"))
    below = [str(row[name]) for name in ("product", "rows") if row.get(name) is not None]
    return " ".join([cell, *below])
