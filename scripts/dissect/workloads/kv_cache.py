"""Sizes of a server's KV cache."""

from dissect.base.units import GIB
from dissect.cells.spec import ServeSpec
from dissect.workloads.arithmetic import count_parameters
from dissect.workloads.dtypes import BYTES

_PAGE = 256
"""Tokens: a multiple of the pages of all engines."""


def cache_bytes_of(spec: ServeSpec, tokens: int) -> int:
    """Bytes of keys and values of ``tokens`` in all layers over all GPUs; replicated heads count once per replica."""
    model = spec.model
    heads = max(model.num_key_value_heads, spec.hardware.n_gpus)
    size = BYTES[spec.workload.dtype]
    return 2 * model.num_hidden_layers * heads * model.head_size * size * tokens


def room_bytes(spec: ServeSpec, share: float, beside: float) -> float:
    """Bytes per GPU that a share of the card leaves for the cache beside weights and ``beside`` bytes; may be < 0."""
    card = spec.hardware.card_memory_bytes or spec.hardware.device_memory_bytes
    weights = count_parameters(spec.model) * BYTES[spec.workload.dtype]
    return card * share - weights / spec.hardware.n_gpus - beside


def asked_cache_tokens(spec: ServeSpec) -> int | None:
    """Capacity of the KV cache that the spec asks for, in tokens over all requests; None leaves it to the engine.

    The memory share of every GPU, less weights and reserve; not positive where these leave nothing.
    """
    settings = spec.settings
    if settings.cache_reserve_gib is None or settings.memory_share is None:
        return None
    room = room_bytes(spec, settings.memory_share, settings.cache_reserve_gib * GIB)
    return int(room * spec.hardware.n_gpus // cache_bytes_of(spec, _PAGE)) * _PAGE
