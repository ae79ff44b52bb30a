"""Declarations of the families of operators; all are in one module, which the registry names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import cast

from dissect.base.registry import OPERATORS
from dissect.config.kinds import DType
from dissect.config.registered import Device


@dataclass(frozen=True)
class OperatorFamily:
    """Declaration of one family of operators."""

    label: str
    """Name of the family in tables and figures."""
    runner: str
    """Module with ``import_libraries``, ``run_rank`` and ``summarise``; imported in the measuring process only."""
    protocol: int
    """Protocol number, part of every key; raised by hand when the measurement changes."""
    constraint: Callable[[str, int, Device, DType], str | None]
    """Function from operator, number of GPUs, device and dtype to the reason why it is unsupported, or None."""


def families() -> Mapping[str, OperatorFamily]:
    """Declarations of all families, by name."""
    return cast(Mapping[str, OperatorFamily], import_module(OPERATORS).FAMILIES)
