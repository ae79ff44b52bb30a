"""Cells of the stage ``operators``: one operator over a range of sizes."""

from dataclasses import replace

from dissect.cells import constraints
from dissect.cells.cell import Cell, spec_and_key
from dissect.cells.cell_id import NO_NAME
from dissect.cells.distributions import used_by_operator
from dissect.cells.operator_families import families
from dissect.cells.overriding import Head, Override, built, overrides_for
from dissect.cells.parts import environment_of, hardware_of, software_for, stand_in_sampling, stand_in_workload
from dissect.cells.point import AxesPoint
from dissect.cells.software import launcher_of
from dissect.cells.spec import OperatorSampling, OperatorSpec, OperatorWorkload
from dissect.config.catalog import Catalog
from dissect.config.overrides import given


def operator_cell(point: AxesPoint, catalog: Catalog, overrides: list[Override]) -> Cell:
    """The cell at a point of the axes; its method is the operator.

    Raises:
        ConfigError: a parameter is out of bounds, or two overrides disagree.
    """
    platform, used = catalog.platforms[point.platform], used_by_operator(point.method)
    cell, workload, changes = operator_head(point, catalog, overrides)
    n_gpus = cell.n_gpus
    sampling = {
        **given(point.experiment.sampling),
        **stand_in_sampling(platform, OperatorSampling),
        **changes["sampling"],
    }
    reason = (
        constraints.runner_constraint("operators", point.framework)
        or constraints.shapes_constraint(point.method, point.model)
        or families()[point.framework].constraint(point.method, n_gpus, platform.device, workload.dtype)
        or constraints.hardware_constraint(platform, n_gpus)
    )
    if reason:
        return replace(cell, unsupported=reason)
    spec = OperatorSpec(
        framework=point.framework,
        operator=point.method,
        hardware=hardware_of(platform, point.platform, n_gpus, {"pinning": platform.pinning} | changes["hardware"]),
        software=software_for(platform, "operators", point.framework, catalog, used),
        model=None if point.model == NO_NAME else catalog.models[point.model].architecture,
        workload=workload,
        sampling=built(OperatorSampling, sampling, _where(point)),
        protocol=families()[point.framework].protocol,
    )
    canonical, key = spec_and_key(spec)
    launcher = launcher_of(environment_of(platform, "operators", point.framework, used))
    return replace(cell, canonical=canonical, key=key, launcher=launcher)


def operator_head(point: AxesPoint, catalog: Catalog, overrides: list[Override]) -> Head:
    """The cell at a point of the axes without its spec, and its workload.

    Raises:
        ConfigError: a parameter is out of bounds, or two overrides disagree.
    """
    platform = catalog.platforms[point.platform]
    declared = {**given(point.experiment.workload), **stand_in_workload(platform), "batch": point.batch}
    if point.framework in platform.workload.sizes:
        declared["sizes"] = platform.workload.sizes[point.framework]
    workload = built(OperatorWorkload, declared, _where(point))
    cell_id = point.id_with(_workload_name(workload, point.n_gpus))
    changes = overrides_for(cell_id, overrides, "")
    workload = built(OperatorWorkload, {**declared, **changes["workload"]}, _where(point))
    n_gpus = changes["hardware"].pop("n_gpus", point.n_gpus)
    cell = Cell(
        stage="operators", platform=point.platform, model=point.model, framework=point.framework, method=point.method,
        workload=_workload_name(workload, n_gpus), n_gpus=n_gpus, seq_len=None,
        batch=workload.batch if point.framework == "attention" else None,
    )  # fmt: skip
    return Head(cell, workload, changes)


def _where(point: AxesPoint) -> str:
    return f"config/experiments/{point.name}.yaml: workload"


def _workload_name(workload: OperatorWorkload, n_gpus: int) -> str:
    return f"{workload.dtype}-b{workload.batch}-n{n_gpus}"
