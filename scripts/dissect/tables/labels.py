"""What readers see in place of ids, and in which order values of an axis stand."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from dissect.cells.manifest import Manifest
from dissect.config.layout import Axis

FRAMEWORKS = {
    "deepspeed": "DeepSpeed",
    "megatron": "Megatron-LM",
    "vllm": "vLLM",
    "lightllm": "LightLLM",
    "tgi": "TGI",
    "transformers": "transformers serve",
    "sglang": "SGLang",
}

_ROW_HEADERS: dict[Axis, str] = {
    "platform": "Platform",
    "model": "Model",
    "framework": "Framework",
    "method": "Method",
    "workload": "Workload",
    "n_gpus": "GPUs",
    "seq_len": "Sequence length",
    "batch": "Batch per GPU",
    "request": "Request",
}
_WITH_UNIT: dict[Axis, str] = {"n_gpus": "{} GPUs", "seq_len": "sequence length {}", "batch": "batch {} per GPU"}


def row_header(axis: Axis) -> str:
    """Header above the labels of an axis."""
    return _ROW_HEADERS[axis]


def axis_label(manifest: Manifest, axis: Axis, value: Any, bare: bool = False) -> str:
    """Label of an axis value; ``bare`` where a header already says what the number is."""
    match axis:
        case "platform":
            return manifest.platforms[value].label
        case "model":
            return manifest.models[value].label if value in manifest.models else str(value)
        case "method":
            return manifest.methods[value].label if value in manifest.methods else str(value)
        case "framework":
            return FRAMEWORKS.get(value, str(value))
    if (axis, value, bare) == ("batch", "max", False):
        return "largest batch per GPU"
    return str(value) if bare else _WITH_UNIT.get(axis, "{}").format(value)


def axis_order(rows: Sequence[Mapping[str, Any]]) -> dict[Axis, list[Any]]:
    """The values of every axis: ids as they first appear, numbers ascending with ``max`` behind them."""
    return {axis: _ordered([row[axis] for row in rows]) for axis in get_args(Axis) if rows and axis in rows[0]}


def _ordered(values: list[Any]) -> list[Any]:
    distinct = [value for value in dict.fromkeys(values) if value is not None] or [None]
    if any(isinstance(value, int) for value in distinct):
        return sorted(distinct, key=lambda value: (not isinstance(value, int), value if isinstance(value, int) else 0))
    return distinct
