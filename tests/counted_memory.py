"""Counts the bytes that torch's tensors hold on any device, each rounded as the allocator of a GPU would."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dissect.predict.allocator import rounded


class CountedMemory(TorchDispatchMode):
    """Watches operators while it is active; a storage counts from the first that it sees of it until it is freed."""

    def __init__(self) -> None:
        super().__init__()
        self._live: dict[int, tuple[weakref.ref[Any], int]] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._refresh()
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if type(value) in (torch.Tensor, torch.nn.Parameter):  # others, such as a DTensor, hold one of these
                self.see(value)
        return result

    def see(self, tensor: torch.Tensor) -> None:
        """Count the tensor's storage, which exists already."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._live or tensor.device.type == "meta":
            return
        self._live[key] = (weakref.ref(storage), rounded(storage.nbytes()))
        self._add(self._live[key][1])
        weakref.finalize(storage, self._gone, key)

    def reset(self) -> None:
        """Start a new peak."""
        self._refresh()
        self.peak = self.now

    def _refresh(self) -> None:
        """FSDP frees and refills a storage without an operator."""
        for key, (reference, size) in list(self._live.items()):
            storage = reference()
            if storage is not None and (now := rounded(storage.nbytes())) != size:
                self._live[key] = (reference, now)
                self._add(now - size)

    def _add(self, size: int) -> None:
        self.now += size
        self.peak = max(self.peak, self.now)

    def _gone(self, key: int) -> None:
        self.now -= self._live.pop(key, (None, 0))[1]
