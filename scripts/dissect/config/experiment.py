"""config/experiments/*.yaml: one table or figure, its axes, sampling and layout."""

from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from dissect.base.model import Model
from dissect.base.registry import ENGINES
from dissect.config.arrival import Arrival
from dissect.config.kinds import LETTER_STAGES, Policy, Stage, Suite
from dissect.config.layout import VIEW_OF_FAMILY, VIEW_OF_STAGE, FigureLayout, Layout, PlatformTableLayout, ViewName
from dissect.config.names import Names, check_unique
from dissect.config.overrides import SamplingOverride, WorkloadOverride
from dissect.config.registered import Framework

Batch = PositiveInt | Literal["max"]


def _check_batches(batches: list[int | str]) -> list[int | str]:
    check_unique([str(batch) for batch in batches])
    return batches


class MethodCross(Model):
    """Every combination of one method from each list, letters joined."""

    cross: list[list[str]]
    """Lists of methods; ``Naive`` adds no letter."""


class Axes(Model):
    """What the experiment varies; its cells are the product."""

    platform: Names | Literal["configured"] = "configured"
    """Which of config.yaml's platforms; without any of them ``all`` leaves the experiment out."""
    framework: Annotated[list[Framework], AfterValidator(check_unique)]
    """Frameworks, or families of operators."""
    model: Names | Literal["configured", "none"] = "configured"
    """Which of config.yaml's models: ``configured`` for all of them, ``none`` where no model is involved."""
    method: list[str] | MethodCross = ["Naive"]
    """Methods as letters joined by +, or their cross product; for operators their names, for servers policies."""
    batch: Annotated[list[Batch], AfterValidator(_check_batches)] = [1]
    """Sequences per GPU; ``max`` is searched."""
    gpus: Literal["all", "sweep", "one"] = "all"
    """``all``: every GPU of the platform; ``sweep``: each of its gpu_counts; ``one``: a single GPU.

    For servers ``all`` means as many as the platform gives to the model.
    """
    arrival: Annotated[list[Arrival], Field(min_length=1)] = [Arrival(kind="burst")]
    """How requests reach a server (stage ``serve``)."""


class SuiteAxes(Model):
    """Axes that a suite shortens."""

    method: list[str] | MethodCross | None = None
    """In place of the experiment's methods."""
    batch: Annotated[list[Batch], AfterValidator(_check_batches)] | None = None
    """In place of the experiment's batches."""
    arrival: Annotated[list[Arrival], Field(min_length=1)] | None = None
    """In place of the experiment's arrivals."""


class Experiment(Model):
    """One table or figure."""

    kind: Literal["table", "figure"]
    """What is made of the cells."""
    title: str
    """One line above the table."""
    order: int | None = None
    """Place on the report page among the tables, or the figures, of its stage: the paper's number where it has one.

    Those without follow by name.
    """
    caption: str
    """What the reader sees, in plain words."""
    beyond_paper: bool = False
    """Whether the paper has nothing like it, so that none of its claims is about these cells."""
    stage: Stage
    """Which runner measures the cells."""
    axes: Axes
    """What is varied."""
    suites: dict[Suite, SuiteAxes] = {}
    """Shorter axes by suite; ``full`` has the axes above."""
    workload: WorkloadOverride = WorkloadOverride()
    """What one step computes, where it differs from the defaults."""
    sampling: SamplingOverride = SamplingOverride()
    """How long to measure, where it differs from the defaults."""
    layout: Layout
    """How it is laid out or drawn; never measures anything again."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if isinstance(self.layout, FigureLayout) != (self.kind == "figure"):
            raise ValueError(f"a {self.kind} cannot have the layout '{self.layout.kind}'")
        if isinstance(self.layout, PlatformTableLayout) != (self.stage == "inspect"):
            raise ValueError(f"the stage '{self.stage}' cannot have the layout '{self.layout.kind}'")
        views = VIEW_OF_STAGE.get(self.stage, ())
        for view in _views_of(self.layout):
            if view not in views:
                raise ValueError(f"the stage '{self.stage}' has no view '{view}', but {', '.join(views) or 'none'}")
        if self.stage == "operators":
            _check_operators(self)
        if self.stage in (*LETTER_STAGES, "serve") and self.axes.model == "none":
            raise ValueError(f"the stage '{self.stage}' needs a model, but 'axes.model' is 'none'")
        return self

    @model_validator(mode="after")
    def _servers_have_policies(self) -> Self:
        if self.stage != "serve":
            return self
        known = get_args(Policy)
        methods = [self.axes.method, *(axes.method for axes in self.suites.values() if axes.method)]
        for method in methods:
            if isinstance(method, MethodCross) or (foreign := [name for name in method if name not in known]):
                found = "a cross product" if isinstance(method, MethodCross) else f"'{foreign[0]}'"
                raise ValueError(f"the methods of the stage 'serve' are {' and '.join(known)}, found {found}")
        if foreign := [name for name in self.axes.framework if name not in ENGINES]:
            raise ValueError(f"the stage 'serve' has no framework '{foreign[0]}', but {', '.join(ENGINES)}")
        return self


def _views_of(layout: Layout) -> list[ViewName]:
    """Views that a layout shows, those of the table behind a figure too."""
    if isinstance(layout, PlatformTableLayout):
        return []
    return [layout.view, *([layout.table_view] if isinstance(layout, FigureLayout) and layout.table_view else [])]


def _check_operators(experiment: Experiment) -> None:
    """One family, in its own view: the rows of two families have different columns."""
    families, view = experiment.axes.framework, getattr(experiment.layout, "view", None)
    [family] = [family for family, shown in VIEW_OF_FAMILY.items() if shown == view]
    if families != [family]:
        raise ValueError(f"the view '{view}' shows the family '{family}' alone, but 'axes.framework' is {families}")
