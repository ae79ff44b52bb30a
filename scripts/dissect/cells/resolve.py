"""Resolving an experiment to its cells; pure functions without input or output."""

from collections.abc import Callable, Iterator, Set
from dataclasses import replace

from dissect.cells.cell import Cell
from dissect.cells.cell_id import CellId
from dissect.cells.inspection_cells import inspect_cell
from dissect.cells.operator_cells import operator_cell
from dissect.cells.overriding import Override
from dissect.cells.point import AxesPoint, points_of
from dissect.cells.serving_cells import serving_cell
from dissect.cells.training_cells import training_cell
from dissect.config.catalog import Catalog
from dissect.config.kinds import Stage

CELL_OF: dict[Stage, Callable[[AxesPoint, Catalog, list[Override]], Cell]] = {
    "inspect": inspect_cell,
    "pretrain": training_cell,
    "finetune": training_cell,
    "profile": training_cell,
    "operators": operator_cell,
    "serve": serving_cell,
}
"""Stage -> function that makes the cell of a point."""


def expand(
    name: str,
    catalog: Catalog,
    platforms: list[str],
    overrides: list[Override],
    named: Set[CellId] | None = None,
) -> Iterator[Cell]:
    """All cells of an experiment on the given platforms, including unsupported ones, without duplicates.

    A stage does not use every axis, so several points may give the same cell. With ``named`` only cells that have one
    of these ids, which are without workload.

    Raises:
        ConfigError: a parameter is out of bounds, or two overrides disagree about a cell.
    """
    experiment = catalog.experiments[name]
    cell_of, runs = CELL_OF[experiment.stage], catalog.runs_of(experiment)
    points = (p for p in points_of(name, catalog, platforms) if named is None or p.cell_id("") in named)
    yield from dict.fromkeys(replace(cell_of(point, catalog, overrides), runs=runs) for point in points)
