"""What errors and logs say when memory ran out."""

import errno
import re

from dissect.machine.vendor import vendors

_TORCH = "out of memory. Tried to allocate"
"""The caching allocator, whatever the device; its text starts with the vendor's name for it."""
_HOST_WORDS = (
    "DefaultCPUAllocator: (can't allocate memory|not enough memory)"
    "|std::bad_alloc"
    "|Cannot allocate memory"  # ENOMEM as C libraries word it
)
_DEVICE_WORDS = "|".join((_TORCH, *(vendor.out_of_memory for vendor in vendors().values() if vendor.out_of_memory)))
_KERNEL_WORDS = (vendor.no_memory_for_kernel for vendor in vendors().values() if vendor.no_memory_for_kernel)
_DEVICE, _HOST = re.compile("|".join((_DEVICE_WORDS, *_KERNEL_WORDS))), re.compile(_HOST_WORDS)
_NO_THREAD = re.compile(r"^(Resource temporarily unavailable|can't start new thread)")  # EAGAIN of C++, and Python's

IN_A_LOG = re.compile(f"OutOfMemoryError|^MemoryError|{_DEVICE_WORDS}|{_HOST_WORDS}", re.MULTILINE)
"""Any of these in the log of a program, names of exceptions included."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error``, or the error that it was raised from, means that memory ran out and nothing else."""
    if is_host_out_of_memory(error) or _is_torch_out_of_memory(error) or _DEVICE.search(str(error)):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)


def is_host_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory of the host, not of a GPU, ran out."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError) and _HOST.search(str(error)) is not None


def is_thread_failure(error: BaseException) -> bool:
    """Whether ``error`` says that a thread could not start: for want of memory, or else of threads."""
    return isinstance(error, RuntimeError) and _NO_THREAD.search(str(error)) is not None


def _is_torch_out_of_memory(error: BaseException) -> bool:
    """By name, so that it is known without importing torch."""
    return any(base.__name__ == "OutOfMemoryError" for base in type(error).__mro__)
