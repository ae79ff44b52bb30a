"""Temporary memory of PyTorch's AdamW, by its implementation (torch/optim/adamw.py)."""

from dissect.config.kinds import TorchOptimizer
from dissect.predict.prediction import Part


def step_part(optimizer: TorchOptimizer, sizes: list[int], width: int) -> Part:
    """What a step needs beside parameters, gradients and moments of ``sizes`` elements of ``width`` bytes.

    The fused kernel needs nothing. The others need the square roots of the second moments: of all tensors at once
    (foreach), or of one tensor and its quotient (loop).
    """
    size = {"torch_adamw": 0, "torch_adamw_foreach": sum(sizes), "torch_adamw_loop": 2 * max(sizes)}[optimizer]
    return Part("square roots of the second moments", size * width, "library")
