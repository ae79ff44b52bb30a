"""Parts of a spec that all stages share: hardware and software, from the platform file."""

from collections.abc import Mapping
from typing import Any

from dissect.base.model import Model
from dissect.base.units import GIB
from dissect.cells.overriding import built
from dissect.cells.runners import runners
from dissect.cells.software import software_of
from dissect.cells.spec import Hardware, Software
from dissect.config.catalog import Catalog
from dissect.config.environment import Environment
from dissect.config.overrides import given
from dissect.config.platform import Platform


def hardware_of(platform: Platform, name: str, n_gpus: int, changes: Mapping[str, Any]) -> Hardware:
    """What the cell runs on; ``changes`` are those of overrides and of the stage."""
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
    return built(Hardware, {**declared, **changes}, f"config/platforms/{name}.yaml")


def environment_of(platform: Platform, stage: str, framework: str) -> Environment:
    """The environment in which the stage's runner lives."""
    runner = runners().get((stage, framework))
    environment = platform.environment_of(runner.environment if runner else "train")
    if environment is None:
        raise RuntimeError(f"no environment for {stage} with {framework}")
    return environment


def software_for(platform: Platform, stage: str, framework: str, catalog: Catalog) -> Software:
    """Identity of that environment."""
    return software_of(environment_of(platform, stage, framework), catalog.locks)


def stand_in_sampling(platform: Platform, sampling: type[Model]) -> dict[str, Any]:
    """The platform's sampling, as far as a stage has it: the platform speaks to all stages at once."""
    return {name: value for name, value in given(platform.workload.sampling).items() if name in sampling.model_fields}
