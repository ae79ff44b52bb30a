"""Llama as a GPTModel of megatron-core, with this rank's part of it."""

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from dissect.config.kinds import LayerSpec
from dissect.machine.device import Device
from dissect.stages.training.megatron.spec import MegatronSpec
from dissect.workloads.attention_kernels import WrongKernelError
from dissect.workloads.dtypes import default_dtype, torch_dtype

if TYPE_CHECKING:
    import torch


def choose_layers(layer_spec: LayerSpec) -> None:
    """Before megatron-core is imported: check that the layers that the spec names are installed, as none replace them.

    Local ones are the same whether or not Transformer Engine is installed: megatron-core would take its optimizer.

    Raises:
        WrongKernelError: they are not.
    """
    if layer_spec == "local":
        sys.modules["transformer_engine"] = None  # type: ignore[assignment]  # importing it is an ImportError from here
    elif find_spec("transformer_engine") is None:
        raise WrongKernelError("the spec names the layers of Transformer Engine, which is not installed here")


def transformer_config(spec: MegatronSpec) -> Any:
    """Megatron's ``TransformerConfig``: no dropout, no bias, and only those fusions that the spec asks for."""
    from megatron.core.transformer import TransformerConfig
    from megatron.core.transformer.enums import AttnBackend
    from torch.nn.functional import silu

    arch, method, dtype = spec.model, spec.method, torch_dtype(spec.workload.dtype)
    recompute: dict[str, Any] = {}
    if method.recompute:
        recompute = {"granularity": "full", "method": "uniform", "num_layers": 1}
    elif method.recompute_attention:
        recompute = {"granularity": "selective", "modules": ["core_attn"]}
    fusions = ["bias_activation_fusion", "bias_dropout_fusion", "cross_entropy_loss_fusion"]
    if method.layer_spec == "transformer_engine":
        fusions.append("apply_rope_fusion")
    return TransformerConfig(
        num_layers=arch.num_hidden_layers,
        hidden_size=arch.hidden_size,
        ffn_hidden_size=arch.intermediate_size,
        num_attention_heads=arch.num_attention_heads,
        num_query_groups=arch.num_key_value_heads,
        normalization="RMSNorm",
        layernorm_epsilon=arch.rms_norm_eps,
        gated_linear_unit=True,
        activation_func=silu,
        add_bias_linear=False,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        attention_backend=AttnBackend.unfused if method.attention == "eager" else AttnBackend.flash,
        tensor_model_parallel_size=method.tensor_parallel,
        pipeline_model_parallel_size=method.pipeline_parallel,
        sequence_parallel=method.sequence_parallel,
        deallocate_pipeline_outputs=method.pipeline_parallel > 1,
        bf16=spec.workload.dtype == "bf16",
        params_dtype=dtype,
        pipeline_dtype=dtype,
        **{f"recompute_{name}": value for name, value in recompute.items()},
        **dict.fromkeys(fusions if method.fused_kernels else [], True),
    )


def build_model(spec: MegatronSpec, config: Any, device: Device) -> "torch.nn.Module":
    """The layers of this rank's pipeline stage, this rank's share of each, on its device.

    Neither is the vocabulary padded, nor are embedding and head tied. The seed of ``connect`` fixes the weights.
    """
    import torch
    from megatron.core import parallel_state
    from megatron.core.models.gpt import GPTModel
    from megatron.core.transformer.module import Float16Module

    arch, dtype = spec.model, spec.workload.dtype
    with torch.device(device.torch_device), default_dtype(dtype):
        model = GPTModel(
            config=config,
            transformer_layer_spec=_block(spec, config),
            vocab_size=arch.vocab_size,
            max_sequence_length=arch.max_position_embeddings,
            pre_process=parallel_state.is_pipeline_first_stage(),
            post_process=parallel_state.is_pipeline_last_stage(),
            parallel_output=True,
            share_embeddings_and_output_weights=False,
            position_embedding_type="rope",
            rotary_base=arch.rope_theta,
        )
    return Float16Module(config, model) if dtype == "bf16" else model


class LocalNorm:
    """PyTorch's RMSNorm as in the local layers, also for sequence parallel, which their wrapper does not support."""

    def __new__(cls, config: Any, hidden_size: int, eps: float) -> "torch.nn.RMSNorm":
        """Make the norm; Megatron sums its gradient over the tensor-parallel ranks if they split the sequence."""
        import torch

        norm = torch.nn.RMSNorm(hidden_size, eps)
        norm.weight.sequence_parallel = config.sequence_parallel
        return norm


def _block(spec: MegatronSpec, config: Any) -> Any:
    """The implementation of each part of the decoder's layers, and of the norm behind the last layer."""
    from megatron.core.models.gpt.gpt_layer_specs import (
        get_gpt_layer_local_spec,
        get_gpt_layer_with_transformer_engine_spec,
    )
    from megatron.core.transformer.transformer_block import TransformerBlockSubmodules, get_num_layers_to_build

    if spec.method.layer_spec == "transformer_engine":
        from megatron.core.extensions.transformer_engine import TENorm

        # The softmax of its unfused attention would be a kernel of its own; `eager` means PyTorch's.
        os.environ["NVTE_MASKED_SOFTMAX_FUSION"] = "0"
        layer, norm = get_gpt_layer_with_transformer_engine_spec(), TENorm
    else:
        layer, norm = get_gpt_layer_local_spec(normalization="RMSNorm"), LocalNorm
        layer.submodules.input_layernorm = layer.submodules.pre_mlp_layernorm = norm
    return TransformerBlockSubmodules(layer_specs=[layer] * get_num_layers_to_build(config), layer_norm=norm)
