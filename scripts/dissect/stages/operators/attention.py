"""Attention kernels on the heads of a model: causal, as in training, so that forward saves what backward needs."""

from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING

from dissect.base.outcome import Phase
from dissect.cells.spec import OperatorSpec
from dissect.config.architecture import ModelArchitecture
from dissect.machine.device import Device
from dissect.metrics.operators import AttentionMetrics, AttentionPoint
from dissect.ranks.messages import RankContext, RankReport
from dissect.stages.operators.buffers import operand_sets
from dissect.stages.operators.loop import Work
from dissect.stages.operators.points import points_of
from dissect.stages.operators.rank import Case, run_operator_rank
from dissect.workloads.attention_kernels import observe_kernel, only_kernel
from dissect.workloads.dtypes import BYTES, torch_dtype

if TYPE_CHECKING:
    import torch

    Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
    """Of queries [batch, heads, tokens, head size] and of keys and values with fewer heads."""


def import_libraries(spec: OperatorSpec) -> None:
    """Import torch, and transformers for its own kernels; the rank that uses flash-attn imports that."""
    import torch.nn.attention  # noqa: F401

    if spec.operator in ("eager", "sdpa_efficient"):
        from transformers.models.llama import modeling_llama  # noqa: F401


def run_rank(spec: OperatorSpec, context: RankContext) -> RankReport:
    """Run one rank of the cell; PyTorch may use no other kernel than the spec's."""
    with only_kernel(spec.operator):
        return run_operator_rank(spec, context, _cases)


def summarise(_: OperatorSpec, reports: list[RankReport]) -> AttentionMetrics:
    """The metrics of the cell from the reports of its ranks."""
    return AttentionMetrics(points=points_of(AttentionPoint, reports))


def _cases(spec: OperatorSpec, device: Device) -> Sequence[Case]:
    works = {"forward": _forward_work, "backward": _backward_work}
    return [
        Case({"sequence": size, "direction": name}, partial(work, spec, device, size), Phase(name))
        for size in spec.workload.sizes
        for name, work in works.items()
    ]


def _forward_work(spec: OperatorSpec, device: Device, sequence: int) -> Work:
    kernel, sets = _observed(spec, device, sequence, copies_save=False)
    return Work([partial(kernel, *operands) for operands in sets], device.clock())


def _backward_work(spec: OperatorSpec, device: Device, sequence: int) -> Work:
    """The gradients of queries, keys and values, from a forward pass that is kept."""
    import torch

    kernel, sets = _observed(spec, device, sequence, copies_save=True)
    outputs = [kernel(*operands) for operands in sets]
    gradients = [torch.randn_like(output) for output in outputs]
    calls = [
        partial(torch.autograd.grad, output, operands, gradient, retain_graph=True)
        for output, operands, gradient in zip(outputs, sets, gradients, strict=True)
    ]
    return Work(calls, device.clock())


def _observed(
    spec: OperatorSpec, device: Device, sequence: int, copies_save: bool
) -> "tuple[Kernel, list[tuple[torch.Tensor, ...]]]":
    """The kernel and its operands, after a check that it runs on them; PyTorch chooses by size as well.

    Raises:
        ValueError: the spec has no model.
        WrongKernelError: another attention kernel runs.
    """
    arch = spec.model
    if arch is None:
        raise ValueError("attention needs the heads of a model")
    kernel = _kernel(spec, arch, device, sequence)
    saved = _saved_bytes(spec, arch, sequence) if copies_save else 0
    sets = operand_sets(spec, device, lambda: _operands(spec, arch, device, sequence), saved)
    observe_kernel(lambda: kernel(*sets[0]), spec.operator)
    return kernel, sets


def _operands(spec: OperatorSpec, arch: ModelArchitecture, device: Device, sequence: int) -> "tuple[torch.Tensor, ...]":
    """Random queries, keys and values, each [batch, heads, sequence, head size], in a projection's memory layout."""
    import torch

    generator = torch.Generator(device.torch_device).manual_seed(spec.workload.seed)
    return tuple(
        torch.randn(
            (spec.workload.batch, sequence, heads, arch.head_size),
            generator=generator,
            device=device.torch_device,
            dtype=torch_dtype(spec.workload.dtype),
        )
        .transpose(1, 2)
        .requires_grad_()
        for heads in (arch.num_attention_heads, arch.num_key_value_heads, arch.num_key_value_heads)
    )


def _saved_bytes(spec: OperatorSpec, arch: ModelArchitecture, sequence: int) -> int:
    """Bytes that a forward pass saves: its output, and scores in both precisions where the kernel writes them out."""
    rows = spec.workload.batch * arch.num_attention_heads * sequence
    width = BYTES[spec.workload.dtype]
    scores = rows * sequence * (2 * width + BYTES["fp32"]) if spec.operator in ("eager", "sdpa_math") else 0
    return 2 * rows * arch.head_size * width + scores


def _kernel(spec: OperatorSpec, arch: ModelArchitecture, device: Device, sequence: int) -> "Kernel":
    """The spec's kernel, called as transformers does."""
    import torch

    groups = arch.num_attention_heads // arch.num_key_value_heads
    scaled_dot_product = torch.nn.functional.scaled_dot_product_attention
    if spec.operator == "eager":
        from transformers.models.llama.modeling_llama import eager_attention_forward

        layer = SimpleNamespace(num_key_value_groups=groups, training=True)
        mask = torch.full((1, 1, sequence, sequence), float("-inf"), device=device.torch_device)
        mask = mask.triu(1).to(torch_dtype(spec.workload.dtype))
        scaling = arch.head_size**-0.5
        return lambda q, k, v: eager_attention_forward(layer, q, k, v, mask, scaling)[0]
    if spec.operator == "flash_attention_2":
        from flash_attn import flash_attn_func

        return lambda q, k, v: flash_attn_func(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), causal=True)
    if spec.operator == "sdpa_efficient" and groups > 1:
        from transformers.models.llama.modeling_llama import repeat_kv

        # It takes as many heads of keys and values as of queries.
        return lambda q, k, v: scaled_dot_product(q, repeat_kv(k, groups), repeat_kv(v, groups), is_causal=True)
    return lambda q, k, v: scaled_dot_product(q, k, v, is_causal=True, enable_gqa=groups > 1)
