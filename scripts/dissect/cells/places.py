"""The place of each cell in a layout; no two cells may have the same."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from dissect.cells.cell import Cell
from dissect.config.errors import ConfigError
from dissect.config.layout import Axis, CellAxis, FigureLayout, Layout, PlatformTableLayout

Row = Mapping[str, Any]
Place = tuple[Any, ...]


class LayoutError(ValueError):
    """The layout does not fit its cells; one sentence for the user."""


def place_of(row: Row, axes: Sequence[Axis]) -> Place:
    """The values of a row on these axes."""
    return tuple(row[axis] for axis in axes)


def by_place(name: str, axes: Sequence[Axis], rows: Iterable[Row]) -> dict[Place, Row]:
    """The rows of a table by their place.

    Raises:
        LayoutError: two rows have the same place.
    """
    found: dict[Place, Row] = {}
    for row in rows:
        first = found.setdefault(place_of(row, axes), row)
        if first is not row:
            differ = [axis for axis in get_args(Axis) if first.get(axis) != row.get(axis)]
            raise LayoutError(
                f"{name}: layout: two cells stand at {', '.join(map(str, place_of(row, axes)))}; "
                f"add one of {', '.join(differ) or 'more axes'} to the axes of the layout"
            )
    return found


def check_places(experiment: str, layout: Layout, cells: Iterable[Cell]) -> None:
    """Check before any measurement that the layout tells the cells of an experiment apart.

    Raises:
        ConfigError: two cells would stand at one place.
    """
    if isinstance(layout, PlatformTableLayout):
        return
    table = layout.table if isinstance(layout, FigureLayout) else layout
    # No product belongs to two methods, so it tells them apart.
    shown = ["method" if axis == "product" else axis for axis in (*table.rows, *table.columns, *table.split)]
    try:
        by_place(f"{experiment}.yaml", [axis for axis in get_args(CellAxis) if axis in shown], map(vars, cells))
    except LayoutError as error:
        raise ConfigError(f"config/experiments/{error}") from None
