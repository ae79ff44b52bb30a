"""Which module measures a stage with a framework, under which protocol and in which environment."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from dissect.base.registry import ENGINES, FRAMEWORKS, INSPECTIONS
from dissect.cells.engines import engine_facts
from dissect.cells.frameworks import framework
from dissect.cells.operator_families import families


@dataclass(frozen=True)
class Runner:
    """Where a stage's measurement with one framework lives."""

    module: str
    """Imported in the measuring process only."""
    protocol: int
    """Raised by hand when what the runner measures changes; part of every key."""
    environment: str = "train"
    """Which of the platform's environments it runs in."""


@cache
def runners() -> dict[tuple[str, str], Runner]:
    """(stage, framework) -> runner, of everything that is registered."""
    return dict(_all())


def _all() -> Iterator[tuple[tuple[str, str], Runner]]:
    for name, module in INSPECTIONS.items():
        yield ("inspect", name), Runner(module, protocol=1)
    for name in FRAMEWORKS:
        declared = framework(name)
        for stage, kind in declared.stages.items():
            yield (stage, name), Runner(kind.runner, kind.protocol, declared.environment)
    for name, family in families().items():
        yield ("operators", name), Runner(family.runner, family.protocol)
    for name, module in ENGINES.items():
        yield ("serve", name), Runner(module, engine_facts(name).protocol, "client")
