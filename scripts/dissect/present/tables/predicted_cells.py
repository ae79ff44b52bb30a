"""The table of predictions against measured cells: memory and time of training, cache and times of serving."""

from pathlib import Path

import pandas as pd

from dissect.cells.manifest import Manifest
from dissect.present.tables.frames import to_csv
from dissect.present.tables.predicted_memory import MEMORY_COLUMNS, compare_memory, memory_grid, memory_row
from dissect.present.tables.predicted_serving import SERVING_COLUMNS, compare_serving, serving_grid, serving_row
from dissect.present.tables.predicted_time import TIME_COLUMNS, compare_times, time_grid, time_row
from dissect.present.tables.render import html, latex, markdown
from dissect.present.tables.table import Table
from dissect.present.tables.tidy import read_records

COLUMNS = MEMORY_COLUMNS | TIME_COLUMNS | SERVING_COLUMNS
"""Column of the CSV -> its meaning."""


def build_prediction(manifest: Manifest, project: Path) -> Table:
    """Compare the predictions of every cell of the manifest with what was measured."""
    records = read_records(manifest, project)
    memory, times = list(compare_memory(records)), list(compare_times(records))
    serving = list(compare_serving(records))
    grids = [memory_grid(manifest, memory)] if memory else []
    grids += [time_grid(manifest, times)] if times else []
    grids += [serving_grid(manifest, serving)] if serving else []
    timed = {id(each.record): time_row(each) for each in times}
    rows = [memory_row(each) | timed.get(id(each.record), {}) for each in memory]
    rows += [serving_row(each) for each in serving]
    frame = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    return Table(to_csv(frame), markdown(grids), latex(grids), html(grids))
