"""Why a cell cannot exist: each constraint gives a reason, so that tables can print it."""

from dissect.cells.globs import NO_NAME
from dissect.cells.point import Point
from dissect.cells.spec import MegatronSpec
from dissect.config.kinds import OPERATORS_OF_A_MODEL, DType
from dissect.config.methods import MethodKnobs
from dissect.config.overrides import given
from dissect.config.platform import Platform
from dissect.runners import RUNNERS


def runner_constraint(stage: str, framework: str) -> str | None:
    """There must be a runner."""
    return None if (stage, framework) in RUNNERS else "not built yet"


_COMMON = {"flash_attention", "recompute"}
_ZERO = {"zero_stage", "offload_optimizer", "offload_parameters", "quantization"}
_SPLIT = {"tensor_parallel", "pipeline_parallel", "sequence_parallel", "distributed_optimizer"}
_KNOBS = {"deepspeed": _COMMON | _ZERO | {"adapter"}, "megatron": _COMMON | _SPLIT}
"""What letters can turn, by framework."""
_GPU_KERNELS = {"sdpa_efficient", "flash_attention_2"}


def stage_constraint(stage: str, framework: str, knobs: MethodKnobs) -> str | None:
    """The stage and the framework must have what the letters turn."""
    if foreign := sorted(given(knobs).keys() - _KNOBS[framework]):
        return f"{framework} has no {', '.join(foreign)}"
    if stage == "finetune" and knobs.adapter is None:
        return "fine-tuning needs an adapter: L, QL or PT"
    if stage != "finetune" and knobs.adapter is not None:
        return "an adapter belongs to fine-tuning"
    return None


def split_constraint(spec: MegatronSpec) -> str | None:
    """Tensor and pipeline parallel must divide the GPUs, the heads and the layers."""
    method, model, n_gpus = spec.method, spec.model, spec.hardware.n_gpus
    tensor, pipeline = method.tensor_parallel, method.pipeline_parallel
    if n_gpus % (tensor * pipeline):
        return f"{n_gpus} GPUs cannot be split into tensor parallel {tensor} x pipeline parallel {pipeline}"
    if model.num_attention_heads % tensor or model.num_key_value_heads % tensor:
        return f"{model.num_key_value_heads} key-value heads cannot be split over {tensor} GPUs"
    if model.num_hidden_layers % pipeline:
        return f"{model.num_hidden_layers} layers cannot be split into {pipeline} stages"
    if method.sequence_parallel and tensor == 1:
        return "sequence parallel needs tensor parallel above 1"
    return None


def operator_constraint(point: Point, platform: Platform, dtype: DType) -> str | None:
    """A collective needs several ranks, copies to a device one, a kernel the device and dtype it was written for."""
    family, operator = point.framework, point.method
    if operator in OPERATORS_OF_A_MODEL and point.model == NO_NAME:
        return f"{operator} needs the shapes of a model"
    if family == "collectives":
        return "a collective needs at least two GPUs" if point.n_gpus == 1 else None
    if point.n_gpus > 1:
        return f"{operator} is measured on one GPU"
    if platform.device == "cpu" and family == "memcpy" and "device" in operator:
        return f"{operator} needs a device with its own memory"
    if platform.device == "cpu" and operator in _GPU_KERNELS:
        return f"{operator} runs on GPUs only"
    if operator == "flash_attention_2" and dtype == "fp32":
        return "flash_attention_2 has no fp32"
    return None


def hardware_constraint(platform: Platform, n_gpus: int) -> str | None:
    """The platform must have the GPUs."""
    total = platform.gpus_per_node * platform.nodes
    return f"the platform has {total} GPUs, not {n_gpus}" if n_gpus > total else None


def kernel_constraint(platform: Platform, knobs: MethodKnobs) -> str | None:
    """F needs a FlashAttention kernel."""
    missing = knobs.flash_attention and platform.kernels.flash_attention is None
    return "the platform names no FlashAttention kernel" if missing else None


def sequence_constraint(seq_len: int, max_position_embeddings: int) -> str | None:
    """The model must have positions for the sequence."""
    if seq_len <= max_position_embeddings:
        return None
    return f"a sequence of {seq_len} tokens exceeds the model's {max_position_embeddings} positions"
