"""One table in its four formats, from its manifest and the published results."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import TypeAdapter

from dissect.cells.manifest import Manifest
from dissect.config.layout import FigureLayout, Layout, PlatformTableLayout, TableLayout
from dissect.present.tables import platforms
from dissect.present.tables.columns import Record
from dissect.present.tables.grid import Grid
from dissect.present.tables.pivot import pivot
from dissect.present.tables.render import html, latex, markdown
from dissect.present.tables.tidy import framed, read_records, tidy_rows, to_csv
from dissect.present.tables.views import VIEWS

_LAYOUT: TypeAdapter[TableLayout | PlatformTableLayout | FigureLayout] = TypeAdapter(Layout)


@dataclass(frozen=True)
class Table:
    """Text of a table's files."""

    csv: str
    markdown: str
    latex: str
    html: str


def build_table(manifest: Manifest, project: Path) -> Table:
    """Merge the results of the manifest's cells; a figure's data become a table with one row per point.

    Raises:
        LayoutError: the layout does not fit the cells.
    """
    frame, grids = lay_out(manifest, read_records(manifest, project))
    return Table(to_csv(frame), markdown(grids), latex(grids), html(grids))


def lay_out(manifest: Manifest, records: list[Record]) -> tuple[pd.DataFrame, list[Grid]]:
    """The tidy rows of a manifest's cells, and the grids that people see.

    Raises:
        LayoutError: the layout does not fit the cells.
    """
    layout = _LAYOUT.validate_python(manifest.layout)
    if isinstance(layout, PlatformTableLayout):
        frame = platforms.table_frame(manifest, records)
        return frame, [platforms.table_grid(manifest, records, frame)] if records else []
    rows = tidy_rows(records, VIEWS[layout.view])
    shown = layout.table if isinstance(layout, FigureLayout) else layout
    same = shown.view == layout.view
    grids = pivot(manifest, shown, rows if same else tidy_rows(records, VIEWS[shown.view]))
    return framed(rows, VIEWS[layout.view]), grids
