"""What the runners of each kind of stage offer, and how the parent gets them."""

from importlib import import_module
from typing import Protocol, cast

from dissect.cells.spec import InspectSpec, PretrainSpec
from dissect.measure.measurement import Measurement
from dissect.measure.node import Node
from dissect.measure.rank import RankContext, RankReport
from dissect.runners import RUNNERS


class Inspector(Protocol):
    """A runner's module for the stage ``inspect``."""

    def inspect(self, node: Node) -> Measurement:
        """In the parent: what the node has."""
        ...


class TrainingRunner(Protocol):
    """A runner's module for a training stage."""

    def import_libraries(self, spec: PretrainSpec) -> None:
        """In the parent, before the fork: import what the ranks need, once; never touch the device."""

    def prepare(self, spec: PretrainSpec) -> None:
        """In the parent, after the imports: compile what the spec needs, once per machine; never touch the device."""

    def run_rank(self, spec: PretrainSpec, context: RankContext) -> RankReport:
        """In each rank: train ``spec.workload.batch`` sequences per step, as long as ``spec.sampling`` says."""
        ...


def load_inspector(spec: InspectSpec) -> Inspector:
    """The runner of an inspection."""
    return cast(Inspector, import_module(RUNNERS[spec.stage, spec.framework].module))


def load_runner(spec: PretrainSpec) -> TrainingRunner:
    """The runner of a spec's stage and framework."""
    return cast(TrainingRunner, import_module(RUNNERS[spec.stage, spec.framework].module))
