"""Cells of the stage ``serve``: an engine, a policy, a model and a load."""

from dataclasses import replace
from typing import Any

from dissect.cells import constraints
from dissect.cells.cell import Cell, spec_and_key
from dissect.cells.engines import engine_facts
from dissect.cells.overriding import Head, Override, built, overrides_for
from dissect.cells.parts import environment_of, hardware_of, software_for, stand_in_workload
from dissect.cells.point import AxesPoint
from dissect.cells.site import ServingSite
from dissect.cells.software import launcher_of, software_of
from dissect.cells.spec import EngineSettings, ServeSampling, ServeSpec, ServeWorkload
from dissect.config.catalog import Catalog
from dissect.config.overrides import given
from dissect.config.platform import Platform

_OF_GPUS = {"memory_share", "cache_reserve_gib", "prefill_tokens", "graph_sequences"}
"""Settings about GPUs and their memory; a platform without GPUs sizes its servers by arguments."""


def serving_cell(point: AxesPoint, catalog: Catalog, overrides: list[Override]) -> Cell:
    """The cell at a point of the axes; its method is the policy.

    Raises:
        ConfigError: a parameter is out of bounds, or two overrides disagree.
    """
    platform = catalog.platforms[point.platform]
    cell, workload, changes = serving_head(point, catalog, overrides)
    n_gpus = cell.n_gpus
    where = f"config/experiments/{point.name}.yaml: the cell {cell.id}"
    settings = built(EngineSettings, _settings(point, platform) | changes["settings"], where)
    sampling = built(ServeSampling, _sampling(point, platform) | changes["sampling"], where)
    architecture = catalog.models[point.model].architecture
    engine = platform.environment_of(point.framework)
    reason = (
        constraints.runner_constraint("serve", point.framework)
        or constraints.engine_constraint(point.framework, platform, engine, workload, n_gpus)
        or constraints.hardware_constraint(platform, n_gpus)
        or constraints.heads_constraint(architecture, n_gpus)
        or constraints.sequence_constraint(
            workload.input_tokens + workload.output_tokens, architecture.max_position_embeddings
        )
        or constraints.prompts_constraint(workload, architecture.vocab_size)
    )
    if reason or engine is None:
        return replace(cell, unsupported=reason)
    environment = platform.environment | platform.serving.environment
    spec = ServeSpec(
        framework=point.framework,
        hardware=hardware_of(platform, point.platform, n_gpus, {"environment": environment} | changes["hardware"]),
        software=software_of(engine, catalog.locks),
        client=software_for(platform, "serve", point.framework, catalog),
        model=architecture,
        settings=settings,
        workload=workload,
        sampling=sampling,
        protocol=_protocol(point.framework, workload),
    )
    client = launcher_of(environment_of(platform, "serve", point.framework))
    canonical, key = spec_and_key(spec)
    return replace(
        cell, canonical=canonical, key=key, launcher=ServingSite.of(platform.serving, engine).launcher(client)
    )


def _protocol(framework: str, workload: ServeWorkload) -> int:
    """That of the engine, or the next one for Poisson arrivals at a given rate: they had other gaps before."""
    arrival = workload.arrival
    return engine_facts(framework).protocol + (arrival.kind == "poisson" and arrival.rate is not None)


def serving_head(point: AxesPoint, catalog: Catalog, overrides: list[Override]) -> Head:
    """The cell at a point of the axes without its spec, and its workload.

    Raises:
        ConfigError: a parameter is out of bounds, or two overrides disagree.
    """
    platform = catalog.platforms[point.platform]
    declared = {
        "output_tokens": platform.output_tokens,
        **given(point.experiment.workload),
        **_stand_in(platform),
        "arrival": _arrival(point, platform),
    }
    where = f"config/experiments/{point.name}.yaml: workload"
    whole = point.experiment.axes.gpus == "all"
    n_gpus = platform.serving.gpus.get(point.model, point.n_gpus) if whole else point.n_gpus
    cell_id = point.id_with(_workload_name(built(ServeWorkload, declared, where), n_gpus))
    changes = overrides_for(cell_id, overrides, "settings")
    workload = built(ServeWorkload, declared | changes["workload"], where)
    n_gpus = changes["hardware"].pop("n_gpus", n_gpus)
    search = workload.arrival.search
    cell = Cell(
        stage="serve", platform=point.platform, model=point.model, framework=point.framework, method=point.method,
        workload=_workload_name(workload, n_gpus), n_gpus=n_gpus, seq_len=None, batch=None,
        objective_ttft_s=search.ttft_s if search else None,
    )  # fmt: skip
    return Head(cell, workload, changes)


def _stand_in(platform: Platform) -> dict[str, Any]:
    """The platform's load in place of the experiment's, without what concerns searches only."""
    load = {name: value for name, value in given(platform.workload.serving).items() if name != "search"}
    return stand_in_workload(platform) | load


def _arrival(point: AxesPoint, platform: Platform) -> dict[str, Any]:
    """The arrival process, with the platform's ends of a search."""
    declared = point.arrival.model_dump()
    if point.arrival.search:
        declared["search"] = point.arrival.search.model_dump() | given(platform.workload.serving.search)
    return declared


def _settings(point: AxesPoint, platform: Platform) -> dict[str, Any]:
    """Settings of the engine: for ``tuned`` the platform's for it, for ``aligned`` those of all, else its defaults.

    Policies with equal settings share one measurement.
    """
    settings: dict[str, Any] = dict.fromkeys(("max_sequences", "memory_share", "chunked_prefill"))
    told = engine_facts(point.framework).adjustable - (_OF_GPUS if platform.device == "cpu" else set())
    if point.method == "aligned":
        aligned = platform.serving.aligned
        asked = aligned.model_dump() | {"graph_sequences": aligned.max_sequences}
        settings |= {name: value for name, value in asked.items() if name in told}
    settings["arguments"] = platform.serving.arguments.get(point.framework, [])
    tuned = platform.serving.tuned.get(point.framework)
    settings |= given(tuned) if tuned and point.method == "tuned" else {}
    if platform.memory_budget_gib:
        # Engines count in shares of the card, so that without one they would take what they are held from.
        share = settings["memory_share"] or platform.serving.aligned.memory_share
        settings["memory_share"] = share * platform.memory_budget_gib / platform.gpu.memory_gib
    return settings


def _sampling(point: AxesPoint, platform: Platform) -> dict[str, Any]:
    """Time limits of the cell; parameters about steps do not apply."""
    declared = {**given(point.experiment.sampling), **given(platform.workload.sampling)}
    return {name: value for name, value in declared.items() if name in ServeSampling.model_fields}


def _workload_name(workload: ServeWorkload, n_gpus: int) -> str:
    parts = [f"r{workload.requests}", f"i{workload.input_tokens}", f"o{workload.output_tokens}", workload.arrival.label]
    parts += [] if workload.stream else ["whole"]
    parts += ["calibrated"] if workload.calibrate else []
    return "-".join([*parts, f"n{n_gpus}"])
