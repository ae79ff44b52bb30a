"""The answer to ``export``: finished cells as one file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dissect.cells.study import Study
from dissect.results.exchange import DEFAULT_FILE, ExchangeError, check_replaceable, export_cells
from dissect.results.store import STORE_DIR, Store


def answer(study: Study, project: Path, _given: Mapping[str, Any]) -> str:
    """Write the selected cells that have a run; their number.

    Raises:
        ExchangeError: the file cannot be written, or is no export and may not be replaced.
    """
    name = study.catalog.root.file or DEFAULT_FILE
    path = project / name
    try:
        if not study.catalog.root.force:
            check_replaceable(path)
        cells, runs, missing = export_cells(study.selected, Store(project / STORE_DIR), path)
    except OSError as error:
        raise ExchangeError(f"{name}: cannot be written: {error.strerror}") from None
    return f"{name}: {cells} cells with {runs} runs; {missing} more have no run yet"
