"""A laid-out table as the page shows it: places with their cells, ids that are shared said once."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from dissect.base.outcome import Status
from dissect.cells.cell_id import NO_NAME
from dissect.present.tables.grid import Footnotes, Grid, GridEntry, Origin, letter
from dissect.present.tables.marks import NOT_AVAILABLE, short_mark

IDS = ("stage", "platform", "model", "framework", "method")
"""What the page can be filtered by."""
_NOT_MEASURED_BY = "system"
"""The framework of cells that only look at a machine."""


@dataclass(frozen=True, slots=True)
class GridPlace:
    """One ``td``."""

    text: str
    interval: str
    """The end of the text that gives the interval, if there is one."""
    marks: str
    """Letters of its footnotes, which say why to doubt the number."""
    kind: str
    """``gap`` where the table has no cell, ``out`` where a cell has no number, ``out oom`` where memory ran out."""
    reason: str | None
    """Why there is no number."""
    key: str | None
    value: float | None
    ids: Mapping[str, str]
    """Those that neither its row nor its table gives."""


@dataclass(frozen=True, slots=True)
class GridLine:
    """One ``tr``."""

    labels: Sequence[str]
    places: Sequence[GridPlace]
    ids: Mapping[str, str]


@dataclass(frozen=True)
class GridTable:
    """One ``table``."""

    name: str
    title: str
    part: str
    """What tells it apart from the other parts of its item."""
    row_names: Sequence[str]
    headers: Sequence[Sequence[tuple[str, int]]]
    """Per level, outermost first: text and how many columns it spans."""
    lines: Sequence[GridLine]
    ids: Mapping[str, str]
    numeric: bool
    footnotes: Sequence[tuple[str, str]]
    """Letter and text."""
    remarks: Sequence[str]


def part_of(title: str, whole: str) -> str:
    """What the title of a part adds to that of the whole: ``H200`` of ``Table II, H200``."""
    rest = title.removeprefix(whole).lstrip(",: ")
    return rest[1:-1] if rest.startswith("(") else rest


def grid_table(grid: Grid, whole: str) -> GridTable:
    """What the page shows of a grid; ``whole`` is the title of the item that it is a part of."""
    footnotes = Footnotes()
    everywhere = shared(entry.origin for line in grid.entries for entry in line)
    lines = [
        _line(labels, entries, everywhere, footnotes) for labels, entries in zip(grid.rows, grid.entries, strict=True)
    ]
    return GridTable(
        name=grid.name,
        title=grid.title,
        part=part_of(grid.title, whole),
        row_names=grid.row_names,
        headers=list(_headers(grid.columns)),
        lines=lines,
        ids=everywhere,
        numeric=grid.alignment == "right",
        footnotes=[(letter(index), text) for index, text in enumerate(footnotes.texts)],
        remarks=grid.remarks,
    )


def ids_of(origin: Origin) -> dict[str, str]:
    """The ids of a cell; one that it does not have, such as the model of a copy, is left out and fits every filter."""
    ids = {name: getattr(origin, name) for name in IDS}
    return {name: value for name, value in ids.items() if value not in (NO_NAME, _NOT_MEASURED_BY)}


def shared(origins: Iterable[Origin | None]) -> dict[str, str]:
    """The ids that all of these cells have alike."""
    each = [ids_of(origin) for origin in dict.fromkeys(origins) if origin]
    first = each[0] if each else {}
    return {name: value for name, value in first.items() if all(ids.get(name) == value for ids in each)}


def _line(
    labels: Sequence[str], entries: Sequence[GridEntry], above: Mapping[str, str], footnotes: Footnotes
) -> GridLine:
    here = shared(entry.origin for entry in entries)
    known = {**above, **here}
    own = {name: value for name, value in here.items() if name not in above}
    return GridLine(labels, [_place(entry, known, footnotes) for entry in entries], own)


def _place(entry: GridEntry, known: Mapping[str, str], footnotes: Footnotes) -> GridPlace:
    origin = entry.origin
    ids = tuple(item for item in ids_of(origin).items() if item[0] not in known) if origin else ()
    text, bracket, interval = entry.text.partition(" [") if entry.value is not None else (entry.text, "", "")
    # The reason of an outcome is said at the place itself.
    notes = () if origin and origin.reason else entry.notes
    return GridPlace(
        text=text,
        interval=bracket + interval,
        marks=footnotes.letters(notes),
        kind=_kind(entry),
        reason=origin.reason if origin else None,
        key=origin.key if origin else None,
        value=entry.value,
        ids=_mapping(ids),
    )


@cache
def _mapping(ids: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """Thousands of places have one of a few."""
    return dict(ids)


def _kind(entry: GridEntry) -> str:
    if entry.origin is None:
        return "gap"
    if entry.text.startswith(short_mark(Status.OOM)):
        return "out oom"
    return "out" if entry.origin.reason or entry.text == NOT_AVAILABLE else ""


def _headers(columns: Sequence[tuple[str, ...]]) -> Iterator[list[tuple[str, int]]]:
    """Levels of the header; neighbours below the same parents that read alike become one."""
    depth = len(columns[0]) if columns else 0
    for level in range(depth - 1):
        groups = itertools.groupby(columns, key=lambda path, level=level: path[: level + 1])  # type: ignore[misc]
        yield [(path[-1], len(list(members))) for path, members in groups]
    yield [(path[-1], 1) for path in columns]
