"""Predicted peak memory of a training spec."""

from importlib import import_module

from dissect.cells.frameworks import framework
from dissect.cells.spec import TrainingSpec
from dissect.predict.prediction import Demand, MemoryPrediction, largest


def predict_memory(spec: TrainingSpec, batch: int | None = None) -> MemoryPrediction | None:
    """The predicted peak per GPU and host memory per node; ``batch`` replaces that of the spec, which may be ``max``.

    None where there is no prediction: on ``cpu``, where whole processes are measured, and where the framework has none.
    """
    module = framework(spec.framework).demand
    batch = spec.workload.batch if batch is None and isinstance(spec.workload.batch, int) else batch
    if module is None or batch is None or spec.hardware.device == "cpu":
        return None
    demand: Demand | None = import_module(module).demand(spec, batch)
    return None if demand is None else largest(batch, demand, spec.hardware.n_gpus // spec.hardware.n_nodes)
