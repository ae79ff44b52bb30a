"""The manifest of the report page: what it shows, in which order."""

from collections.abc import Collection
from typing import Literal

from dissect.base.model import Model
from dissect.cells.terms import Terms, terms_of
from dissect.config.catalog import Catalog
from dissect.config.experiment import Experiment
from dissect.config.kinds import STAGE_TITLES, Stage


class ReportItem(Model):
    """One table or figure of the page."""

    name: str
    kind: Literal["table", "figure"]
    stage: Stage


class ReportManifest(Model):
    """What the page needs beyond the manifests of its tables and figures."""

    items: list[ReportItem]
    """In the paper's order."""
    claims: bool
    """Whether the verdicts on the paper's claims are wanted."""
    terms: dict[str, Terms] = {}
    """Of each platform on the page."""

    def to_json(self) -> str:
        """Indented: the same manifest has the same bytes."""
        return self.model_dump_json(indent=1) + "\n"


def report_manifest(catalog: Catalog, platforms: Collection[str]) -> ReportManifest:
    """Tables and figures that config.yaml asks for, which have cells of these platforms."""
    wanted = sorted(catalog.wanted_experiments.items(), key=lambda item: _place(*item))
    return ReportManifest(
        items=[ReportItem(name=name, kind=each.kind, stage=each.stage) for name, each in wanted],
        claims=catalog.wants_claims,
        terms=terms_of(catalog, platforms),
    )


def _place(name: str, experiment: Experiment) -> tuple[int, bool, bool, int, str]:
    """By stage; within it ordered tables, ordered figures, then the others."""
    order = experiment.order
    return list(STAGE_TITLES).index(experiment.stage), order is None, experiment.kind == "figure", order or 0, name
