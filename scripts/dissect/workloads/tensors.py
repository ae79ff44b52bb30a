"""Sizes of a Llama's tensors in the order in which PyTorch lists its parameters."""

from math import prod

from dissect.cells.spec import ModelArchitecture, TrainingSpec
from dissect.config.architecture import linear_sizes
from dissect.workloads.arithmetic import NF4_BITS
from dissect.workloads.dtypes import BYTES


def layer_tensors(arch: ModelArchitecture) -> list[int]:
    """Elements of each tensor of a decoder layer: the seven matrices, then the two norms."""
    return [*map(prod, linear_sizes(arch).values()), arch.hidden_size, arch.hidden_size]


def trained_tensors(spec: TrainingSpec) -> list[int]:
    """Elements of each tensor that trains."""
    arch = spec.model
    if adapter := spec.method.trained_adapter:
        of_layer = [size for sizes in adapter.products(arch).values() for size in sizes]
        return arch.num_hidden_layers * of_layer or [adapter.parameters(arch)]
    ends = arch.vocab_size * arch.hidden_size
    layer = layer_tensors(arch)[-2:] if spec.method.is_quantized else layer_tensors(arch)
    return [ends, *(arch.num_hidden_layers * layer), arch.hidden_size, ends]


def frozen_tensors(spec: TrainingSpec) -> list[int]:
    """Bytes of each parameter that does not train, in 4 bits where the method says so, without their scales."""
    arch, width = spec.model, BYTES[spec.workload.dtype]
    layers, adapter = arch.num_hidden_layers, spec.method.trained_adapter
    *matrices, norm, other = layer_tensors(arch)
    frozen: list[int] = []
    if spec.method.is_quantized:
        frozen = [size // 2 for size in matrices] * layers
    elif adapter:
        frozen = [size * width for size in matrices] * layers
    if adapter:
        ends = arch.vocab_size * arch.hidden_size * width
        frozen += [ends, ends, *([norm * width, other * width] * layers), norm * width]
    return frozen


def scale_tensors(spec: TrainingSpec) -> list[int]:
    """Bytes of the scales of each 4-bit weight, which every rank keeps whole on its device."""
    if not spec.method.is_quantized:
        return []
    matrices = layer_tensors(spec.model)[:-2]
    return [int(size * (NF4_BITS - 4) / 8) for size in matrices] * spec.model.num_hidden_layers
