"""What a number's type is to PyTorch, and how many bytes it takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dissect.config.kinds import DType

if TYPE_CHECKING:
    import torch

BYTES: dict[DType, int] = {"bf16": 2, "fp32": 4}
"""Of one number."""
TORCH_NAMES: dict[DType, str] = {"bf16": "bfloat16", "fp32": "float32"}
"""As PyTorch, transformers and serving engines spell it."""


def torch_dtype(dtype: DType) -> "torch.dtype":
    """PyTorch's object for it."""
    import torch

    found: torch.dtype = getattr(torch, TORCH_NAMES[dtype])
    return found


@contextmanager
def default_dtype(dtype: DType) -> Iterator[None]:
    """New floating-point tensors have this dtype inside."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch_dtype(dtype))
    try:
        yield
    finally:
        torch.set_default_dtype(before)
