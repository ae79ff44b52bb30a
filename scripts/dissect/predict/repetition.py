"""What counts as a repetition of a cell, on whatever platform: no repetition corrects the prediction of a cell."""

from typing import Any

from dissect.cells.spec import ServeSpec, Spec, TrainingSpec, canonical_json

_WHERE = {"gpu_model", "n_gpus", "n_nodes"}
"""What of its hardware tells cells apart: platforms of one machine differ in limits, links and variables."""


def step_identity(spec: TrainingSpec, batch: int) -> str:
    """What a cell computes on which GPUs, however it is sampled."""
    load = spec.workload
    return _identity(spec, "method", {"batch": batch, "length": load.seq_len, "dtype": load.dtype})


def load_identity(spec: ServeSpec) -> str:
    """What a cell serves on which GPUs, however often it is sent and by whatever it is calibrated."""
    sent = spec.workload.model_dump(mode="json", include={"requests", "input_tokens", "output_tokens", "arrival"})
    return _identity(spec, "settings", {"load": sent, "dtype": spec.workload.dtype})


def _identity(spec: Spec, how: str, work: dict[str, Any]) -> str:
    told = spec.model_dump(mode="json", include={"framework": True, "model": True, how: True, "hardware": _WHERE})
    return canonical_json(told | work)
