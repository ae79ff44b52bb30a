"""What a training framework declares of itself; each does so in ``declaration.py`` of its package."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, cast

from dissect.base.registry import FRAMEWORKS
from dissect.cells.spec import Hardware, TrainingMethod, TrainingSpec, TrainingWorkload
from dissect.config.knobs import Knobs
from dissect.config.platform import Platform

Resolve = Callable[[Any, Platform, Hardware], dict[str, Any]]
"""The framework's knobs as the letters turn them, and what they are turned on -> fields of its method."""


@dataclass(frozen=True)
class TrainingStage:
    """One stage in which the framework trains."""

    runner: str
    """Module with ``import_libraries``, ``prepare`` and ``run_rank``; imported in the measuring process only."""
    protocol: int
    """Raised by hand when what the runner measures changes; part of every key."""
    spec: type[TrainingSpec]
    method: type[TrainingMethod]
    resolve: Resolve
    workload: type[TrainingWorkload] = TrainingWorkload


@dataclass(frozen=True)
class Framework:
    """One training framework."""

    label: str
    """In tables and figures."""
    knobs: type[Knobs]
    """What letters can turn."""
    stages: Mapping[str, TrainingStage]
    state_bytes: Callable[[Any], int]
    """Bytes of parameters, gradients and optimizer states that each GPU holds at least, of one of its specs."""
    constraint: Callable[[Any], str | None] = field(default=lambda _: None)
    """Why a cell with this spec cannot exist, or None."""
    environment: str = "train"
    """Which of the platform's environments its runners need."""


@cache
def framework(name: str) -> Framework:
    """The declaration of a registered framework.

    Raises:
        KeyError: the registry has no such framework.
    """
    return cast(Framework, import_module(f"{FRAMEWORKS[name]}.declaration").FRAMEWORK)


def state_bytes(spec: TrainingSpec) -> int:
    """Bytes of parameters, gradients and optimizer states that each GPU must hold at least, activations not counted.

    A lower bound: a cell whose state alone exceeds the memory can never fit.
    """
    return framework(spec.framework).state_bytes(spec)
