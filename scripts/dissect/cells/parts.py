"""Parts of a spec that all stages share: hardware and software of the platform."""

from collections.abc import Collection, Mapping
from typing import Any

from dissect.base.model import Model
from dissect.base.units import GIB
from dissect.cells.distributions import FLASH_ATTN, held
from dissect.cells.overriding import built
from dissect.cells.runners import runners
from dissect.cells.software import software_of
from dissect.cells.spec import Hardware, Software
from dissect.config.catalog import Catalog
from dissect.config.environment import Environment
from dissect.config.overrides import given
from dissect.config.platform import Platform


def hardware_of(platform: Platform, name: str, n_gpus: int, changes: Mapping[str, Any]) -> Hardware:
    """Hardware of a cell; ``changes`` come from overrides and from the stage.

    Raises:
        ConfigError: a value is invalid.
    """
    card = int(platform.gpu.memory_gib * GIB)
    held = platform.memory_budget_gib and {
        "device_memory_bytes": int(platform.memory_budget_gib * GIB),
        "card_memory_bytes": card,
    }
    declared = {
        "device": platform.device,
        "gpu_model": platform.gpu.model,
        "n_gpus": n_gpus,
        "n_nodes": -(-n_gpus // platform.gpus_per_node),
        "interconnect": platform.interconnect.kind,
        "environment": platform.environment,
        "device_memory_bytes": card,
        "host_memory_bytes": int(platform.host.memory_gib * GIB),
        **(held or {}),
    }
    return built(Hardware, {**declared, **changes}, f"config/platforms/{name}.yaml")


def environment_of(platform: Platform, stage: str, framework: str, used: Collection[str] = frozenset()) -> Environment:
    """The environment in which a stage's runner runs: its own, else that with flash-attn if ``used``, or ``train``.

    Raises:
        RuntimeError: the platform has none of these.
    """
    runner = runners().get((stage, framework))
    names = ["train-flash", "train"] if FLASH_ATTN in used else ["train"]
    if runner and runner.environment != "train":
        names.insert(0, runner.environment)
    environment = next((found for name in names if (found := platform.environment_of(name))), None)
    if environment is None:
        raise RuntimeError(f"no environment for {stage} with {framework}")
    return environment


def software_for(
    platform: Platform, stage: str, framework: str, catalog: Catalog, used: Collection[str] = frozenset()
) -> Software:
    """Identity of the environment that a stage's runner needs, without declared versions of what is not ``used``."""
    software = software_of(environment_of(platform, stage, framework, used), catalog.locks)
    names = held(software.versions, used)
    return software.model_copy(update={"versions": {name: software.versions[name] for name in names}})


def stand_in_workload(platform: Platform) -> dict[str, Any]:
    """Parameters of the platform's workload that every stage which computes has."""
    return {"dtype": platform.workload.dtype} if platform.workload.dtype else {}


def stand_in_sampling(platform: Platform, sampling: type[Model]) -> dict[str, Any]:
    """Sampling parameters of the platform that a stage has."""
    return {name: value for name, value in given(platform.workload.sampling).items() if name in sampling.model_fields}
