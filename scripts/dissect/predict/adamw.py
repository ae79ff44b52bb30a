"""Temporary memory and work of PyTorch's AdamW, by its implementation (torch/optim/adamw.py)."""

from dissect.config.kinds import TorchOptimizer
from dissect.predict.memory import Part
from dissect.predict.rank_work import RankWork

FUSED_PASSES, FOREACH_PASSES, FOREACH_KERNELS = 7, 20, 8
"""How often an element is read or written, in one kernel or in eight.

The fused kernel reads weight, gradient and moments and writes all but the gradient. Else decay takes 2, the moments 6,
the square root of the second 2, its correction and epsilon 4, the new weight, with the sum of both moments' ends, 6.
"""
MULTI_TENSOR = 0.65
"""Share of a copy's speed that PyTorch's kernels over many tensors reach on elements of 2 bytes.

A thread loads four elements at once, with 2 bytes half of what it could. Measured: norm, scaling and fused AdamW of
``profile/h200-x2/llama2-7b/ddp`` take 49 ms for 135 GB, where a copy moves 4.2 TB/s. With 4 bytes they are copies: the
steps of Megatron-LM leave no time for less.
"""


def step_part(optimizer: TorchOptimizer, sizes: list[int], width: int) -> Part:
    """What a step needs beside parameters, gradients and moments of ``sizes`` elements of ``width`` bytes.

    The fused kernel needs nothing. The others need the square roots of the second moments: of all tensors at once
    (foreach), or of one tensor and its quotient (loop).
    """
    size = {"torch_adamw": 0, "torch_adamw_foreach": sum(sizes), "torch_adamw_loop": 2 * max(sizes)}[optimizer]
    return Part("square roots of the second moments", size * width, "library")


def adamw_work(optimizer: TorchOptimizer, sizes: list[int], width: int) -> RankWork:
    """Kernels of a step over ``sizes`` elements of ``width`` bytes: of all at once, or (loop) tensor by tensor."""
    found, size = RankWork(), sum(sizes) * width
    if optimizer == "torch_adamw":
        found.move(_as_copied(FUSED_PASSES * size, width))
    elif optimizer == "torch_adamw_foreach":
        found.move(_as_copied(FOREACH_PASSES * size, width) // FOREACH_KERNELS, FOREACH_KERNELS)
    else:
        kernels = FOREACH_KERNELS * len(sizes)
        found.move(FOREACH_PASSES * size // kernels, kernels)
    return found


def clip_work(sizes: list[int], width: int) -> RankWork:
    """The norm of gradients, tensor by tensor, and their scaling: each is read twice and written once."""
    found, kernels = RankWork(), 2 * len(sizes)
    found.move(_as_copied(3 * width * sum(sizes), width) // kernels, kernels)
    return found


def _as_copied(size: int, width: int) -> int:
    """Bytes that are copied while a kernel over many tensors reads and writes ``size`` bytes."""
    return int(size / MULTI_TENSOR) if width == 2 else size
