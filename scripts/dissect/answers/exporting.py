"""The answer to ``export``: finished cells as one file."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from dissect.cells.cell import Cell
from dissect.cells.cell_id import EVERY_CELL
from dissect.cells.study import Study, load_study
from dissect.config.errors import ConfigError
from dissect.config.kinds import Suite
from dissect.results.exchange import DEFAULT_FILE, ExchangeError, check_replaceable, export_cells
from dissect.results.store import STORE_DIR, Store


def answer(study: Study, project: Path, given: Mapping[str, Any]) -> str:
    """Write the selected cells that have a run; their number, and runs that cannot be read.

    Raises:
        ConfigError: none has a run; the error tells which settings select some that do.
        ExchangeError: the file cannot be written, or is no export and may not be replaced.
    """
    root, store = study.catalog.root, Store(project / STORE_DIR)
    name = root.file or DEFAULT_FILE
    path = project / name
    if not any(_finished(study.selected, store)):
        number = len({cell.key for cell in study.selected if cell.key})
        hint = _settings_with_runs(root.suite, project, given, store)
        raise ConfigError(f"export: none of the {number} selected cells has a run yet; {hint}")
    try:
        if not root.force:
            check_replaceable(path)
        done = export_cells(study.selected, store, path)
    except OSError as error:
        raise ExchangeError(f"{name}: cannot be written: {error.strerror}") from None
    told = f"{name}: {done.cells} cells with {done.runs} runs; {done.missing} more have no run yet"
    broken = [f"\nnot in it, since it cannot be read: {run.relative_to(project)}" for run in done.unreadable]
    return told + "".join(broken)


def _settings_with_runs(suite: Suite, project: Path, given: Mapping[str, Any], store: Store) -> str:
    """The settings nearest to the given ones that select cells with a run, and their number."""
    (other,) = set(get_args(Suite)) - {suite}
    every = {"select": str(EVERY_CELL), "tables": "all", "figures": "all"}
    for settings in ({"suite": other}, every, {**every, "suite": other}):
        if number := len([*_finished(load_study(project, {**given, **settings}).selected, store)]):
            words = " ".join(
                f"{key}='{value}'" if "*" in value else f"{key}={value}" for key, value in settings.items()
            )
            return f"{words} has {number} that do"
    return "no cell of this configuration has, in either suite"


def _finished(cells: Iterable[Cell], store: Store) -> Iterator[str]:
    """Keys of the cells that have a run."""
    yield from (key for key in {cell.key for cell in cells if cell.key} if store.entry(key).peek())
