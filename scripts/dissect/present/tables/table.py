"""One table in its four formats, from its manifest and the published results."""

from dataclasses import dataclass
from pathlib import Path

from dissect.cells.manifest import Manifest
from dissect.present.tables.frames import framed, to_csv
from dissect.present.tables.lay_out import lay_out
from dissect.present.tables.render import html, latex, markdown
from dissect.present.tables.tidy import read_records


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
    columns, rows, grids = lay_out(manifest, read_records(manifest, project))
    return Table(to_csv(framed(rows, columns)), markdown(grids), latex(grids), html(grids))
