"""The manifest of the report page: its tables and figures, in their order."""

from collections.abc import Collection
from typing import Literal

from dissect.base.model import Model
from dissect.cells.askable import Askable, askable
from dissect.cells.terms import Terms, terms_of
from dissect.config.catalog import Catalog
from dissect.config.experiment import Experiment
from dissect.config.kinds import STAGE_TITLES, Stage, Suite


class ReportItem(Model):
    """A table or figure on the report page."""

    name: str
    kind: Literal["table", "figure"]
    stage: Stage


class ReportManifest(Model):
    """The contents of the report page, in addition to the manifests of its tables and figures."""

    items: list[ReportItem]
    """Tables and figures in the paper's order."""
    suite: Suite
    """Suite of own cells."""
    claims: bool
    """Whether the page shows the verdicts on the paper's claims."""
    predictions: bool = False
    """Whether the page predicts what training would need, from the cells of the table of predictions."""
    terms: dict[str, Terms] = {}
    """Terms of each platform on the page."""
    asked: Askable = Askable()
    """What its forms of predictions ask about."""

    def to_json(self) -> str:
        """The manifest as indented JSON; equal manifests have equal bytes."""
        return self.model_dump_json(indent=1) + "\n"


def report_manifest(catalog: Catalog, platforms: Collection[str], predictions: bool = False) -> ReportManifest:
    """The manifest of the report page for the configuration, with the terms of these platforms."""
    wanted = sorted(catalog.wanted_experiments.items(), key=lambda item: _place(*item))
    return ReportManifest(
        items=[ReportItem(name=name, kind=each.kind, stage=each.stage) for name, each in wanted],
        suite=catalog.root.suite,
        claims=catalog.wants_claims,
        predictions=predictions,
        terms=terms_of(catalog, platforms),
        asked=askable(catalog) if predictions else Askable(),
    )


def _place(name: str, experiment: Experiment) -> tuple[int, bool, bool, int, str]:
    """Sort key on the page: by stage; within it ordered tables, ordered figures, then the others."""
    order = experiment.order
    return list(STAGE_TITLES).index(experiment.stage), order is None, experiment.kind == "figure", order or 0, name
