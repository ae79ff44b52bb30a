"""config/experiments/*.yaml: a table or figure with its axes, sampling and layout."""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    PositiveInt,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from dissect.base.model import Model
from dissect.base.registry import ENGINES
from dissect.config.arrival import Arrival
from dissect.config.kinds import LETTER_STAGES, Policy, Stage, Suite
from dissect.config.layout import (
    VIEW_OF_FAMILY,
    FigureLayout,
    Layout,
    PlatformTableLayout,
    ViewName,
    check_stage_view,
)
from dissect.config.names import Name, Names, check_unique
from dissect.config.overrides import SamplingOverride, WorkloadOverride
from dissect.config.registered import Framework
from dissect.config.runs import Runs

Batch = PositiveInt | Literal["max"]


def _check_batches(batches: list[int | str]) -> list[int | str]:
    check_unique([str(batch) for batch in batches])
    return batches


class MethodCross(Model):
    """Cross product of lists of methods: the letters of one method from each list are joined."""

    cross: list[list[str]]
    """Lists of methods to combine; ``Naive`` adds no letter."""


def _of_one(methods: Any) -> str:
    """Which notation is meant, as errors are about no other; its name in parentheses stays out of their paths."""
    return "(cross)" if isinstance(methods, (dict, MethodCross)) else "(list)"


def _of_several(methods: Any) -> str:
    """The same of methods that may differ by framework."""
    return "(by framework)" if isinstance(methods, dict) and "cross" not in methods else _of_one(methods)


_MethodList = Annotated[list[str], Tag("(list)")]
_Crossed = Annotated[MethodCross, Tag("(cross)")]
MethodAxis = Annotated[_MethodList | _Crossed, Discriminator(_of_one)]
"""Methods of one framework, or of all alike."""
_ByFramework = Annotated[dict[Framework, MethodAxis], Tag("(by framework)")]
MethodsOfAxis = Annotated[_MethodList | _Crossed | _ByFramework, Discriminator(_of_several)]
"""Methods of an axis, or of each of its frameworks."""


class Axes(Model):
    """Axes that the experiment varies; its cells are their product."""

    platform: Names | Literal["configured"] = "configured"
    """Platforms of config.yaml that the experiment covers; ``all`` leaves it out where none is configured."""
    framework: Annotated[list[Framework], AfterValidator(check_unique)]
    """Training frameworks, serving engines or families of operators."""
    model: Names | Literal["configured", "none"] = "configured"
    """Models of config.yaml that the experiment covers: ``configured`` for all, ``none`` where no model is involved."""
    method: MethodsOfAxis = ["Naive"]
    """Methods as letters joined by +, or a cross product of them; operators by name, or policies of servers.

    Methods that differ by training framework stand below its name.
    """
    batch: Annotated[list[Batch], AfterValidator(_check_batches)] = [1]
    """Sequences per GPU; ``max`` searches the largest batch that fits."""
    gpus: Literal["all", "sweep", "one"] = "all"
    """GPUs of a cell: ``all`` GPUs of the platform, ``sweep`` over its gpu_counts, or ``one``.

    For servers ``all`` means the GPUs that the platform assigns to the model.
    """
    arrival: Annotated[list[Arrival], Field(min_length=1)] = [Arrival(kind="burst")]
    """Arrival processes of requests (stage ``serve``)."""

    def methods_with(self, framework: str) -> MethodAxis:
        """The methods of one framework of the axis; a suite may leave it out."""
        return self.method.get(framework, []) if isinstance(self.method, dict) else self.method


class SuiteAxes(Model):
    """Axes that a suite replaces by shorter ones."""

    method: MethodsOfAxis | None = None
    """Methods in place of the experiment's."""
    batch: Annotated[list[Batch], AfterValidator(_check_batches)] | None = None
    """Batches in place of the experiment's."""
    arrival: Annotated[list[Arrival], Field(min_length=1)] | None = None
    """Arrival processes in place of the experiment's."""


class Experiment(Model):
    """A table or figure, and the cells that it needs."""

    extends: Name | None = None
    """Experiment whose keys this one inherits."""
    kind: Literal["table", "figure"]
    """Kind of output: a table, or a figure with the table behind it."""
    title: str
    """Title of the table or figure, in one line."""
    order: int | None = None
    """Position on the report page among the tables or figures of its stage: the paper's number where it has one.

    Tables and figures without it follow by name.
    """
    caption: str
    """Caption of the table or figure, in plain words."""
    beyond_paper: bool = False
    """Whether the paper has no counterpart, so that none of its claims concerns these cells."""
    stage: Stage
    """Stage whose runner measures the cells."""
    axes: Axes
    """Axes whose product gives the cells."""
    suites: dict[Suite, SuiteAxes] = {}
    """Shorter axes by suite; without an entry a suite uses ``axes``."""
    workload: WorkloadOverride = WorkloadOverride()
    """Workload parameters that differ from the defaults."""
    sampling: SamplingOverride = SamplingOverride()
    """Sampling parameters that differ from the defaults."""
    runs: Runs | None = None
    """Runs of each cell, in place of config.yaml's ``runs``; of several wanted experiments the largest counts."""
    layout: Layout
    """Layout of the table or figure; changing it never causes a measurement."""

    @field_validator("workload")
    @classmethod
    def _batch_is_an_axis(cls, workload: WorkloadOverride, info: ValidationInfo) -> WorkloadOverride:
        if workload.batch and info.data.get("stage") in (*LETTER_STAGES, "operators"):
            raise ValueError(f"the batch is an axis; expected 'axes.batch: [{workload.batch}]'")
        return workload

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if isinstance(self.layout, FigureLayout) != (self.kind == "figure"):
            raise ValueError(f"a {self.kind} cannot have the layout '{self.layout.kind}'")
        if isinstance(self.layout, PlatformTableLayout) != (self.stage == "inspect"):
            raise ValueError(f"the stage '{self.stage}' cannot have the layout '{self.layout.kind}'")
        for view in _views_of(self.layout):
            check_stage_view(self.stage, view)
        if self.stage == "operators":
            _check_operators(self)
        if self.stage in (*LETTER_STAGES, "serve") and self.axes.model == "none":
            raise ValueError(f"the stage '{self.stage}' needs a model, but 'axes.model' is 'none'")
        return self

    @property
    def method_axes(self) -> list[MethodsOfAxis]:
        """The methods of the axes and of each suite that replaces them."""
        return [self.axes.method, *(axes.method for axes in self.suites.values() if axes.method)]

    @model_validator(mode="after")
    def _methods_have_their_framework(self) -> Self:
        for method in self.method_axes:
            if not isinstance(method, dict):
                continue
            if self.stage not in LETTER_STAGES:
                raise ValueError(f"the stage '{self.stage}' has the same methods for every framework")
            if foreign := sorted(set(method) - set(self.axes.framework)):
                raise ValueError(f"'axes.framework' has no '{foreign[0]}', which the methods by framework have")
        lacking = [name for name in self.axes.framework if isinstance(self.axes.method, dict)
                   and name not in self.axes.method]  # fmt: skip
        if lacking:
            raise ValueError(f"'axes.method' has no methods for '{lacking[0]}'")
        return self

    @model_validator(mode="after")
    def _servers_have_policies(self) -> Self:
        if self.stage != "serve":
            return self
        known = get_args(Policy)
        for method in self.method_axes:
            if isinstance(method, MethodCross) or (foreign := [name for name in method if name not in known]):
                found = "a cross product" if isinstance(method, MethodCross) else f"'{foreign[0]}'"
                raise ValueError(f"the stage 'serve' has no method {found} (known: {', '.join(known)})")
        if foreign := [name for name in self.axes.framework if name not in ENGINES]:
            raise ValueError(f"the stage 'serve' has no framework '{foreign[0]}' (known: {', '.join(ENGINES)})")
        return self


def _views_of(layout: Layout) -> list[ViewName]:
    """Views that a layout shows, including that of the table behind a figure."""
    if isinstance(layout, PlatformTableLayout):
        return []
    return [layout.view, *([layout.table_view] if isinstance(layout, FigureLayout) and layout.table_view else [])]


def _check_operators(experiment: Experiment) -> None:
    """Check that the experiment has one family, in that family's view: two families have different columns."""
    families, view = experiment.axes.framework, getattr(experiment.layout, "view", None)
    [family] = [family for family, shown in VIEW_OF_FAMILY.items() if shown == view]
    if families != [family]:
        raise ValueError(f"the view '{view}' shows the family '{family}' alone, but 'axes.framework' is {families}")
