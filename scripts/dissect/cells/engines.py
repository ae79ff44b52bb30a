"""What a serving engine declares of itself for planning; ``dissect.stages.serving.engine`` adds how it is driven."""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import cast

from dissect.base.registry import ENGINES


@dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """Of one engine."""

    label: str
    """In tables and figures."""
    protocol: int
    """Raised by hand when the engine is started or driven in another way; part of every key."""
    adjustable: frozenset[str] = frozenset({"max_sequences", "memory_share", "chunked_prefill"})
    """What its command line can set, of all that a policy aligns."""
    devices: tuple[str, ...] = ("cuda",)
    """Where it runs."""
    splits_models: bool = True
    """Whether one server can use several GPUs."""
    python_package: bool = True
    """Whether a Python environment can start it."""
    calibrates: bool = False
    """Whether its environment holds the second load generator."""


@cache
def engine_facts(name: str) -> EngineFacts:
    """What a registered engine declares.

    Raises:
        KeyError: the registry has no such engine.
    """
    return cast(EngineFacts, import_module(ENGINES[name]).ENGINE)
