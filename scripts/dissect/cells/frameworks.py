"""Declarations of training frameworks; each is in ``declaration.py`` of its package."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, cast

from dissect.base.registry import FRAMEWORKS
from dissect.cells.spec import Hardware, TrainingMethod, TrainingSpec, TrainingWorkload
from dissect.config.kinds import States
from dissect.config.knobs import Knobs
from dissect.config.platform import Platform

Resolve = Callable[[Any, Platform, Hardware], dict[str, Any]]
"""Function from a framework's knobs, a platform and hardware to the fields of its method."""


@dataclass(frozen=True)
class TrainingStage:
    """Declaration of one stage that a framework supports."""

    runner: str
    """Module with ``import_libraries``, ``prepare`` and ``run_rank``; imported in the measuring process only."""
    protocol: int
    """Protocol number, part of every key; raised by hand when the measurement changes."""
    spec: type[TrainingSpec]
    method: type[TrainingMethod]
    resolve: Resolve
    workload: type[TrainingWorkload] = TrainingWorkload


@dataclass(frozen=True)
class Framework:
    """Declaration of one training framework."""

    label: str
    """Name of the framework in tables and figures."""
    knobs: type[Knobs]
    """Knobs that letters can set."""
    stages: Mapping[str, TrainingStage]
    state_bytes: Callable[[Any], int]
    """Function from a spec to the least bytes of parameters, gradients and optimizer states per GPU."""
    step_memory: str | None = None
    """Module with ``step_memory``: a function from a spec and sequences per GPU to ``predict.memory.StepMemory``."""
    step_work: str | None = None
    """Module with ``step_work``: a function from a spec and sequences per GPU to ``predict.rank_work.StepWork``."""
    constraint: Callable[[Any], str | None] = field(default=lambda _: None)
    """Function from a spec to the reason why it is unsupported, or None."""
    states: tuple[States, ...] = ("fp32_master",)
    """Optimizer states that it supports with bf16 weights; the first is the default."""
    distributions: tuple[str, ...] = ()
    """Python distributions that no cell of another framework uses; none of its cells runs without the first."""
    environment: str = "train"
    """Name of the environment that its runners use on platforms that declare it; elsewhere they use ``train``."""


@cache
def framework(name: str) -> Framework:
    """The declaration of a registered framework.

    Raises:
        KeyError: the framework is not registered.
    """
    return cast(Framework, import_module(f"{FRAMEWORKS[name]}.declaration").FRAMEWORK)


def state_bytes(spec: TrainingSpec) -> int:
    """Least bytes of parameters, gradients and optimizer states per GPU, without activations.

    It is a lower bound: a cell whose states alone exceed the memory always runs out of memory.
    """
    return framework(spec.framework).state_bytes(spec)


def states_exceed_memory(spec: TrainingSpec) -> bool:
    """Whether parameters, gradients and optimizer states alone exceed the memory of a GPU."""
    return state_bytes(spec) > spec.hardware.device_memory_bytes
