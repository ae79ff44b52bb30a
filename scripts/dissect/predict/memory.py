"""Predicted peak memory of a training spec."""

from importlib import import_module

from dissect.cells.frameworks import framework
from dissect.cells.spec import TrainingSpec
from dissect.predict.prediction import MemoryPrediction, StepMemory, largest


def predict_memory(spec: TrainingSpec, batch: int | None = None) -> MemoryPrediction | None:
    """The predicted peak per GPU and host memory per node; ``batch`` replaces that of the spec, which may be ``max``.

    None where there is no prediction: on ``cpu``, where whole processes are measured, and where the framework has none.
    """
    module = framework(spec.framework).step_memory
    batch = spec.workload.batch if batch is None and isinstance(spec.workload.batch, int) else batch
    if module is None or batch is None or spec.hardware.device == "cpu":
        return None
    found: StepMemory | None = import_module(module).step_memory(spec, batch)
    return None if found is None else largest(batch, found, spec.hardware.n_gpus // spec.hardware.n_nodes)
