"""Writes down which calls a runner makes of its libraries, and lets each of them through.

Only calls that come from code of this project count, wherever in it that code is: a helper may move.
"""

import functools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

OWN = {
    "phase": "dissect.ranks.messages.RankContext.enter",
    "device.synchronize": "dissect.machine.cpu.CpuDevice.synchronize",
    "device.limit_memory": "dissect.machine.cpu.CpuDevice.limit_memory",
    "device.lift_limit": "dissect.machine.cpu.CpuDevice.lift_limit",
    "device.reset_peak_memory": "dissect.machine.cpu.CpuDevice.reset_peak_memory",
    "device.peak_memory_bytes": "dissect.machine.cpu.CpuDevice.peak_memory_bytes",
    "device.driver_memory_bytes": "dissect.machine.cpu.CpuDevice.driver_memory_bytes",
    "device.energy_j": "dissect.machine.cpu.CpuDevice.energy_j",
}
"""Name in the record -> what it is here."""
LOOP = (
    "time.perf_counter", "time.monotonic", "gc.collect", "gc.freeze", "gc.disable", "gc.enable", "gc.unfreeze",
    "torch.manual_seed", "torch.set_default_dtype", "torch.randint", "torch.Tensor.__float__", "torch.Tensor.item",
    "torch.profiler.profile.__init__", "torch.profiler.profile.__enter__", "torch.profiler.profile.__exit__",
    "torch.nn.attention.sdpa_kernel", "torch.cuda.empty_cache",
    "torch.distributed.init_process_group", "torch.distributed.all_reduce", "torch.distributed.broadcast",
    "torch.distributed.all_gather_into_tensor", "torch.distributed.reduce_scatter_tensor",
    "torch.distributed.barrier", "torch.distributed.destroy_process_group",
)  # fmt: skip
"""What every rank may call."""


class Recorder:
    """Records calls of this process and of those that it forks, one file for each rank."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def watch(self, names: Mapping[str, str]) -> None:
        """Record calls of these functions, methods and classes (by ``__init__``): name in the record -> dotted name."""
        for shown, name in names.items():
            owner, attribute = _owner_of(name)
            original = getattr(owner, attribute)
            recording = self._recording(original, shown, is_method=isinstance(owner, type))
            setattr(owner, attribute, recording)
            for module in [m for n, m in list(sys.modules.items()) if n.startswith("dissect.")]:
                for known in [n for n, value in vars(module).items() if value is original]:
                    setattr(module, known, recording)

    def note(self, call: str, arguments: Mapping[str, Any]) -> None:
        """Add a call, and keep the environment as it is now."""
        rank = os.environ.get("RANK", "parent")
        with (self.folder / f"{rank}.jsonl").open("a") as file:
            file.write(json.dumps({call: arguments}) + "\n")
        (self.folder / f"{rank}.environment.json").write_text(json.dumps(dict(os.environ)))

    def _recording(self, original: Callable[..., Any], name: str, *, is_method: bool) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            if _is_ours(sys._getframe(1).f_globals.get("__name__")):
                places = {str(place): value for place, value in enumerate(args[1:] if is_method else args)}
                self.note(name, describe(places | kwargs))
            return original(*args, **kwargs)

        return call

    def calls(self, rank: int | str) -> list[dict[str, Any]]:
        """What a rank did, or the ``parent``."""
        return [json.loads(line) for line in (self.folder / f"{rank}.jsonl").read_text().splitlines()]

    def environment(self, rank: int) -> dict[str, str]:
        """Variables that a rank had in the end."""
        found: dict[str, str] = json.loads((self.folder / f"{rank}.environment.json").read_text())
        return found


def libraries(*names: str) -> dict[str, str]:
    """Names of libraries, as ``watch`` takes them: a class is recorded under its own."""
    return {name.removesuffix(".__init__").removesuffix(".__new__"): name for name in names}


def _is_ours(module: Any) -> bool:
    """Whether it measures; what leads Megatron-LM's calls of CUDA to a CPU calls in the library's name."""
    return isinstance(module, str) and module.startswith("dissect.") and not module.endswith(".on_cpu")


def _owner_of(name: str) -> tuple[Any, str]:
    """The module or class that has the last part of a dotted name, and that part."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            owner: Any = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:-1]:
            owner = getattr(owner, part)
        return owner, parts[-1]
    raise ModuleNotFoundError(name)


def describe(value: Any) -> Any:
    """An argument in words that are the same in every run: sizes and kinds, no contents and no addresses."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {str(key): describe(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return _describe_all(value)
    if isinstance(value, timedelta):
        return "what is left of the budget"
    if isinstance(value, functools.partial):
        return describe(value.func)
    if callable(value) and hasattr(value, "__qualname__"):
        return "a function of this project" if _is_ours(value.__module__) else value.__qualname__
    return _describe_object(value)


def _describe_all(values: Sequence[Any]) -> Any:
    """A list, or how many there are of what would be long."""
    if len(values) > 1 and all(isinstance(each, str) and " " in each for each in values):
        return f"{len(values)} texts"
    found = [describe(each) for each in values]
    return f"{len(found)} parameters" if found and all("parameter " in str(each) for each in found) else found


def _describe_object(value: Any) -> str:
    """What a tensor or a setting of torch is, and of anything else its class."""
    torch = sys.modules.get("torch")
    if torch and isinstance(value, torch.Tensor):
        kind = "parameter" if isinstance(value, torch.nn.Parameter) else "tensor"
        layout = "" if value.is_contiguous() else f" with strides {list(value.stride())}"
        return f"{kind} {str(value.dtype).removeprefix('torch.')}{list(value.shape)}{layout}"
    if torch and isinstance(value, torch.dtype | torch.device):
        return str(value)
    return str(value.name) if hasattr(type(value), "__members__") else f"a {type(value).__name__}"
