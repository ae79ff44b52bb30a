"""Llamas with random weights and synthetic batches, built on the device that uses them; nothing is downloaded."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dissect.config.architecture import ModelArchitecture
from dissect.config.kinds import AttentionKernel, DType
from dissect.workloads.attention_kernels import IMPLEMENTATIONS
from dissect.workloads.dtypes import default_dtype, torch_dtype

if TYPE_CHECKING:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM


def llama_config(arch: ModelArchitecture, kernel: AttentionKernel) -> "LlamaConfig":
    """Configuration of transformers for an architecture; without a cache, since nothing is generated."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=arch.vocab_size,
        hidden_size=arch.hidden_size,
        intermediate_size=arch.intermediate_size,
        num_hidden_layers=arch.num_hidden_layers,
        num_attention_heads=arch.num_attention_heads,
        num_key_value_heads=arch.num_key_value_heads,
        max_position_embeddings=arch.max_position_embeddings,
        rms_norm_eps=arch.rms_norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": arch.rope_theta},
        use_cache=False,
        attn_implementation=IMPLEMENTATIONS[kernel],
    )


def build_llama(config: "LlamaConfig", dtype: DType, device: "torch.device", seed: int) -> "LlamaForCausalLM":
    """A model in ``dtype``, allocated and initialised on ``device``; the seed determines the weights."""
    import torch
    from transformers import LlamaForCausalLM
    from transformers.initialization import no_init_weights

    torch.manual_seed(seed)
    with torch.device(device), default_dtype(dtype):
        with no_init_weights():
            model = LlamaForCausalLM(config)
        model.initialize_weights()
    return model


def build_nf4_llama(
    config: "LlamaConfig",
    dtype: DType,
    device: "torch.device",
    seed: int,
    storage: "torch.dtype | None" = None,
    built: "Callable[[torch.nn.Module], object]" = lambda _: None,
) -> "LlamaForCausalLM":
    """A model as of ``build_llama``, with the linear layers of the decoder frozen in 4 bits (NF4).

    Each layer is quantised as soon as it is built, so that at most one exists in ``dtype`` at a time. ``built`` is
    called with the model without its layers, and with each layer before the next is built; ``storage`` is the dtype of
    the tensors that hold the packed weights, by default bytes.
    """
    import torch
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer

    n_layers, config.num_hidden_layers = config.num_hidden_layers, 0
    model = build_llama(config, dtype, device, seed)
    config.num_hidden_layers = n_layers
    built(model)
    for index in range(n_layers):
        with torch.device(device), default_dtype(dtype), torch.no_grad():
            layer = LlamaDecoderLayer(config, index)
            layer.apply(model._init_weights)
        quantize_linear_layers(layer, device, dtype, storage)
        built(layer)
        model.model.layers.append(layer)
    return model


def parameter_counts(model: "torch.nn.Module") -> tuple[int, int]:
    """Numbers of (all, trainable) parameters of the model, including sharded (ZeRO-3) and packed (NF4) ones."""
    quantized = [each for each in model.modules() if getattr(each, "quant_state", None) is not None]
    packed = {id(each.weight): each.quant_state for each in quantized}
    sizes = [(_logical_size(each, packed.get(id(each))), each.requires_grad) for each in model.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trains in sizes if trains)


def synthetic_tokens(
    arch: ModelArchitecture, batch: int, seq_len: int, device: "torch.device", seed: int
) -> "torch.Tensor":
    """Random token ids [batch, seq_len], int64, which every step uses as inputs and labels."""
    import torch

    generator = torch.Generator(device).manual_seed(seed)
    return torch.randint(arch.vocab_size, (batch, seq_len), device=device, generator=generator)


def quantize_linear_layers(
    layer: "torch.nn.Module", device: "torch.device", dtype: DType, storage: "torch.dtype | None" = None
) -> None:
    """Replace each linear layer inside by its NF4 counterpart: double quantisation, computing in ``dtype``.

    ``storage`` is the dtype of the tensors that hold the packed weights, by default bytes.
    """
    import torch
    from bitsandbytes.nn import Linear4bit, Params4bit

    stored = {} if storage is None else {"quant_storage": storage}
    for name, linear in list(layer.named_modules()):
        if not isinstance(linear, torch.nn.Linear):
            continue
        quantized = Linear4bit(
            linear.in_features,
            linear.out_features,
            bias=False,
            compute_dtype=torch_dtype(dtype),
            quant_type="nf4",
            device=torch.device("meta"),
            **stored,
        )
        packed = Params4bit(linear.weight.data, quant_type="nf4", compress_statistics=True, module=quantized, **stored)
        quantized.weight = packed.to(device)
        layer.set_submodule(name, quantized)


def _logical_size(parameter: "torch.nn.Parameter", packed: Any) -> int:
    """Number of elements of a parameter, before it was sharded, or packed as bitsandbytes' ``packed`` state tells."""
    if packed is not None:
        return int(packed.shape.numel())
    return int(getattr(parameter, "ds_numel", parameter.numel()))
