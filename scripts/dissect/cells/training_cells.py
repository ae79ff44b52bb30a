"""Cells of the training stages: letters become knobs, knobs become a framework's method."""

from dataclasses import replace

from dissect.base.registry import FRAMEWORKS
from dissect.cells import constraints
from dissect.cells.cell import Cell, spec_and_key
from dissect.cells.distributions import used_in_training
from dissect.cells.frameworks import Framework, framework
from dissect.cells.overriding import Head, Override, Sections, built, overrides_for
from dissect.cells.parts import environment_of, hardware_of, software_for, stand_in_sampling, stand_in_workload
from dissect.cells.point import AxesPoint
from dissect.cells.software import launcher_of
from dissect.cells.spec import Sampling, TrainingWorkload
from dissect.config.catalog import Catalog
from dissect.config.knobs import Knobs
from dissect.config.overrides import given
from dissect.config.platform import Platform


def training_cell(point: AxesPoint, catalog: Catalog, overrides: list[Override]) -> Cell:
    """The cell at a point of the axes, with its spec or the reason why it is unsupported.

    Raises:
        ConfigError: a parameter is out of bounds, or two overrides disagree.
    """
    stage, platform = point.experiment.stage, catalog.platforms[point.platform]
    declared = _declared(point)
    kind = declared.stages.get(stage) if declared else None
    cell, workload, changes = training_head(point, catalog, overrides)
    n_gpus = cell.n_gpus
    sampling = _sampling(point, platform, cell.id, changes)
    architecture = catalog.models[point.model].architecture
    letters = catalog.methods.parse(point.method, cell.id)
    reason = (
        constraints.runner_constraint(stage, point.framework)
        or catalog.methods.conflict(letters)
        or constraints.stage_constraint(stage, point.framework, knobs := catalog.methods.knobs(letters))
        or constraints.hardware_constraint(platform, n_gpus)
        or constraints.kernel_constraint(platform, knobs, workload.dtype)
        or constraints.sequence_constraint(_positions(workload, knobs), architecture.max_position_embeddings)
    )
    if reason or declared is None or kind is None:
        return replace(cell, unsupported=reason)
    hardware = hardware_of(platform, point.platform, n_gpus, {"pinning": platform.pinning} | changes["hardware"])
    common = {
        "attention": platform.kernels.flash_attention if knobs.flash_attention else "eager",
        "recompute": bool(knobs.recompute),
        "states": knobs.states or declared.states[0],
    }
    own = kind.resolve(declared.knobs.model_validate(given(knobs)), platform, hardware)
    method = built(kind.method, {**common, **own, **changes["method"]}, _where(point, cell.id))
    used = used_in_training(point.framework, method)
    spec = kind.spec(
        stage=stage,
        framework=point.framework,
        hardware=hardware,
        software=software_for(platform, stage, point.framework, catalog, used),
        model=architecture,
        method=method,
        workload=workload,
        sampling=sampling,
        protocol=kind.protocol,
    )
    if reason := declared.constraint(spec):
        return replace(cell, unsupported=reason)
    canonical, key = spec_and_key(spec)
    launcher = launcher_of(environment_of(platform, stage, point.framework, used))
    return replace(cell, canonical=canonical, key=key, launcher=launcher)


def training_head(point: AxesPoint, catalog: Catalog, overrides: list[Override]) -> Head:
    """The cell at a point of the axes without its spec, and its workload.

    Raises:
        ConfigError: a parameter is out of bounds, or two overrides disagree.
    """
    stage, framework_of_point = point.experiment.stage, _declared(point)
    kind = framework_of_point.stages.get(stage) if framework_of_point else None
    workload, changes = _workload(
        point, catalog.platforms[point.platform], overrides, kind.workload if kind else TrainingWorkload
    )
    n_gpus = changes["hardware"].pop("n_gpus", point.n_gpus)
    cell = Cell(
        stage=stage, platform=point.platform, model=point.model, framework=point.framework, method=point.method,
        workload=_workload_name(workload, n_gpus), n_gpus=n_gpus, seq_len=workload.seq_len, batch=workload.batch,
    )  # fmt: skip
    return Head(cell, workload, changes)


def _declared(point: AxesPoint) -> Framework | None:
    return framework(point.framework) if point.framework in FRAMEWORKS else None


def _workload(
    point: AxesPoint, platform: Platform, overrides: list[Override], kind: type[TrainingWorkload]
) -> tuple[TrainingWorkload, Sections]:
    """Workload of the cell, and the other overrides that apply to it."""
    declared = {**given(point.experiment.workload), **stand_in_workload(platform), "batch": point.batch}
    if platform.workload.seq_len:
        declared["seq_len"] = platform.workload.seq_len
    where = f"config/experiments/{point.name}.yaml: workload"
    before = built(kind, declared, where)
    cell_id = point.id_with(_workload_name(before, point.n_gpus))
    changes = overrides_for(cell_id, overrides, "method")
    changed = changes["workload"]
    return (built(kind, declared | changed, _where(point, cell_id)) if changed else before), changes


def _positions(workload: TrainingWorkload, knobs: Knobs) -> int:
    """Number of positions: the tokens of a sequence and those that an adapter adds in front."""
    adapter = getattr(knobs, "adapter", None)
    return workload.seq_len + (adapter.positions if adapter else 0)


def _sampling(point: AxesPoint, platform: Platform, cell_id: str, changes: Sections) -> Sampling:
    """Sampling of the experiment, updated by the platform's and then by overrides."""
    stand_in = stand_in_sampling(platform, Sampling) | given(platform.workload.training)
    parameters = {**given(point.experiment.sampling), **stand_in, **changes["sampling"]}
    return built(Sampling, parameters, _where(point, cell_id))


def _where(point: AxesPoint, cell_id: str) -> str:
    return f"config/experiments/{point.name}.yaml: the cell {cell_id}"


def _workload_name(workload: TrainingWorkload, n_gpus: int) -> str:
    return f"s{workload.seq_len}-b{workload.batch}-n{n_gpus}"
