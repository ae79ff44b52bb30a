"""How starts differ, pooled over cells of one class: what tells cells apart that share no start."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dissect.base.outcome import Flag
from dissect.cells.spec import Spec
from dissect.statistics.between_starts import BetweenStarts, pool_starts
from dissect.statistics.run_values import RunValue

Pools = Mapping[str, BetweenStarts]
START_CLASS = "start_class"
"""Field of a row: the class of its cell. No column of the CSV."""


def class_of(spec: Spec | None, row: Mapping[str, Any]) -> str:
    """Class of a cell: its GPU, and whether it serves, waits for its host, or keeps the GPU busy.

    Which of the latter two is known only by its device time. Platforms with the same GPU are one kind, however many of
    it a machine has. Platforms without GPUs are hosts of any kind, so each is one of its own.
    """
    with_gpu = spec is not None and spec.hardware.device != "cpu"
    return f"{_load(row)} on {spec.hardware.gpu_model if spec and with_gpu else row['platform']}"


def _load(row: Mapping[str, Any]) -> str:
    if row["stage"] == "serve":
        return "serving"
    if Flag.LAUNCH_BOUND in str(row["flags"] or "").split(";"):
        return "launch-bound"
    return "busy" if row.get("device_time_s") else "not traced"


def pool_classes(cells: Iterable[tuple[str, Sequence[RunValue]]]) -> Pools:
    """Class -> how its starts differ, from the class and the runs of each cell; without classes that do not tell."""
    runs: dict[str, list[Sequence[RunValue]]] = {}
    for name, values in cells:
        runs.setdefault(name, []).append(values)
    pooled = {name: pool_starts(several) for name, several in runs.items()}
    return {name: found for name, found in pooled.items() if found}


def between(pools: Pools, *classes: str) -> BetweenStarts | None:
    """How starts of the cells of a comparison differ; of two classes the one that differs more counts."""
    found = [pools.get(name) for name in classes]
    known = [each for each in found if each]
    return max(known, key=lambda each: each.variance) if known and len(known) == len(found) else None
