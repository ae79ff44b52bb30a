"""The answer to ``validate``: whether results from others can join the reference results."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from dissect.base.outcome import Flag
from dissect.cells.cell import published_id
from dissect.cells.cell_id import CellId
from dissect.cells.references import SETS_DIR, sets_of
from dissect.cells.study import Study, published_paths
from dissect.config.errors import ConfigError, unknown
from dissect.results.exchange import ExchangeError, Shared, read_export
from dissect.results.reference_sets import read_set
from dissect.results.result import Provenance

ENOUGH_RUNS = 3
"""Runs of a cell from which on its interval is of use."""


def answer(study: Study, project: Path, given: Mapping[str, Any]) -> str:
    """Check an export, or a set that is there already; the number of its cells, and remarks.

    Raises:
        ConfigError: neither is given, or the set is unknown.
        ExchangeError: the file is no export, or cells of it cannot be accepted.
    """
    name, shared = _asked(study, project)
    paths, platforms = published_paths(project, given), study.catalog.platforms
    published = {key: {published_id(path) for path in each} for key, each in paths.items()}
    faults = [
        f"{cell.id}: {fault}" for key, cell in shared.items() for fault in _faults(key, cell, published, platforms)
    ]
    if faults:
        raise ExchangeError("\n  ".join([f"{name}: {len(faults)} faults keep its cells from being accepted", *faults]))
    runs = sum(len(cell.runs.runs) for cell in shared.values())
    remarks = [f"{cell.id}: {'; '.join(said)}" for cell in shared.values() if (said := [*_remarks(cell)])]
    return "\n  ".join([f"{name}: {len(shared)} cells with {runs} runs can be accepted", *remarks])


def _asked(study: Study, project: Path) -> tuple[str, Mapping[str, Shared]]:
    root, sets = study.catalog.root, sets_of(project)
    if root.file is not None:
        return root.file, read_export(Path(root.file))
    if root.into is None:
        raise ConfigError(
            "--config: found neither file nor into, expected an export or the name of a set of references"
        )
    if root.into not in sets:
        raise unknown("--config into", "set of reference results", root.into, sets)
    return f"{SETS_DIR}/{root.into}", read_set(sets[root.into])


def _faults(
    key: str, cell: Shared, published: Mapping[str, Collection[str]], platforms: Collection[str]
) -> Iterator[str]:
    """Why a cell cannot be accepted; what is inside its files was checked when they were read."""
    platform = CellId.parse(cell.id).platform
    if platform not in platforms:
        yield f"unknown platform: config/platforms/{platform}.yaml must come with it"
    elif cell.id not in published.get(key, ()):
        yield "this configuration gives it another key: it was measured with other files, or by an earlier protocol"
    for origin in dict.fromkeys(_origin(run.provenance) for run in cell.runs.runs):
        if origin:
            yield origin
    if any(Flag.HARDWARE_MISMATCH in run.flags for run in cell.runs.runs):
        yield "the machine differs from its platform file (hardware_mismatch)"


def _origin(provenance: Provenance | None) -> str | None:
    """What is wrong with where a run comes from, in words."""
    if provenance is None:
        return None  # nothing was launched, as the cell could not fit
    if provenance.git_commit is None:
        return "a run was measured outside a git repository, so its code is unknown"
    if provenance.git_dirty:
        return f"a run was measured with files that differ from commit {provenance.git_commit[:10]}"
    return None


def _remarks(cell: Shared) -> Iterator[str]:
    """What a reader should know before the cell is accepted."""
    if len(cell.runs.runs) < ENOUGH_RUNS:
        yield f"{len(cell.runs.runs)} of {ENOUGH_RUNS} runs"
    if flags := dict.fromkeys(flag for run in cell.runs.runs for flag in run.flags):
        yield ", ".join(flags)
