"""Experiment x axes -> cells: pure, no input or output."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from pydantic import ValidationError

from dissect.cells import constraints
from dissect.cells.cell import Cell, spec_and_key
from dissect.cells.globs import NO_NAME, CellGlob
from dissect.cells.software import launcher_of, software_of
from dissect.cells.spec import Hardware, InspectSpec, PretrainSpec, Sampling, TrainingMethod, TrainingWorkload
from dissect.config.catalog import Catalog, axes_of, methods_of
from dissect.config.errors import ConfigError, validation_sentence
from dissect.config.experiment import Experiment
from dissect.config.kinds import Framework, Stage
from dissect.config.methods import MethodKnobs
from dissect.config.overrides import CellOverride, given
from dissect.config.platform import Environment, Platform
from dissect.runners import RUNNERS

GIB = 2**30


@dataclass(frozen=True)
class Override:
    """One entry of config.yaml's overrides, its glob checked."""

    glob: CellGlob
    parameters: CellOverride


def expand(name: str, catalog: Catalog, platforms: list[str], overrides: list[Override]) -> Iterator[Cell]:
    """All cells of one experiment on some platforms, unsupported ones included.

    Raises:
        ConfigError: a parameter is out of bounds, or two overrides disagree about a cell.
    """
    experiment = catalog.experiments[name]
    axes = axes_of(experiment, catalog.root.suite)
    methods = methods_of(axes.method, catalog.methods, f"config/experiments/{name}.yaml: axes.method")
    for platform in platforms:
        facts = catalog.platforms[platform]
        counts = facts.gpu_counts if axes.gpus == "sweep" else [facts.gpus_per_node * facts.nodes]
        if experiment.stage == "inspect":
            for framework, n_gpus in product(axes.framework, counts):
                yield _inspect_cell(platform, framework, n_gpus, catalog)
            continue
        points = product(_models(experiment, catalog, facts), axes.framework, methods, axes.batch, counts)
        for model, framework, method, batch, n_gpus in points:
            point = _Point(name, experiment, platform, model, framework, method, batch, n_gpus)
            yield _training_cell(point, catalog, overrides)


@dataclass(frozen=True)
class _Point:
    """One point of the product, before overrides."""

    name: str
    experiment: Experiment
    platform: str
    model: str
    framework: Any
    method: str
    batch: int | str
    n_gpus: int


def _models(experiment: Experiment, catalog: Catalog, platform: Platform) -> list[str]:
    wanted = experiment.axes.model
    names = [name for name in catalog.root.models if wanted == "configured" or name in wanted]
    return platform.workload.models if names and platform.workload.models else names


def _inspect_cell(name: str, framework: Framework, n_gpus: int, catalog: Catalog) -> Cell:
    platform = catalog.platforms[name]
    environment = _environment(platform, "inspect", framework)
    cell = Cell(
        stage="inspect", platform=name, model=NO_NAME, framework=framework, method=NO_NAME, workload=f"n{n_gpus}",
        n_gpus=n_gpus, seq_len=None, batch=None, launcher=launcher_of(environment),
    )  # fmt: skip
    if reason := constraints.runner_constraint("inspect", framework):
        return replace(cell, unsupported=reason)
    spec = InspectSpec.model_validate(
        {
            "framework": framework,
            "hardware": _hardware(platform, name, n_gpus, {}),
            "software": software_of(environment, catalog.locks),
            "protocol": RUNNERS["inspect", framework].protocol,
        }
    )
    canonical, key = spec_and_key(spec)
    return replace(cell, canonical=canonical, key=key)


def _environment(platform: Platform, stage: Stage, framework: Framework) -> Environment:
    runner = RUNNERS.get((stage, framework))
    return platform.environments[runner.environment if runner else "train"]


def _training_cell(point: _Point, catalog: Catalog, overrides: list[Override]) -> Cell:
    stage, platform = point.experiment.stage, catalog.platforms[point.platform]
    environment = _environment(platform, stage, point.framework)
    parameters = _parameters(point, platform, overrides)
    n_gpus = parameters.hardware.pop("n_gpus", point.n_gpus)
    cell = Cell(
        stage=stage, platform=point.platform, model=point.model, framework=point.framework, method=point.method,
        workload=_workload_name(parameters.workload, n_gpus), n_gpus=n_gpus, seq_len=parameters.workload.seq_len,
        batch=parameters.workload.batch, launcher=launcher_of(environment),
    )  # fmt: skip
    letters = catalog.methods.parse(point.method, cell.id)
    architecture = catalog.models[point.model].architecture
    reason = (
        constraints.runner_constraint(stage, point.framework)
        or catalog.methods.conflict(letters)
        or constraints.hardware_constraint(platform, n_gpus)
        or constraints.kernel_constraint(platform, knobs := catalog.methods.knobs(letters))
        or constraints.sequence_constraint(parameters.workload.seq_len, architecture.max_position_embeddings)
    )
    if reason:
        return replace(cell, unsupported=reason)
    runner = RUNNERS[stage, point.framework]
    spec = PretrainSpec(
        framework=point.framework,
        hardware=_hardware(platform, point.platform, n_gpus, parameters.hardware),
        software=software_of(environment, catalog.locks),
        model=architecture,
        method=_method(knobs, platform, parameters.method),
        workload=parameters.workload,
        sampling=parameters.sampling,
        protocol=runner.protocol,
    )
    canonical, key = spec_and_key(spec)
    return replace(cell, canonical=canonical, key=key)


@dataclass(frozen=True)
class _Parameters:
    """What experiment, stand-in and overrides together say about one cell."""

    hardware: dict[str, Any]
    method: dict[str, Any]
    workload: TrainingWorkload
    sampling: Sampling


def _parameters(point: _Point, platform: Platform, overrides: list[Override]) -> _Parameters:
    experiment = point.experiment
    workload = {**given(experiment.workload), "batch": point.batch}
    if platform.workload.seq_len:
        workload["seq_len"] = platform.workload.seq_len
    name = _workload_name(TrainingWorkload(**workload), point.n_gpus)
    cell_id = "/".join((experiment.stage, point.platform, point.model, point.framework, point.method, name))
    changes = _overrides_for(cell_id, overrides)
    sampling = {**given(experiment.sampling), **given(platform.workload.sampling), **changes.get("sampling", {})}
    try:
        return _Parameters(
            hardware=changes.get("hardware", {}),
            method=changes.get("method", {}),
            workload=TrainingWorkload(**{**workload, **changes.get("workload", {})}),
            sampling=Sampling(**sampling),
        )
    except ValidationError as error:
        where = f"config/experiments/{point.name}.yaml: the cell {cell_id}"
        raise ConfigError(validation_sentence(where, error, Sampling)) from None


def _workload_name(workload: TrainingWorkload, n_gpus: int) -> str:
    return f"s{workload.seq_len}-b{workload.batch}-n{n_gpus}"


def _hardware(platform: Platform, name: str, n_gpus: int, changes: Mapping[str, Any]) -> Hardware:
    declared = {
        "device": platform.device,
        "gpu_model": platform.gpu.model,
        "n_gpus": n_gpus,
        "n_nodes": -(-n_gpus // platform.gpus_per_node),
        "interconnect": platform.interconnect.kind,
        "environment": platform.environment,
        "device_memory_bytes": int(platform.gpu.memory_gib * GIB),
        "host_memory_bytes": int(platform.host.memory_gib * GIB),
    }
    try:
        return Hardware.model_validate({**declared, **changes})
    except ValidationError as error:
        raise ConfigError(validation_sentence(f"config/platforms/{name}.yaml", error, Hardware)) from None


def _method(knobs: MethodKnobs, platform: Platform, changes: Mapping[str, Any]) -> TrainingMethod:
    offload_optimizer = bool(knobs.offload_optimizer)
    resolved = {
        "attention": platform.kernels.flash_attention if knobs.flash_attention else "eager",
        "recompute": bool(knobs.recompute),
        "zero_stage": knobs.zero_stage or 0,
        "offload_optimizer": offload_optimizer,
        "offload_parameters": bool(knobs.offload_parameters),
        "quantization": knobs.quantization or "none",
        "optimizer": "deepspeed_cpu_adam" if offload_optimizer else platform.optimizer,
    }
    return TrainingMethod.model_validate({**resolved, **changes})


def _overrides_for(cell_id: str, overrides: list[Override]) -> dict[str, dict[str, Any]]:
    """What all overrides that match set together; that two set the same differently is an error."""
    merged: dict[str, dict[str, Any]] = {}
    set_by: dict[tuple[str, str], str] = {}
    for override in overrides:
        if not override.glob.matches(cell_id):
            continue
        for section, parameters in given(override.parameters).items():
            for name, value in parameters.items():
                before = merged.setdefault(section, {}).setdefault(name, value)
                other = set_by.setdefault((section, name), override.glob.text)
                if before != value:
                    raise ConfigError(
                        f"config/config.yaml: overrides: '{other}' and '{override.glob.text}' set {section}.{name} "
                        f"differently for the cell {cell_id}; make them disjoint"
                    )
    return merged
