"""A Llama whose layers are built, quantised, adapted and sharded one after the other: no GPU ever holds the whole."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from dissect.config.adapters.adapter import Adapter
from dissect.machine.device import Device
from dissect.stages.training.fsdp.spec import FsdpSpec
from dissect.stages.training.torch_trainer import compile_layers
from dissect.workloads.dtypes import default_dtype, torch_dtype
from dissect.workloads.llama import llama_config, quantize_linear_layers

if TYPE_CHECKING:
    import torch

Shard = Callable[..., Any]
"""``fully_shard`` with the policies of a cell."""


def build_sharded_llama(spec: FsdpSpec, device: Device) -> Any:
    """The model of the spec with shards on the device or in host memory; equal seeds give every framework's weights.

    Embedding, each decoder layer, and the norm with the head are a group each, as torchtitan has them. The last group
    is not resharded after the forward pass, since the backward pass needs it at once.
    """
    import torch
    from transformers import LlamaForCausalLM
    from transformers.initialization import no_init_weights

    method, here = spec.method, device.torch_device
    config = llama_config(spec.model, method.attention)
    whole = method.trained_adapter is None and not method.is_quantized
    built_in = spec.trained_dtype if whole else spec.workload.dtype
    with torch.device("meta"), default_dtype(built_in), no_init_weights():
        model = LlamaForCausalLM(config)
    shard, adapters = _sharding(spec, device), _AdapterSeeds(spec.workload.seed)
    torch.manual_seed(spec.workload.seed)
    inner = model.model
    groups: list[list[Any]] = [[inner.embed_tokens], *([layer] for layer in inner.layers), [inner.norm, model.lm_head]]
    for group in groups:
        for module in group:
            module.to_empty(device=here)
            module.apply(model._init_weights)
        if group[0] in set(inner.layers):
            _change_layer(spec, group[0], here, adapters)
        elif method.trained_adapter is not None:
            for module in group:
                module.requires_grad_(False)
        for parameter in (p for module in group for p in module.parameters() if p.requires_grad):
            parameter.data = parameter.data.to(torch_dtype(spec.trained_dtype))
        shard(group if len(group) > 1 else group[0], reshard_after_forward=group is not groups[-1])
    inner.rotary_emb = type(inner.rotary_emb)(config=config, device=here)
    shard(model)
    return model


def _sharding(spec: FsdpSpec, device: Device) -> Shard:
    """Sharding over all ranks: products in the cell's dtype, gradients reduced in the dtype of what trains."""
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy, fully_shard

    where = device.torch_device.type
    compute, trained = torch_dtype(spec.workload.dtype), torch_dtype(spec.trained_dtype)
    offload = CPUOffloadPolicy(pin_memory=where != "cpu") if spec.method.cpu_offload else OffloadPolicy()
    return partial(
        fully_shard,
        mesh=init_device_mesh(where, (distributed.get_world_size(),)),
        mp_policy=MixedPrecisionPolicy(param_dtype=compute, reduce_dtype=trained),
        offload_policy=offload,
    )


class _AdapterSeeds:
    """The random numbers of the adapter, which no framework mixes with those of the base."""

    def __init__(self, seed: int) -> None:
        import torch

        self._state = torch.Generator().manual_seed(seed).get_state()

    def add(self, layer: "torch.nn.Module", adapter: Adapter) -> None:
        """Add the adapter to the layer, in its turn."""
        import torch
        from peft import inject_adapter_in_model

        base = torch.get_rng_state()
        torch.set_rng_state(self._state)
        inject_adapter_in_model(adapter.peft_config(), layer)
        self._state = torch.get_rng_state()
        torch.set_rng_state(base)


def _change_layer(spec: FsdpSpec, layer: Any, here: "torch.device", adapters: _AdapterSeeds) -> None:
    """Quantise a layer whose weights are there, add the adapter, and have it compiled.

    The packed weights are stored in the cell's dtype, since FSDP gathers a group in one dtype and casts any other.
    """
    if spec.method.is_quantized:
        dtype = spec.workload.dtype
        quantize_linear_layers(layer, here, dtype, storage=torch_dtype(dtype))
    if adapter := spec.method.trained_adapter:
        layer.requires_grad_(False)
        layer.is_loaded_in_4bit = spec.method.is_quantized  # by this PEFT knows which layers of its own to take
        adapters.add(layer, adapter)
    if spec.method.compile_layers:
        compile_layers([layer])
