"""The runner of each stage and framework: its module, protocol and environment."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from dissect.base.registry import ENGINES, FRAMEWORKS, INSPECTIONS
from dissect.cells.engines import engine_facts
from dissect.cells.frameworks import framework
from dissect.cells.operator_families import families


@dataclass(frozen=True)
class Runner:
    """The runner of a stage with one framework."""

    module: str
    """Module of the runner; imported in the measuring process only."""
    protocol: int
    """Protocol number, part of every key; raised by hand when the measurement changes."""
    environment: str = "train"
    """Name of the environment in which it runs."""


@cache
def runners() -> dict[tuple[str, str], Runner]:
    """Runners of everything that is registered: (stage, framework) -> runner."""
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
