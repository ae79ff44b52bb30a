"""What a process imports before runs are forked from it, and the check that forking it is safe."""

import gc
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from dissect.cells.spec import OperatorSpec, Spec, TrainingSpec
from dissect.machine.vendor import vendors
from dissect.ranks.runner import load_operator_runner, load_runner

_THREADS = re.compile(r"\w+_(NUM|MAXIMUM)_THREADS")
_FORK_SAFE = "jemalloc_bg_thd"
"""Name of the thread of an allocator (PyArrow's) that prepares for forks by itself."""
SCRIPTS = Path(__file__).parents[2]


def set_environment(spec: Spec) -> None:
    """Before any library is imported: the launch environment of the spec, and what keeps imports off the device.

    Snakemake sets ``MKL_NUM_THREADS`` and its like to the cores of the job. Two ranks that each run as many threads
    fight over the cores and spin, so only what the platform declares counts.
    """
    for name in filter(_THREADS.fullmatch, list(os.environ)):
        del os.environ[name]
    os.environ.update(spec.hardware.environment)
    for vendor in vendors().values():  # whatever the cell's device is: imports look at what the machine has
        os.environ.update(vendor.environment)


def imports_of(spec: Spec) -> tuple[object, ...] | None:
    """What decides which libraries a run imports, and how; None where its runs are not forked from a common process.

    A server's client imports little. Ranks of several nodes are started by each node's own process.
    """
    if not isinstance(spec, TrainingSpec | OperatorSpec) or spec.hardware.n_nodes > 1:
        return None
    if isinstance(spec, TrainingSpec):
        module = load_runner(spec).import_libraries.__module__
        method = spec.method
        trains_adapter = method.trained_adapter is not None
        parts: tuple[object, ...] = (spec.framework, method.is_quantized, method.shards_states, trains_adapter)
    else:
        module, parts = load_operator_runner(spec).import_libraries.__module__, (spec.operator,)
    return (module, *parts, spec.hardware.device, *sorted(spec.hardware.environment.items()))


def preload(spec: TrainingSpec | OperatorSpec) -> None:
    """Import what runs of cells like this one need, and leave this process fit to be forked."""
    set_environment(spec)
    if isinstance(spec, TrainingSpec):
        import dissect.stages.training.measure

        load_runner(spec).import_libraries(spec)
    else:
        import dissect.stages.operators.measure

        load_operator_runner(spec).import_libraries(spec)
    import dissect.results.provenance  # noqa: F401
    from dissect.results.installed import installed

    installed()  # a forked process finds what this one has read
    for vendor in vendors().values():
        vendor.close_driver()
    _end_pools()
    gc.collect()
    gc.freeze()  # a collection in a forked process would otherwise write to, and so copy, all of these pages


def why_unfit() -> str | None:
    """Why this process must not be forked now, in words; None if it may be."""
    found = [*_device_files(), *_threads()]
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
        found.append("CUDA is initialised")
    return "; ".join(found) or None


def code_state(libraries: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Path -> (modification time, size) of the project's code, the lock files and the modules in these library folders.

    Equal states mean that a new process would import the same. An installed package has its inode: installing it again
    makes another folder, while byte code that an import writes beside its source only changes the folder's time.
    """
    code = [*SCRIPTS.rglob("*.py"), *SCRIPTS.parent.glob("envs/*/requirements.txt")]
    folders = [path for path in map(Path, libraries) if path.is_dir() and path.resolve() != SCRIPTS.resolve()]
    held = [path for folder in folders for path in folder.iterdir() if path.name != "__pycache__" and path.exists()]
    return {str(path): _state(path) for path in (*code, *held)}


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return (status.st_ino, 0) if path.is_dir() else (status.st_mtime_ns, status.st_size)


def _end_pools() -> None:
    """Fork once for nothing: OpenBLAS, which starts its threads when NumPy is imported, ends them before a fork."""
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _device_files() -> list[str]:
    """Device files of GPUs that this process has open, in words."""
    prefixes = tuple(vendor.device_files for vendor in vendors().values() if vendor.device_files)
    opened = {os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()}
    return [f"{path} is open" for path in sorted(opened) if path.startswith(prefixes)] if prefixes else []


def _threads() -> list[str]:
    """Threads beside the main one that a forked process may miss, in words."""
    patterns = [_FORK_SAFE, *(vendor.idle_threads for vendor in vendors().values() if vendor.idle_threads)]
    idle = re.compile("|".join(patterns))
    others = [task for task in Path("/proc/self/task").iterdir() if task.name != str(os.getpid())]
    names = sorted(name for task in others if not idle.fullmatch(name := (task / "comm").read_text().strip()))
    return [f"{len(names)} threads run beside the main one: {', '.join(names)}"] if names else []
