"""The two sets of cells: this clone's results, exported files, sets of reference results, or one platform of any."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dissect.cells.cell import published_id
from dissect.cells.cell_id import CellId
from dissect.cells.globs import Selection, selection_of
from dissect.cells.references import sets_of
from dissect.cells.study import published_paths
from dissect.config.catalog import Catalog
from dissect.config.errors import ConfigError, listed, unknown
from dissect.config.question import OneOrMore, names
from dissect.results.cell_runs import CellRuns, in_order
from dissect.results.exchange import read_export
from dissect.results.reference_sets import read_set
from dissect.results.result import Result
from dissect.results.store import STORE_DIR, Store

OURS = "results"


@dataclass(frozen=True)
class Side:
    """One set of cells."""

    name: str
    """Name of the set, valid as the name of a folder."""
    cells: Mapping[str, CellRuns]
    """Id -> runs of the cell from all sources, each run once."""
    has_references: bool = False
    """Whether a source is a set of reference results."""

    @property
    def platforms(self) -> set[str]:
        """Platforms of the set's cells."""
        return {CellId.parse(cell_id).platform for cell_id in self.cells}


def sources_of(key: str, given: OneOrMore, catalog: Catalog, project: Path) -> list[tuple[str | None, str]]:
    """The sources of a side, each with its platform or None; reads none of them, which takes seconds.

    Raises:
        ConfigError: the side is not given, or names what is not there.
    """
    where = f"--config {key}"
    if not names(given):
        raise ConfigError(f"{where}: found nothing, expected {_expected(project)}")
    sources = [_split(source, catalog, where) for source in names(given)]
    for _, name in sources:
        if name != OURS and name not in sets_of(project) and not (project / name).is_file():
            raise ConfigError(f"{where}: found '{name}', expected {_expected(project)}")
    return sources


def read_side(key: str, given: OneOrMore, catalog: Catalog, project: Path, command_line: Mapping[str, Any]) -> Side:
    """All measured cells of a side that ``select`` matches.

    Raises:
        ConfigError: the side is not given, names what is not there, or has no cell.
        ExchangeError: a file is no export, or was changed.
    """
    sources, selection = sources_of(key, given, catalog, project), selection_of(catalog)
    runs: dict[str, dict[str, dict[str, Result]]] = {}
    for platform, name in sources:
        for cell_id, found in _source(name, project, command_line):
            if selection.matches(cell_id) and platform in (None, CellId.parse(cell_id).platform):
                by_key = runs.setdefault(cell_id, {}).setdefault(found.key, {})
                by_key |= dict(zip(found.ids, found.runs, strict=True))
    # Where sources have a cell with several specs, such as of two protocols, the last one named counts.
    cells = {cell_id: in_order([*by_key.values()][-1]) for cell_id, by_key in runs.items()}
    if not cells:
        where = f"'{' '.join(names(given))}'{_that_matches(selection)}"
        raise ConfigError(f"--config {key}: found no finished cell in {where}")
    return Side(_folder_name(names(given)), cells, any(name in sets_of(project) for _, name in sources if name != OURS))


def _that_matches(selection: Selection) -> str:
    return f" that '{selection}' matches" if selection.globs else ""


def _split(source: str, catalog: Catalog, where: str) -> tuple[str | None, str]:
    """Split a side such as ``h200@results`` into its platform and its set."""
    platform, at, name = source.partition("@")
    if not at:
        return None, source
    if platform not in catalog.platforms:
        raise unknown(where, "platform", platform, catalog.platforms)
    return platform, name


def _source(name: str, project: Path, command_line: Mapping[str, Any]) -> list[tuple[str, CellRuns]]:
    if name == OURS:
        return _ours(project, command_line)
    if name in (sets := sets_of(project)):
        return [(shared.id, shared.runs) for shared in read_set(sets[name]).values()]
    return [(shared.id, shared.runs) for shared in read_export(project / name).values()]


def _expected(project: Path) -> str:
    sets = listed(sets_of(project))
    return f"'{OURS}', a file of snakemake export, or a set of reference results (known are {sets})"


def _ours(project: Path, command_line: Mapping[str, Any]) -> list[tuple[str, CellRuns]]:
    """Every finished cell that this configuration describes, on any platform and in either suite."""
    store, found = Store(project / STORE_DIR), []
    for key, paths in published_paths(project, command_line).items():
        entry = store.entry(key)
        if runs := entry.peek():
            found += [(published_id(path), runs) for path in paths]
    return found


def _folder_name(sources: list[str]) -> str:
    stems = [re.sub(r"(\.tar)?\.gz$", "", Path(source).name) for source in sources]
    return re.sub(r"[^A-Za-z0-9._@+-]+", "-", "+".join(stems))
