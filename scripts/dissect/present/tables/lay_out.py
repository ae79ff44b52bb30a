"""What a manifest's layout makes of its cells: tidy rows, and the grids that people see."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from dissect.cells.manifest import Manifest
from dissect.config.layout import FigureLayout, Layout, PlatformTableLayout, TableLayout
from dissect.present.tables import platforms
from dissect.present.tables.columns import Record
from dissect.present.tables.grid import Grid
from dissect.present.tables.pivot import pivot
from dissect.present.tables.tidy import tidy_rows
from dissect.present.tables.views import VIEWS

_LAYOUT: TypeAdapter[TableLayout | PlatformTableLayout | FigureLayout] = TypeAdapter(Layout)


class LaidOut(NamedTuple):
    """A table before it has a format."""

    columns: Sequence[str]
    """Header of the tidy CSV."""
    rows: Sequence[Mapping[str, Any]]
    grids: list[Grid]


def lay_out(manifest: Manifest, records: list[Record]) -> LaidOut:
    """The tidy rows of a manifest's cells, and the grids that people see.

    Raises:
        LayoutError: the layout does not fit the cells.
    """
    layout = _LAYOUT.validate_python(manifest.layout)
    if isinstance(layout, PlatformTableLayout):
        facts = platforms.table_rows(manifest, records)
        return LaidOut([*platforms.COLUMNS], facts, [platforms.table_grid(manifest, records, facts)] if records else [])
    view = VIEWS[layout.view]
    rows = tidy_rows(records, view)
    shown = layout.table if isinstance(layout, FigureLayout) else layout
    same = shown.view == layout.view
    grids = pivot(manifest, shown, rows if same else tidy_rows(records, VIEWS[shown.view]))
    return LaidOut(view.column_names(), rows, grids)
