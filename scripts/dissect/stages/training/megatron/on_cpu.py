"""Megatron-LM on a CPU: redirects the calls of torch.cuda that megatron-core makes unconditionally.

Used where a cell's device is ``cpu`` and nowhere else, in the rank itself; results of such cells carry the flag
``cuda_redirected``. What is redirected, and who calls it in megatron-core 0.16.1:

- ``torch.cuda.current_device``: buffers of attention, gradients and communication, angles of RoPE;
- ``torch.cuda.synchronize``: between the stages of a pipeline;
- ``torch.cuda``'s random state: initialisation, dropout, recomputation;
- ``device="cuda"`` in ``torch.tensor``, ``torch.zeros`` and ``torch.ones``: causal mask, token counts, gradient norm;
- ``Tensor.type()``, whose names of GPU tensors the optimizers compare with.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any


def redirect_cuda() -> None:
    """Redirect those calls to the CPU for the rest of this process."""
    import torch
    from megatron.core.tensor_parallel import random

    torch.cuda.current_device = lambda: torch.device("cpu")
    torch.cuda.synchronize = lambda *_: None
    torch.cuda.manual_seed = torch.default_generator.manual_seed
    torch.cuda.get_rng_state = torch.cuda.random.get_rng_state = lambda **_: torch.get_rng_state()
    random._set_cuda_rng_state = lambda state, **_: torch.set_rng_state(state)
    # It warns whenever the CPU's random state changes where a GPU's should, which is the point here.
    logging.getLogger(random.__name__).setLevel(logging.ERROR)
    for name in ("tensor", "zeros", "ones"):
        setattr(torch, name, _on_cpu(getattr(torch, name)))
    torch.Tensor.type = _named_as_on_gpu(torch.Tensor.type)


def _on_cpu(create: Callable[..., Any]) -> Callable[..., Any]:
    """The same function of torch with the device "cuda" replaced by "cpu"."""

    @functools.wraps(create)
    def created(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("device") == "cuda":
            kwargs["device"] = "cpu"
        return create(*args, **kwargs)

    return created


def _named_as_on_gpu(type_of: Callable[..., Any]) -> Callable[..., Any]:
    """``Tensor.type`` with ``torch.cuda.FloatTensor`` for ``torch.FloatTensor``; conversions stay as they are."""

    @functools.wraps(type_of)
    def named(self: Any, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs:
            return type_of(self, *args, **kwargs)
        return type_of(self).replace("torch.", "torch.cuda.", 1)

    return named
