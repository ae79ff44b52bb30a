"""The points of an experiment's axes, before overrides."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from dissect.cells.cell_id import NO_NAME, CellId
from dissect.config.arrival import Arrival
from dissect.config.catalog import Catalog, axes_of, methods_of, platforms_of
from dissect.config.experiment import Axes, Experiment
from dissect.config.kinds import OPERATORS_OF_A_MODEL
from dissect.config.platform import Platform


@dataclass(frozen=True)
class AxesPoint:
    """One combination of values; ``method`` is in its normal spelling, ``-`` stands for no model or method."""

    name: str
    """Name of the experiment."""
    experiment: Experiment
    platform: str
    model: str
    framework: Any
    method: str
    batch: int | str
    n_gpus: int
    arrival: Arrival

    def id_with(self, workload: str) -> str:
        """Readable id of the cell with this workload."""
        return str(CellId(self.experiment.stage, self.platform, self.model, self.framework, self.method, workload))


def points_of(name: str, catalog: Catalog, platforms: list[str]) -> Iterator[AxesPoint]:
    """All points of an experiment on the given platforms."""
    experiment = catalog.experiments[name]
    axes = axes_of(experiment, catalog.root.suite)
    if experiment.stage == "inspect":
        # A node is looked at once, whatever models and batches an experiment names.
        axes = axes.model_copy(update={"model": "none", "batch": [1]})
    where = f"config/experiments/{name}.yaml: axes.method"
    inspects = experiment.stage == "inspect"
    methods = [
        (framework, method)
        for framework in axes.framework
        for method in (
            [NO_NAME] if inspects else methods_of(experiment, axes.methods_with(framework), catalog.methods, where)
        )
    ]
    for platform in platforms_of(experiment, platforms):
        facts = catalog.platforms[platform]
        models = _models(axes, catalog, facts)
        points = product(models, methods, axes.batch, _counts(axes, facts), axes.arrival)
        for model, (framework, method), batch, n_gpus, arrival in points:
            own = NO_NAME if experiment.stage == "operators" and method not in OPERATORS_OF_A_MODEL else model
            if own == model or model == models[0]:  # what is of no model is measured once for all of them
                yield AxesPoint(name, experiment, platform, own, framework, method, batch, n_gpus, arrival)


def _counts(axes: Axes, platform: Platform) -> list[int]:
    match axes.gpus:
        case "sweep":
            return platform.gpu_counts
        case "one":
            return [1]
        case "all":
            return [platform.gpus_per_node * platform.nodes]


def _models(axes: Axes, catalog: Catalog, platform: Platform) -> list[str]:
    if axes.model == "none":
        return [NO_NAME]
    names = [name for name in catalog.root.models if axes.model == "configured" or name in axes.model]
    return platform.workload.models if names and platform.workload.models else names
