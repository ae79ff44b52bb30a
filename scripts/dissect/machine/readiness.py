"""What a machine lacks to measure cells of a platform, before anything is launched."""

import json
import shlex
import shutil
import subprocess
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from dissect.base.units import GIB
from dissect.cells.any_spec import parse_spec
from dissect.cells.cell import Cell
from dissect.cells.distributions import distributions_of
from dissect.cells.software import launcher_of, lock_identity, software_of, workflow_python
from dissect.config.catalog import Catalog
from dissect.config.environment import Environment
from dissect.config.platform import Platform
from dissect.machine.cuda_compiler import runtime_of_lock, shown, why_no_compiler
from dissect.machine.gpus import GpuInfo
from dissect.machine.node import mismatch, taken
from dissect.results.installed import installed_in, software_mismatch
from dissect.workloads.arithmetic import count_parameters
from dissect.workloads.dtypes import BYTES

_COMPILED = ("deepspeed_fused_adam", "deepspeed_cpu_adam")
"""Optimizers that DeepSpeed compiles at their first use."""
BUILD_TIMES = {
    "train": "about a minute and 6 GB",
    "client": "about a minute",
    "vllm": "a few minutes and 10 GB",
    "train-flash": "compiles flash-attn, minutes to hours: docs/your-gpu.md",
}
"""Locked environment -> what building it takes."""


def gpu_lacks(platform: Platform, found: Sequence[GpuInfo]) -> Iterator[str]:
    """How the GPUs differ from what is declared, and which of them others use."""
    wanted = platform.gpus_per_node
    memory_bytes = int(platform.gpu.memory_gib * GIB)
    if differs := mismatch(list(found[:wanted]), platform.gpu.model, wanted, memory_bytes):
        yield f"{differs}: every cell is flagged (hardware_mismatch), or fails"
    yield from taken(found[:wanted], int((platform.memory_budget_gib or platform.gpu.memory_gib) * GIB))


def driver_lacks(platform: Platform, gpu: GpuInfo, catalog: Catalog) -> str | None:
    """Why the driver does not run the CUDA libraries of the locked environment, in words; None if it does."""
    environment = platform.environment_of("train")
    lock = environment.lock if environment else None
    needs = runtime_of_lock(catalog.locks[lock]) if lock else None
    if not needs or not gpu.runtime or gpu.runtime[0] >= needs[0]:
        return None
    return (
        f"driver {gpu.driver} runs CUDA up to {shown(gpu.runtime)}, the locked PyTorch needs {shown(needs)}: install a "
        "driver that runs it, or describe the machine with an interpreter of its own"
    )


def compiler_lacks(cells: Iterable[Cell], platform: Platform, catalog: Catalog) -> Iterator[str]:
    """Cells that need a compiler which is not there."""
    environment = platform.environment_of("train")
    lock = catalog.locks[environment.lock] if environment and environment.lock else ""
    if (why := why_no_compiler(runtime_of_lock(lock))) is None:
        return
    wanting = [cell.id for cell in cells if cell.canonical and _compiles(cell)]
    if wanting:
        yield f"{why}, which {len(wanting)} cells need: {', '.join(wanting)}"


def _compiles(cell: Cell) -> bool:
    method = json.loads(cell.canonical or "{}").get("method", {})
    builds_flash = "train-flash" in cell.launcher
    return isinstance(method, dict) and (method.get("optimizer") in _COMPILED or builds_flash)


def software_lacks(cells: Collection[Cell], platform: Platform, catalog: Catalog, project: Path) -> Iterator[str]:
    """Environments that are not built yet, with what that takes, and Pythons that differ from what is declared."""
    environments: dict[str, Environment] = {}
    for cell in cells:
        for name in ("train", "train-flash", "client", cell.framework):
            environment = platform.environment_of(name)
            if environment and (name == cell.framework or launcher_of(environment) == cell.launcher):
                environments.setdefault(launcher_of(environment) if environment.starts_python else name, environment)
    for environment in environments.values():
        if environment.lock:
            python = environment.python or workflow_python()
            identity = lock_identity(catalog.locks[environment.lock], python)[:12]
            if not (project / ".envs" / f"{environment.lock}-{identity}" / ".complete").exists():
                takes = BUILD_TIMES.get(environment.lock, "some minutes")
                yield f"environment {environment.lock} is not built: its first cell builds it ({takes}), with a network"
        elif environment.interpreter:
            run = [cell for cell in cells if cell.launcher == launcher_of(environment)]
            yield from _interpreter_lacks(environment, catalog, run)


def _interpreter_lacks(environment: Environment, catalog: Catalog, cells: Iterable[Cell]) -> Iterator[str]:
    try:
        found = installed_in(environment.interpreter or "")
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        yield f"interpreter {shlex.quote(environment.interpreter or '')} does not start: {error}"
        return
    if differs := software_mismatch(software_of(environment, catalog.locks), found):
        yield f"{environment.interpreter}: {differs}"
    wanting: dict[str, list[str]] = {}
    for cell in cells:
        for name in distributions_of(parse_spec(cell.canonical)) - found.versions.keys() if cell.canonical else ():
            wanting.setdefault(name, []).append(cell.id)
    for name, ids in sorted(wanting.items()):
        yield f"{environment.interpreter} has no {name}, which {len(ids)} cells need: {', '.join(ids)}"


def disk_lacks(cells: Iterable[Cell], platform: Platform, catalog: Catalog, project: Path) -> Iterator[str]:
    """Why the checkpoints of servers do not fit where the platform keeps them."""
    models = {cell.model for cell in cells if cell.stage == "serve" and cell.key}
    folder = project / platform.serving.checkpoints
    while not folder.exists():
        folder = folder.parent
    width = BYTES[platform.workload.dtype or "bf16"]
    wanted = sum(width * count_parameters(catalog.models[model].architecture) for model in models)
    free = shutil.disk_usage(folder).free
    if wanted > free:
        yield f"{folder} has {free / GIB:.0f} GiB free, checkpoints of servers take {wanted / GIB:.0f}"
