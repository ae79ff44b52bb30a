"""Cells of the stage ``inspect``, which detect the hardware of a node (Table I)."""

from dataclasses import replace

from dissect.cells import constraints
from dissect.cells.cell import Cell, spec_and_key
from dissect.cells.overriding import Head, Override
from dissect.cells.parts import environment_of, hardware_of, software_for
from dissect.cells.point import AxesPoint
from dissect.cells.runners import runners
from dissect.cells.software import launcher_of
from dissect.cells.spec import InspectSpec
from dissect.config.catalog import Catalog


def inspect_cell(point: AxesPoint, catalog: Catalog, _: list[Override]) -> Cell:
    """The cell at a point of the axes."""
    platform = catalog.platforms[point.platform]
    cell = inspect_head(point, catalog, []).cell
    if reason := constraints.runner_constraint("inspect", point.framework):
        return replace(cell, unsupported=reason)
    spec = InspectSpec(
        framework=point.framework,
        hardware=hardware_of(platform, point.platform, point.n_gpus, {}),
        software=software_for(platform, "inspect", point.framework, catalog),
        protocol=runners()["inspect", point.framework].protocol,
    )
    canonical, key = spec_and_key(spec)
    launcher = launcher_of(environment_of(platform, "inspect", point.framework))
    return replace(cell, canonical=canonical, key=key, launcher=launcher)


def inspect_head(point: AxesPoint, _: Catalog, __: list[Override]) -> Head:
    """The cell at a point of the axes without its spec; no override applies to it."""
    cell = Cell(
        stage="inspect", platform=point.platform, model=point.model, framework=point.framework, method=point.method,
        workload=f"n{point.n_gpus}", n_gpus=point.n_gpus, seq_len=None, batch=None,
    )  # fmt: skip
    return Head(cell, None, {})
