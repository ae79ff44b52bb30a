"""Labels that readers see in place of ids, and the order of the values of an axis."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, get_args

from dissect.base.registry import ENGINES, FRAMEWORKS
from dissect.cells.engines import engine_facts
from dissect.cells.frameworks import framework
from dissect.cells.manifest import Manifest
from dissect.cells.operator_families import families
from dissect.config.layout import Axis, OperatorAxis

_OF_A_STEP = {
    "forward": "Forward",
    "recomputation": "Recomputation",
    "backward": "Backward",
    "optimizer": "Optimizer",
    "step": "Whole step",
    "embedding": "Embedding",
    "rms_norm": "RMSNorm",
    "qkv": "QKV",
    "rope": "RoPE",
    "scores": "QKᵀ",
    "softmax": "Softmax",
    "weighted_values": "Scores × V",
    "attention_kernel": "Attention kernel",
    "attention_rest": "Attention, reshaping",
    "output_projection": "Output projection",
    "gate": "Gate",
    "up": "Up",
    "silu": "SiLU and product",
    "down": "Down",
    "residual": "Residual",
    "head": "Head",
    "loss": "Loss",
    "mask": "Mask and positions",
    "gradients": "Gradient accumulation and reduction",
    "unattributed": "Not attributed",
    "decoder_layer": "All decoder layers",
    "attention": "All attention modules",
    "attention_core": "QKᵀ to scores × V",
}
"""Phases, directions and modules of a profile."""

_ROW_HEADERS: dict[Axis, str] = {
    "platform": "Platform",
    "model": "Model",
    "framework": "Framework",
    "method": "Method",
    "workload": "Workload",
    "n_gpus": "GPUs",
    "seq_len": "Sequence length",
    "batch": "Batch per GPU",
    "run": "Run",
    "request": "Request",
    "probe": "Probe",
    "product": "Product",
    "rows": "Rows",
    "size_bytes": "Size",
    "sequence": "Sequence length",
    "step_phase": "Phase",
    "module": "Module",
    "direction": "Direction",
}
_WITH_UNIT: dict[Axis, str] = {
    "n_gpus": "{} GPUs",
    "seq_len": "sequence length {}",
    "batch": "batch {} per GPU",
    "rows": "{} rows",
    "sequence": "sequence length {}",
}


@cache
def framework_labels() -> dict[str, str]:
    """Name -> label, as declared by each framework, family of operators and engine."""
    return {
        **{name: framework(name).label for name in FRAMEWORKS},
        **{name: engine_facts(name).label for name in ENGINES},
        **{name: family.label for name, family in families().items()},
    }


def row_header(axis: Axis) -> str:
    """Header above the labels of an axis."""
    return _ROW_HEADERS[axis]


def axis_label(manifest: Manifest, axis: Axis, value: Any, bare: bool = False) -> str:
    """Label of an axis value; ``bare`` if a header already gives the meaning of the number."""
    if value is None and axis in get_args(OperatorAxis):
        return "all"
    match axis:
        case "platform":
            return manifest.platforms[value].label
        case "model":
            return manifest.models[value].label if value in manifest.models else "no model"
        case "size_bytes":
            return size_label(value)
        case "method":
            return manifest.methods[value].label if value in manifest.methods else str(value)
        case "framework":
            return framework_labels().get(value, str(value))
        case "step_phase" | "module" | "direction":
            return "all" if value is None else _OF_A_STEP.get(value, str(value))
    if (axis, value, bare) == ("batch", "max", False):
        return "largest batch per GPU"
    return str(value) if bare else _WITH_UNIT.get(axis, "{}").format(value)


def size_label(size: int) -> str:
    """A number of bytes in the largest binary unit that divides it, such as ``64 KiB``."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size % 2**power == 0:
            return f"{size >> power} {unit}"
    return f"{size} B"


def axis_order(rows: Sequence[Mapping[str, Any]]) -> dict[Axis, list[Any]]:
    """The values of every axis: ids as they first appear, numbers ascending with ``max`` behind them."""
    return {axis: _ordered([row[axis] for row in rows]) for axis in get_args(Axis) if rows and axis in rows[0]}


def _ordered(values: list[Any]) -> list[Any]:
    distinct = [value for value in dict.fromkeys(values) if value is not None] or [None]
    if any(isinstance(value, int) for value in distinct):
        return sorted(distinct, key=lambda value: (not isinstance(value, int), value if isinstance(value, int) else 0))
    return distinct
