"""Cells of the training stages: letters become knobs, knobs become a framework's method."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from dissect.base.runners import RUNNERS
from dissect.cells import constraints
from dissect.cells.cell import Cell, spec_and_key
from dissect.cells.overriding import Override, Sections, built, overrides_for
from dissect.cells.parts import environment_of, hardware_of, software_for, stand_in_sampling
from dissect.cells.point import Point
from dissect.cells.software import launcher_of
from dissect.cells.spec import (
    DeepSpeedMethod,
    FinetuneMethod,
    FinetuneSpec,
    Hardware,
    MegatronMethod,
    MegatronSpec,
    PretrainSpec,
    ProfileSpec,
    ProfileWorkload,
    Sampling,
    TrainingMethod,
    TrainingSpec,
    TrainingWorkload,
)
from dissect.config.catalog import Catalog
from dissect.config.methods import MethodKnobs
from dissect.config.overrides import given
from dissect.config.platform import Platform

Resolved = dict[str, Any]


def _deepspeed(knobs: MethodKnobs, platform: Platform, _: Hardware) -> Resolved:
    offload_optimizer = bool(knobs.offload_optimizer)
    return {
        "zero_stage": knobs.zero_stage or 0,
        "offload_optimizer": offload_optimizer,
        "offload_parameters": bool(knobs.offload_parameters),
        "quantization": knobs.quantization or "none",
        "optimizer": "deepspeed_cpu_adam" if offload_optimizer else platform.optimizer,
    }


def _finetune(knobs: MethodKnobs, platform: Platform, hardware: Hardware) -> Resolved:
    return {**_deepspeed(knobs, platform, hardware), "adapter": knobs.adapter}


def _megatron(knobs: MethodKnobs, platform: Platform, hardware: Hardware) -> Resolved:
    """Tensor parallel over the GPUs of a node, as in the paper, unless letters say otherwise."""
    pipeline = knobs.pipeline_parallel or 1
    return {
        "tensor_parallel": knobs.tensor_parallel or max(1, hardware.n_gpus // hardware.n_nodes // pipeline),
        "pipeline_parallel": pipeline,
        "sequence_parallel": bool(knobs.sequence_parallel),
        "distributed_optimizer": bool(knobs.distributed_optimizer),
        "layer_spec": platform.kernels.layer_spec,
    }


@dataclass(frozen=True)
class Kind:
    """One kind of training cell: its spec, and how letters become its method."""

    spec: type[TrainingSpec]
    method: type[TrainingMethod]
    resolve: Callable[[MethodKnobs, Platform, Hardware], Resolved]
    workload: type[TrainingWorkload] = TrainingWorkload


KINDS: dict[tuple[str, str], Kind] = {
    ("pretrain", "deepspeed"): Kind(PretrainSpec, DeepSpeedMethod, _deepspeed),
    ("pretrain", "megatron"): Kind(MegatronSpec, MegatronMethod, _megatron),
    ("finetune", "deepspeed"): Kind(FinetuneSpec, FinetuneMethod, _finetune),
    ("profile", "deepspeed"): Kind(ProfileSpec, DeepSpeedMethod, _deepspeed, ProfileWorkload),
}
"""(stage, framework) -> kind."""


def training_cell(point: Point, catalog: Catalog, overrides: list[Override]) -> Cell:
    """The cell at a point, with its spec or the reason why it cannot exist.

    Raises:
        ConfigError: a parameter is out of bounds, or two overrides disagree.
    """
    stage, platform = point.experiment.stage, catalog.platforms[point.platform]
    kind = KINDS.get((stage, point.framework))
    workload, changes = _workload(point, platform, overrides, kind.workload if kind else TrainingWorkload)
    n_gpus = changes["hardware"].pop("n_gpus", point.n_gpus)
    cell = Cell(
        stage=stage, platform=point.platform, model=point.model, framework=point.framework, method=point.method,
        workload=_workload_name(workload, n_gpus), n_gpus=n_gpus, seq_len=workload.seq_len, batch=workload.batch,
        launcher=launcher_of(environment_of(platform, stage, point.framework)),
    )  # fmt: skip
    sampling = _sampling(point, platform, cell.id, changes)
    architecture = catalog.models[point.model].architecture
    letters = catalog.methods.parse(point.method, cell.id)
    reason = (
        constraints.runner_constraint(stage, point.framework)
        or catalog.methods.conflict(letters)
        or constraints.stage_constraint(stage, point.framework, knobs := catalog.methods.knobs(letters))
        or constraints.hardware_constraint(platform, n_gpus)
        or constraints.kernel_constraint(platform, knobs)
        or constraints.sequence_constraint(_positions(workload, knobs), architecture.max_position_embeddings)
    )
    if reason or kind is None:
        return replace(cell, unsupported=reason)
    hardware = hardware_of(platform, point.platform, n_gpus, changes["hardware"])
    common = {
        "attention": platform.kernels.flash_attention if knobs.flash_attention else "eager",
        "recompute": bool(knobs.recompute),
    }
    method = {**common, **kind.resolve(knobs, platform, hardware), **changes["method"]}
    spec = kind.spec(
        stage=stage,
        framework=point.framework,
        hardware=hardware,
        software=software_for(platform, stage, point.framework, catalog),
        model=architecture,
        method=built(kind.method, method, _where(point, cell.id)),
        workload=workload,
        sampling=sampling,
        protocol=RUNNERS[stage, point.framework].protocol,
    )
    if isinstance(spec, MegatronSpec) and (reason := constraints.megatron_constraint(spec)):
        return replace(cell, unsupported=reason)
    canonical, key = spec_and_key(spec)
    return replace(cell, canonical=canonical, key=key)


def _workload(
    point: Point, platform: Platform, overrides: list[Override], kind: type[TrainingWorkload]
) -> tuple[TrainingWorkload, Sections]:
    """What a step computes, and all that overrides say of the cell whose id names it."""
    declared = {**given(point.experiment.workload), "batch": point.batch}
    if platform.workload.seq_len:
        declared["seq_len"] = platform.workload.seq_len
    where = f"config/experiments/{point.name}.yaml: workload"
    before = built(kind, declared, where)
    cell_id = point.id_with(_workload_name(before, point.n_gpus))
    changes = overrides_for(cell_id, overrides, "method")
    return built(kind, {**declared, **changes["workload"]}, _where(point, cell_id)), changes


def _positions(workload: TrainingWorkload, knobs: MethodKnobs) -> int:
    """Tokens of a sequence, and what an adapter puts in front of them."""
    return workload.seq_len + (knobs.adapter.positions if knobs.adapter else 0)


def _sampling(point: Point, platform: Platform, cell_id: str, changes: Sections) -> Sampling:
    """The experiment's, the stand-in's over it, the overrides' over both."""
    parameters = {**given(point.experiment.sampling), **stand_in_sampling(platform, Sampling), **changes["sampling"]}
    return built(Sampling, parameters, _where(point, cell_id))


def _where(point: Point, cell_id: str) -> str:
    return f"config/experiments/{point.name}.yaml: the cell {cell_id}"


def _workload_name(workload: TrainingWorkload, n_gpus: int) -> str:
    return f"s{workload.seq_len}-b{workload.batch}-n{n_gpus}"
