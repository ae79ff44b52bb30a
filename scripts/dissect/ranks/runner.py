"""What the runners of each kind of stage offer, and how the parent gets them."""

from importlib import import_module
from typing import Protocol, cast

from dissect.cells.runners import runners
from dissect.cells.spec import InspectSpec, OperatorSpec, TrainingSpec
from dissect.machine.node import Node
from dissect.metrics.operators import OperatorMetrics
from dissect.ranks.measurement import Measurement
from dissect.ranks.messages import RankContext, RankReport


class Inspector(Protocol):
    """A runner's module for the stage ``inspect``."""

    def inspect(self, node: Node) -> Measurement:
        """Describe the node, in the parent."""
        ...


class TrainingRunner(Protocol):
    """A runner's module for a training stage."""

    def import_libraries(self, spec: TrainingSpec) -> None:
        """In the parent, before the fork: import what the ranks need, once; never touch the device."""

    def prepare(self, spec: TrainingSpec) -> None:
        """In the parent, after the imports: compile what the spec needs, once per machine; never touch the device."""

    def run_rank(self, spec: TrainingSpec, context: RankContext) -> RankReport:
        """In each rank: train ``spec.workload.batch`` sequences per step, as long as ``spec.sampling`` says."""
        ...


class OperatorRunner(Protocol):
    """A runner's module for the stage ``operators``."""

    def import_libraries(self, spec: OperatorSpec) -> None:
        """In the parent, before the fork; never touch the device."""

    def run_rank(self, spec: OperatorSpec, context: RankContext) -> RankReport:
        """In each rank: measure every size; what is found goes to ``findings``."""
        ...

    def summarise(self, spec: OperatorSpec, reports: list[RankReport]) -> OperatorMetrics:
        """In the parent: the metrics, from one report per rank in the order of ranks."""
        ...


def load_inspector(spec: InspectSpec) -> Inspector:
    """The runner that inspects a node."""
    return cast(Inspector, import_module(runners()[spec.stage, spec.framework].module))


def load_runner(spec: TrainingSpec) -> TrainingRunner:
    """The runner of a spec's stage and framework."""
    return cast(TrainingRunner, import_module(runners()[spec.stage, spec.framework].module))


def load_operator_runner(spec: OperatorSpec) -> OperatorRunner:
    """The runner of an operator's family."""
    return cast(OperatorRunner, import_module(runners()[spec.stage, spec.framework].module))
