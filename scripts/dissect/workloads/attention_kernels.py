"""Attention kernels: selecting one, and detecting which one ran."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from dissect.base.outcome import InvalidMeasurement
from dissect.config.kinds import AttentionKernel

IMPLEMENTATIONS: dict[AttentionKernel, str] = {
    "eager": "eager",
    "sdpa_flash": "sdpa",
    "flash_attention_2": "flash_attention_2",
    "flash_attention_3": "flash_attention_3",
}
"""Kernel -> ``attn_implementation`` of transformers."""

# The first prefix that matches an operator names the kernel. The fused kernels come first: PyTorch's math fallback
# and transformers' eager code share the softmax.
_OPERATORS = (
    ("flash_attn_3::", "flash_attention_3"),
    ("flash_attn::", "flash_attention_2"),
    ("aten::_scaled_dot_product_flash_attention", "sdpa_flash"),
    ("aten::_scaled_dot_product_efficient_attention", "sdpa_efficient"),
    ("aten::_scaled_dot_product_cudnn_attention", "sdpa_cudnn"),
    ("aten::_scaled_dot_product_fused_attention_overrideable", "sdpa_overrideable"),
    ("aten::_scaled_dot_product_attention_math", "sdpa_math"),
    ("aten::_softmax", "eager"),
)

_CANNOT_RUN = ("No available kernel", "No viable backend", "FlashAttention only supports")
"""Messages of PyTorch, on GPUs and CPUs, and of flash-attn about a kernel that does not support device or operands."""

T = TypeVar("T")


class WrongKernelError(InvalidMeasurement):
    """Another attention kernel ran than the spec requires, or the required one is unsupported on this device."""


def only_kernel(kernel: str) -> AbstractContextManager[None]:
    """Context in which PyTorch raises unless it can use ``kernel``, if that is one of its own kernels."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    backends = {
        "sdpa_flash": SDPBackend.FLASH_ATTENTION,
        "sdpa_efficient": SDPBackend.EFFICIENT_ATTENTION,
        "sdpa_math": SDPBackend.MATH,
    }
    if kernel not in backends:
        return nullcontext()
    restricted: AbstractContextManager[None] = sdpa_kernel(backends[kernel])
    return restricted


def kernel_of(operators: Iterable[str]) -> str:
    """Name of the attention kernel among the operators of a forward pass; ``unknown`` if there is none."""
    names = set(operators)
    for prefix, kernel in _OPERATORS:
        if any(name.startswith(prefix) for name in names):
            return kernel
    return "unknown"


def observe_kernel(forward: Callable[[], T], expected: str, *, compiled: bool = False) -> T:
    """Output of a forward pass that runs under the profiler, which records the names of its operators.

    Compiled code calls fused kernels by the same names, also where the compiler put one in place of eager attention;
    the softmax of eager attention is a part of its own kernels.

    Raises:
        WrongKernelError: another attention kernel ran than ``expected``, or that one is unsupported here.
    """
    from torch.profiler import ProfilerActivity, profile

    # To accumulate events changes nothing in one cycle, but torch warns of their loss without it.
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as observed:
        try:
            output = forward()
        except RuntimeError as error:
            if any(words in str(error) for words in _CANNOT_RUN):
                raise WrongKernelError(f"{expected} is unsupported here: {error}") from None
            raise
    kernel = kernel_of(event.key for event in observed.key_averages())
    if compiled and kernel == "unknown":
        kernel = "eager"
    if kernel != expected:
        raise WrongKernelError(f"attention ran {kernel}, expected {expected}")
    return output
