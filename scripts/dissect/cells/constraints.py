"""Why a cell cannot exist: each constraint gives a reason, so that tables can print it."""

from dissect.cells.spec import MegatronSpec, ServeWorkload
from dissect.config.architecture import ModelArchitecture
from dissect.config.environment import Environment
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


def operator_constraint(family: str, operator: str, platform: Platform, n_gpus: int) -> str | None:
    """A collective needs several ranks, a kernel the device that it was written for."""
    if family == "collectives" and n_gpus == 1:
        return "a collective needs at least two GPUs"
    if family == "attention" and operator.startswith("flash_attention") and platform.device == "cpu":
        return f"{operator} runs on GPUs only"
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


def sequence_constraint(seq_len: int, max_position_embeddings: int) -> str | None:
    """The model must have positions for the sequence."""
    if seq_len <= max_position_embeddings:
        return None
    return f"a sequence of {seq_len} tokens exceeds the model's {max_position_embeddings} positions"
