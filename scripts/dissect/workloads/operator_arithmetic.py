"""Shapes, FLOPs and bytes of the operators, from their sizes alone."""

import math
from dataclasses import dataclass

from dissect.config.architecture import ModelArchitecture, linear_sizes
from dissect.config.kinds import DType
from dissect.workloads.dtypes import BYTES


@dataclass(frozen=True)
class Gemm:
    """A product of (m x k) by (k x n) matrices, named after the layers with this shape."""

    product: str
    m: int
    n: int
    k: int


def layer_gemms(arch: ModelArchitecture, tokens: int) -> list[Gemm]:
    """Matrix products of a decoder layer and the head for ``tokens``; layers of one shape are one product."""
    names: dict[tuple[int, int], list[str]] = {}
    for layer, shape in linear_sizes(arch).items():
        names.setdefault(shape, []).append(layer.removesuffix("_proj"))
    names.setdefault((arch.hidden_size, arch.vocab_size), []).append("head")
    return [Gemm("/".join(layers), tokens, out, inner) for (inner, out), layers in names.items()]


def square_gemm(size: int) -> Gemm:
    """A product of square matrices."""
    return Gemm("square", size, size, size)


def gemm_flops(m: int, n: int, k: int) -> int:
    """FLOPs of a matrix product: a multiplication and an addition for each of m x n x k."""
    return 2 * m * n * k


def gemm_bytes(m: int, n: int, k: int, dtype: DType) -> int:
    """Least memory traffic of a product in bytes: both operands are read and the result is written once."""
    return BYTES[dtype] * (m * k + k * n + m * n)


def attention_flops(batch: int, heads: int, head_size: int, sequence: int, direction: str) -> int:
    """FLOPs of causal attention by the convention of FlashAttention's benchmarks, the same for every kernel.

    Forward: two products, 4·s²·d per head over the full square, of which the causal half counts. Backward: 2.5 times
    that, five products: the four gradients, and the scores once more. Other work of a kernel is not counted.
    """
    forward = 4 * batch * heads * head_size * sequence * sequence // 2
    return forward if direction == "forward" else forward * 5 // 2


def bus_factor(collective: str, n_gpus: int) -> float:
    """Ratio of bus bandwidth to algorithm bandwidth, as nccl-tests defines it (its doc/PERFORMANCE.md)."""
    share = (n_gpus - 1) / n_gpus
    return 2 * share if collective == "all_reduce" else share


def elements_per_rank(size_bytes: int, dtype: DType, n_gpus: int) -> int:
    """Elements of a message per rank, at least one; rounded down to equal shares, as in nccl-tests."""
    return max(1, size_bytes // (BYTES[dtype] * n_gpus))


def buffer_sets(set_bytes: int, cache_bytes: int, memory_bytes: int) -> int:
    """Number of copies of the operands that evict one another from a cache: together twice its size.

    At most 1024 copies, and at most a quarter of the memory; at least one.
    """
    wanted = math.ceil(2 * cache_bytes / set_bytes)
    return max(1, min(wanted, 1024, memory_bytes // 4 // set_bytes))
