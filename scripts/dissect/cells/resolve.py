"""Resolving an experiment to its cells; pure functions without input or output."""

from collections.abc import Callable, Iterator, Set
from dataclasses import replace

from dissect.cells.cell import Cell
from dissect.cells.cell_id import CellId
from dissect.cells.inspection_cells import inspect_cell, inspect_head
from dissect.cells.operator_cells import operator_cell, operator_head
from dissect.cells.overriding import Head, Override
from dissect.cells.point import AxesPoint, points_of
from dissect.cells.serving_cells import serving_cell, serving_head
from dissect.cells.training_cells import training_cell, training_head
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
HEAD_OF: dict[Stage, Callable[[AxesPoint, Catalog, list[Override]], Head]] = {
    "inspect": inspect_head,
    "pretrain": training_head,
    "finetune": training_head,
    "profile": training_head,
    "operators": operator_head,
    "serve": serving_head,
}
"""Stage -> function that makes the cell of a point without its spec, at a small part of the cost."""


def expand(
    name: str,
    catalog: Catalog,
    platforms: list[str],
    overrides: list[Override],
    wanted: Callable[[str], bool] | None = None,
) -> Iterator[Cell]:
    """Cells of an experiment on the given platforms, including unsupported ones, without duplicates.

    ``wanted`` tells by their ids which; of all others no spec is made. A stage does not use every axis, so several
    points may give the same cell.

    Raises:
        ConfigError: a parameter is out of bounds, or two overrides disagree about a cell.
    """
    experiment = catalog.experiments[name]
    stage, runs = experiment.stage, catalog.runs_of(experiment)
    points = points_of(name, catalog, platforms)
    if wanted:
        points = (point for point in points if wanted(HEAD_OF[stage](point, catalog, overrides).cell.id))
    yield from dict.fromkeys(replace(CELL_OF[stage](point, catalog, overrides), runs=runs) for point in points)


def expand_named(name: str, catalog: Catalog, ids: Set[str], overrides: list[Override]) -> Iterator[Cell]:
    """Cells of an experiment, on any platform, that have one of these ids, without their specs.

    Raises:
        ConfigError: a parameter is out of bounds, or two overrides disagree about a cell.
    """
    stage = catalog.experiments[name].stage
    parsed = [CellId.parse(cell_id) for cell_id in ids]
    having = {each.platform for each in parsed}
    platforms = [platform for platform in catalog.platforms if platform in having]
    named = {(each.platform, each.model, each.framework, each.method) for each in parsed if each.stage == stage}
    points = (p for p in points_of(name, catalog, platforms) if (p.platform, p.model, p.framework, p.method) in named)
    heads = dict.fromkeys(HEAD_OF[stage](point, catalog, overrides).cell for point in points)
    yield from (cell for cell in heads if cell.id in ids)
