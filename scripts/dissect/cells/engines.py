"""Declarations of serving engines that planning needs; ``dissect.stages.serving.engine`` adds how to run them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import cast

from dissect.base.registry import ENGINES
from dissect.cells.spec import ServeSpec
from dissect.config.kinds import DType


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How an engine forms its batches with the settings of a spec, its defaults included; predictions follow it."""

    max_sequences: int
    """Most requests at the same time."""
    prefill_tokens: int
    """Most tokens of a step that has prompts."""
    memory_share: float
    """Share of each GPU's memory that it plans with."""
    beside_bytes: float
    """Bytes of that share per GPU that are neither weights nor KV cache."""
    beside_off: float
    """Share by which these may be off."""
    mixes: bool
    """Whether a step takes prompts and answers together; else prompts have steps of their own, which come first."""
    reserves: bool
    """Whether a request waits until its whole answer has room; else it may be preempted, and computed again."""


@dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """Declaration of one serving engine."""

    label: str
    """Name of the engine in tables and figures."""
    protocol: int
    """Protocol number, part of every key; raised by hand when the engine is started or used in another way."""
    adjustable: frozenset[str] = frozenset(
        {"max_sequences", "memory_share", "chunked_prefill", "cache_reserve_gib", "prefill_tokens", "graph_sequences"}
    )
    """Settings of the policy ``aligned`` that the engine's command line supports."""
    devices: tuple[str, ...] = ("cuda",)
    """Devices that the engine supports."""
    dtypes: tuple[DType, ...] = ("bf16", "fp32")
    """Data types of weights that the engine supports."""
    splits_models: bool = True
    """Whether the engine supports tensor parallelism over several GPUs."""
    python_package: bool = True
    """Whether a Python environment can start the engine."""
    calibrates: bool = False
    """Whether the engine's environment has the load generator of calibration."""
    batching: Callable[[ServeSpec], Batching] | None = None
    """How it forms batches; None where that is not known, so that its times are not predicted."""
    unpredicted: str = "how it forms batches is not known"
    """Why its times are not predicted, where ``batching`` is None."""


@cache
def engine_facts(name: str) -> EngineFacts:
    """Declaration of a registered engine.

    Raises:
        KeyError: the engine is not registered.
    """
    return cast(EngineFacts, import_module(ENGINES[name]).ENGINE)
