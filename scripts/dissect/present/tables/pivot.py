"""Tables in the paper's layout from tidy rows, with each cell at its row and column."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dissect.base.outcome import Status
from dissect.cells.manifest import Manifest
from dissect.cells.places import Place, Row, by_place, place_of
from dissect.config.layout import VIEW_AXES, Axis, TableLayout
from dissect.present.tables.columns import Quantity
from dissect.present.tables.grid import Grid, GridEntry, Origin
from dissect.present.tables.labels import axis_label, axis_order, row_header
from dissect.present.tables.marks import BOUND_NOTE, NOT_AVAILABLE, absent, flag_notes, mark, short_mark
from dissect.present.tables.over_runs import only_some_runs, why_absent
from dissect.present.tables.remarks import remarks
from dissect.present.tables.views import VIEWS


def pivot(manifest: Manifest, layout: TableLayout, rows: Sequence[Row]) -> list[Grid]:
    """One grid per value of the axes in ``split``, a single one if there are none.

    Raises:
        LayoutError: two cells would stand at one place.
    """
    order = _order(manifest, rows)
    parts = _places(rows, layout.split, order)
    return [_part(manifest, layout, [row for row in rows if place_of(row, layout.split) == part]) for part in parts]


def _part(manifest: Manifest, layout: TableLayout, rows: Sequence[Row]) -> Grid:
    order = _order(manifest, rows)
    columns = [axis for axis in layout.columns if len(order[axis]) > 1]
    asked = [VIEWS[layout.view].by_name[name] for name in layout.values]
    quantities = [q for q in asked if not q.optional or any(row[q.name] is not None for row in rows)]
    below = VIEW_AXES[layout.view]
    axes = [*layout.rows, *columns]
    inner = [axis in below for axis in axes]
    cells = by_place(manifest.name, axes, rows)
    row_places, column_places = _places(rows, layout.rows, order, below), _places(rows, columns, order, below)

    def entries(place: Place) -> list[GridEntry]:
        if row := _cell_at(cells, place, inner):
            return _entries(row, quantities)
        none = absent(str(dict(zip(axes, place, strict=True)).get("platform", rows[0]["platform"])))
        return [none] + [GridEntry(none.text)] * (len(quantities) - 1)

    heading = ", ".join(axis_label(manifest, axis, rows[0][axis]) for axis in layout.split)
    return Grid(
        name="_".join([manifest.name, *(str(rows[0][axis]) for axis in layout.split)]),
        title=f"{manifest.title}, {heading}" if heading else manifest.title,
        caption=manifest.caption,
        row_names=tuple(row_header(axis) for axis in layout.rows),
        rows=[_labels(manifest, layout.rows, place, bare=True) for place in row_places],
        columns=[(*_labels(manifest, columns, place), q.title) for place in column_places for q in quantities],
        entries=[[entry for column in column_places for entry in entries(row + column)] for row in row_places],
        remarks=remarks(manifest, rows, axes, quantities),
    )


def _order(manifest: Manifest, rows: Sequence[Row]) -> Mapping[Axis, list[Any]]:
    """The values of every axis; methods as in the manifest, since the first model or platform may lack some."""
    rank = {method: number for number, method in enumerate(manifest.methods)}
    order = axis_order(rows)
    return order | {"method": sorted(order.get("method", []), key=lambda method: rank.get(method, len(rank)))}


def _labels(manifest: Manifest, axes: Sequence[Axis], place: Place, bare: bool = False) -> tuple[str, ...]:
    return tuple(axis_label(manifest, axis, value, bare) for axis, value in zip(axes, place, strict=True))


def _places(
    rows: Sequence[Row], axes: Sequence[Axis], order: Mapping[Axis, list[Any]], below: Sequence[Axis] = ()
) -> list[Place]:
    """The combinations of values that occur, in the order of each axis; an axis that a cell lacks makes no place.

    A cell without numbers has none of the axes ``below`` the cell: it stands where the cells have numbers that share
    most of its other values.
    """
    found = {place_of(row, axes) for row in rows}
    whole = {place for place in found if None not in place}
    numbers = list(whole)
    for place in found - whole:
        shared = [sum(mine == value for mine, value in zip(place, other, strict=True)) for other in numbers]
        like = {
            tuple(value if axis in below else mine for axis, mine, value in zip(axes, place, other, strict=True))
            for other, count in zip(numbers, shared, strict=True)
            if count == max(shared)
        }
        whole |= {each for each in like if None not in each}
    found = whole or found
    return sorted(found, key=lambda place: [order[axis].index(v) for axis, v in zip(axes, place, strict=True)])


def _cell_at(cells: Mapping[Place, Row], place: Place, inner: Sequence[bool]) -> Row | None:
    """The row at a place; a cell without numbers fills all values of the view's own axes."""
    outcome = tuple(None if below else value for value, below in zip(place, inner, strict=True))
    return cells.get(place) or cells.get(outcome)


def _entries(row: Row, quantities: Sequence[Quantity]) -> list[GridEntry]:
    """Entries of one cell: its numbers, or its outcome, with the reason at the first and in short at the others."""
    if row["status"] != Status.OK:
        entries = [mark(row)] + [GridEntry(short_mark(row["status"]))] * (len(quantities) - 1)
    else:
        first, *others = (_number(row, quantity) for quantity in quantities)
        entries = [replace(first, notes=first.notes + flag_notes(row)), *others]
    ids = {name: row[name] for name in ("key", "stage", "platform", "model", "framework", "method", "reason")}
    return [replace(entry, origin=Origin(**ids)) for entry in entries]


def _number(row: Row, quantity: Quantity) -> GridEntry:
    entry = _bare_number(row, quantity)
    told = row[quantity.told] if quantity.told else None
    return replace(entry, notes=(*entry.notes, str(told))) if told else entry


def _bare_number(row: Row, quantity: Quantity) -> GridEntry:
    if row[quantity.name] is None:
        if quantity.instead and row[quantity.instead]:
            return GridEntry(str(row[quantity.instead]).replace(";", "; "), (BOUND_NOTE,))
        return GridEntry(NOT_AVAILABLE, (f"{NOT_AVAILABLE}: {why_absent(row, quantity)}",))
    some = only_some_runs(row, quantity.name)
    return GridEntry(quantity.show_row(row), (some,) if some else (), value=row[quantity.name])
