"""What the operators amount to: shapes, FLOPs and bytes, from sizes alone."""

import math
from dataclasses import dataclass

from dissect.config.architecture import ModelArchitecture, linear_sizes
from dissect.config.kinds import DType
from dissect.workloads.dtypes import BYTES


@dataclass(frozen=True)
class Gemm:
    """A product of (m x k) by (k x n) matrices, and what has this shape."""

    product: str
    m: int
    n: int
    k: int


def layer_gemms(arch: ModelArchitecture, tokens: int) -> list[Gemm]:
    """The products of a decoder layer and of the head for so many tokens; layers of one shape are one product."""
    names: dict[tuple[int, int], list[str]] = {}
    for layer, shape in linear_sizes(arch).items():
        names.setdefault(shape, []).append(layer.removesuffix("_proj"))
    names.setdefault((arch.hidden_size, arch.vocab_size), []).append("head")
    return [Gemm("/".join(layers), tokens, out, inner) for (inner, out), layers in names.items()]


def square_gemm(size: int) -> Gemm:
    """Three square matrices."""
    return Gemm("square", size, size, size)


def gemm_flops(m: int, n: int, k: int) -> int:
    """A multiplication and an addition for each of m x n x k."""
    return 2 * m * n * k


def gemm_bytes(m: int, n: int, k: int, dtype: DType) -> int:
    """Least traffic of a product with the memory: both operands read and the result written, once each."""
    return BYTES[dtype] * (m * k + k * n + m * n)


def attention_flops(batch: int, heads: int, head_size: int, sequence: int, direction: str) -> int:
    """FLOPs of causal attention by the convention of FlashAttention's benchmarks, the same for every kernel.

    Forward: two products, 4·s²·d per head over the full square, of which the causal half counts. Backward: 2.5 times
    that, five products: the four gradients, and the scores once more. Whatever else a kernel computes is its own loss.
    """
    forward = 4 * batch * heads * head_size * sequence * sequence // 2
    return forward if direction == "forward" else forward * 5 // 2


def bus_factor(collective: str, n_gpus: int) -> float:
    """Bus bandwidth over algorithm bandwidth, as nccl-tests defines it (its doc/PERFORMANCE.md)."""
    share = (n_gpus - 1) / n_gpus
    return 2 * share if collective == "all_reduce" else share


def elements_per_rank(size_bytes: int, dtype: DType, n_gpus: int) -> int:
    """Each rank's share of a message, at least one element: nccl-tests too rounds down to equal shares."""
    return max(1, size_bytes // (BYTES[dtype] * n_gpus))


def buffer_sets(set_bytes: int, cache_bytes: int, memory_bytes: int) -> int:
    """How many copies of the operands push one another out of a cache: together twice its size.

    At most 1024, and at most a quarter of the memory; at least one.
    """
    wanted = math.ceil(2 * cache_bytes / set_bytes)
    return max(1, min(wanted, 1024, memory_bytes // 4 // set_bytes))
