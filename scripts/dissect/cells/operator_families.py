"""What a family of operators declares of itself; all of them do so in one module, which the registry names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import cast

from dissect.base.registry import OPERATORS
from dissect.config.kinds import DType
from dissect.config.registered import Device


@dataclass(frozen=True)
class OperatorFamily:
    """One family of operators."""

    label: str
    """In tables and figures."""
    runner: str
    """Module with ``import_libraries``, ``run_rank`` and ``summarise``; imported in the measuring process only."""
    protocol: int
    """Raised by hand when what the runner measures changes; part of every key."""
    constraint: Callable[[str, int, Device, DType], str | None]
    """Why an operator cannot be measured on so many GPUs, on this device and in this dtype, or None."""


def families() -> Mapping[str, OperatorFamily]:
    """All families by name."""
    return cast(Mapping[str, OperatorFamily], import_module(OPERATORS).FAMILIES)
