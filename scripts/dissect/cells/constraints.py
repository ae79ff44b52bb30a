"""Why a cell cannot exist: each constraint gives a reason, so that tables can print it."""

from dissect.base.runners import RUNNERS
from dissect.cells.globs import NO_NAME
from dissect.cells.point import Point
from dissect.cells.spec import MegatronMethod, MegatronSpec, ServeWorkload
from dissect.config.architecture import ModelArchitecture
from dissect.config.environment import Environment
from dissect.config.kinds import OPERATORS_OF_A_MODEL, DType
from dissect.config.methods import MethodKnobs
from dissect.config.overrides import given
from dissect.config.platform import Platform


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


def megatron_constraint(spec: MegatronSpec) -> str | None:
    """The degrees must divide what they split, and the layers must have the attention kernel."""
    return _split_constraint(spec) or _layer_constraint(spec.method, spec.hardware.device)


def _split_constraint(spec: MegatronSpec) -> str | None:
    """Nothing is padded: every part of the model is split evenly or the cell does not exist."""
    method, model, n_gpus = spec.method, spec.model, spec.hardware.n_gpus
    tensor, pipeline = method.tensor_parallel, method.pipeline_parallel
    if n_gpus % (tensor * pipeline):
        return f"{n_gpus} GPUs cannot be split into tensor parallel {tensor} x pipeline parallel {pipeline}"
    over_tensor = {
        "attention heads": model.num_attention_heads,
        "key-value heads": model.num_key_value_heads,
        "columns of the MLP": model.intermediate_size,
        "words of the vocabulary": model.vocab_size,
    } | ({"tokens of a sequence": spec.workload.seq_len} if method.sequence_parallel else {})
    for what, size in over_tensor.items():
        if size % tensor:
            return f"{size} {what} cannot be split over {tensor} GPUs"
    if model.num_hidden_layers % pipeline:
        return f"{model.num_hidden_layers} layers cannot be split into {pipeline} stages"
    if method.sequence_parallel and tensor == 1:
        return "sequence parallel needs tensor parallel above 1"
    if method.distributed_optimizer and n_gpus == tensor * pipeline:
        return "the distributed optimizer needs data parallel above 1"
    return None


def _layer_constraint(method: MegatronMethod, device: str) -> str | None:
    """Megatron-LM's own layers have unfused attention only; Transformer Engine's call flash-attn."""
    if method.layer_spec == "local":
        return None if method.attention == "eager" else "the local layers of Megatron-LM have no FlashAttention"
    if device == "cpu":
        return "Transformer Engine runs on GPUs only"
    if method.attention == "sdpa_flash":
        return "Transformer Engine has flash-attn's kernels, not sdpa_flash"
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


def engine_constraint(
    framework: str, platform: Platform, environment: Environment | None, workload: ServeWorkload, n_gpus: int
) -> str | None:
    """The platform must have the engine, and the engine what is asked of it."""
    if framework != "transformers" and platform.device == "cpu":
        return f"{framework} runs on GPUs only"
    if environment is None:
        return f"the platform names no environment for {framework}"
    if framework == "tgi" and environment.starts_python:
        return "TGI is no Python package: the platform must name a command, a container or a url for it"
    if framework == "transformers" and n_gpus > 1:
        return "transformers serve does not split a model over GPUs"
    if workload.calibrate and not (framework == "vllm" and environment.starts_python):
        return "the second load generator comes with vLLM's own Python"
    return None


def heads_constraint(model: ModelArchitecture, n_gpus: int) -> str | None:
    """Tensor parallel splits the query heads evenly; key-value heads may be copied."""
    if model.num_attention_heads % n_gpus == 0:
        return None
    return f"{model.num_attention_heads} attention heads cannot be split over {n_gpus} GPUs"


def hardware_constraint(platform: Platform, n_gpus: int) -> str | None:
    """The platform must have the GPUs, and as many of them on each node."""
    total = platform.gpus_per_node * platform.nodes
    if n_gpus > total:
        return f"the platform has {total} GPUs, not {n_gpus}"
    nodes = -(-n_gpus // platform.gpus_per_node)
    return f"{n_gpus} GPUs cannot be spread evenly over {nodes} nodes" if n_gpus % nodes else None


def kernel_constraint(platform: Platform, knobs: MethodKnobs) -> str | None:
    """F needs a FlashAttention kernel."""
    missing = knobs.flash_attention and platform.kernels.flash_attention is None
    return "the platform names no FlashAttention kernel" if missing else None


def sequence_constraint(positions: int, max_position_embeddings: int) -> str | None:
    """The model must have positions for the sequence."""
    if positions <= max_position_embeddings:
        return None
    return f"a sequence of {positions} tokens exceeds the model's {max_position_embeddings} positions"
