"""4-bit weights that ZeRO-3 shards, and that no rank keeps whole between the forward and the backward pass.

bitsandbytes' product keeps the tensor that it was given until its backward pass. ZeRO-3 gathers a weight into a new
tensor each time and frees it by letting go, so in the middle of a step every rank would hold the whole base. Here the
product keeps the parameter in its place, which ZeRO-3 has gathered again when the backward pass reaches it. It computes
the same with the same functions of bitsandbytes.

Imported in ranks only, since bitsandbytes touches CUDA when it is imported.
"""

from functools import partial
from typing import Any

import bitsandbytes
import deepspeed
import torch
from bitsandbytes.nn import Linear4bit


def shard_nf4(config: dict[str, Any], module: torch.nn.Module) -> None:
    """Shard the parameters of a module over the ranks as ZeRO-3 does, and replace its 4-bit products."""
    deepspeed.zero.Init(module=module, config_dict_or_path=config)
    for layer in module.modules():
        if isinstance(layer, Linear4bit):
            layer.forward = partial(_forward, layer)


def _forward(layer: Any, inputs: torch.Tensor) -> torch.Tensor:
    """The output of a 4-bit layer without bias, in the dtype of its inputs, computed in the layer's."""
    output: torch.Tensor = _Product.apply(inputs.to(layer.compute_dtype), layer.weight).to(inputs.dtype)
    return output


class _Product(torch.autograd.Function):  # type: ignore[misc]
    """Product of inputs and a frozen 4-bit parameter."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, weight: Any) -> torch.Tensor:
        ctx.weight = weight
        output: torch.Tensor = bitsandbytes.matmul_4bit(inputs, weight.data, quant_state=weight.quant_state)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        weight = bitsandbytes.functional.dequantize_4bit(ctx.weight.data, ctx.weight.quant_state)
        return gradient @ weight.to(gradient.dtype), None
