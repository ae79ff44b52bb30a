"""Megatron-LM's declaration: its knobs, how they split a model, the memory of its states."""

from typing import Any

from dissect.cells.frameworks import Framework, TrainingStage
from dissect.cells.spec import Hardware
from dissect.config.platform import Platform
from dissect.stages.training.megatron.knobs import MegatronKnobs
from dissect.stages.training.megatron.model_states import state_bytes
from dissect.stages.training.megatron.spec import MegatronMethod, MegatronSpec


def _method(knobs: MegatronKnobs, platform: Platform, hardware: Hardware) -> dict[str, Any]:
    """The method's knobs; without letters, tensor parallel over the GPUs of a node, as in the paper."""
    pipeline = knobs.pipeline_parallel or 1
    return {
        "tensor_parallel": knobs.tensor_parallel or max(1, hardware.n_gpus // hardware.n_nodes // pipeline),
        "pipeline_parallel": pipeline,
        "sequence_parallel": bool(knobs.sequence_parallel),
        "distributed_optimizer": bool(knobs.distributed_optimizer),
        "layer_spec": platform.kernels.layer_spec,
        "overlap_communication": bool(knobs.overlap_communication),
        "fused_kernels": bool(knobs.fused_kernels),
        "recompute_attention": bool(knobs.recompute_attention),
    }


def constraint(spec: MegatronSpec) -> str | None:
    """Why the cell is unsupported, or None: each degree must divide its size, the layers must have the kernel."""
    return _split_constraint(spec) or _layer_constraint(spec.method, spec.hardware.device)


def _split_constraint(spec: MegatronSpec) -> str | None:
    """Why the split is unsupported, or None: nothing is padded, so every part of the model must split evenly."""
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
    return _replica_constraint(method, n_gpus // (tensor * pipeline))


def _replica_constraint(method: MegatronMethod, replicas: int) -> str | None:
    """Why what replicas do together is unsupported, or None."""
    if method.distributed_optimizer and replicas == 1:
        return "the distributed optimizer needs data parallel above 1"
    if method.overlap_communication and replicas == 1:
        return "gradients that are reduced during the backward pass need data parallel above 1"
    return None


def _layer_constraint(method: MegatronMethod, device: str) -> str | None:
    """Why the layers are unsupported, or None: local ones have unfused attention, Transformer Engine flash-attn."""
    if method.recompute and method.recompute_attention:
        return "recomputation of whole layers includes that of attention"
    if method.layer_spec == "local":
        return None if method.attention == "eager" else "the local layers of Megatron-LM have no FlashAttention"
    if device == "cpu":
        return "Transformer Engine runs on GPUs only"
    if method.attention == "sdpa_flash":
        return "Transformer Engine has flash-attn's kernels, not sdpa_flash"
    return None


FRAMEWORK = Framework(
    label="Megatron-LM",
    knobs=MegatronKnobs,
    stages={
        "pretrain": TrainingStage(
            runner="dissect.stages.training.megatron.pretrain",
            protocol=2,
            spec=MegatronSpec,
            method=MegatronMethod,
            resolve=_method,
        ),
    },
    state_bytes=state_bytes,
    step_memory="dissect.stages.training.megatron.step_memory",
    step_work="dissect.stages.training.megatron.step_work",
    constraint=constraint,
    distributions=("megatron-core", "transformer-engine"),
)
