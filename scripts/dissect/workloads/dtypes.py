"""Data types: their sizes in bytes and their names in PyTorch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dissect.config.kinds import DType

if TYPE_CHECKING:
    import torch

BYTES: dict[DType, int] = {"bf16": 2, "fp32": 4}
"""Data type -> bytes of one number."""
TORCH_NAMES: dict[DType, str] = {"bf16": "bfloat16", "fp32": "float32"}
"""Data type -> its name in PyTorch, transformers and serving engines."""


def torch_dtype(dtype: DType) -> "torch.dtype":
    """PyTorch's dtype object."""
    import torch

    found: torch.dtype = getattr(torch, TORCH_NAMES[dtype])
    return found


@contextmanager
def default_dtype(dtype: DType) -> Iterator[None]:
    """Context in which new floating-point tensors have this dtype."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch_dtype(dtype))
    try:
        yield
    finally:
        torch.set_default_dtype(before)
