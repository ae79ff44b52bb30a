"""PyTorch's caching allocators: the sizes of blocks."""

from dissect.base.units import MIB

BLOCK = 512
"""Bytes to which the size of every block on a GPU is rounded up (``kMinBlockSize``, c10/core/AllocatorConfig.h)."""
_LARGE = 10 * MIB
"""Bytes from which a block gets a segment of its own (``kMinLargeAlloc``)."""
_SEGMENT = 2 * MIB
"""Bytes to which the size of such a segment is rounded up (``kRoundLarge``)."""
UNSPLIT = MIB
"""Most bytes of a segment that stay part of a block which does not need them (``kSmallSize``)."""


def rounded(size: int) -> int:
    """Bytes of the block on a GPU that holds ``size`` bytes."""
    return -(-size // BLOCK) * BLOCK


def segment(size: int) -> int:
    """Bytes of the block that holds ``size`` bytes for good, in memory that is new from the driver."""
    rest = -size % _SEGMENT
    return size + rest if size >= _LARGE and rest <= UNSPLIT else rounded(size)


def pinned(size: int) -> int:
    """Bytes of the pinned block on the host that holds ``size`` bytes.

    It is the next power of two (``CachingHostAllocatorImpl::allocate``, aten/src/ATen/core/CachingHostAllocator.h).
    """
    return 1 << (size - 1).bit_length() if size else 0
