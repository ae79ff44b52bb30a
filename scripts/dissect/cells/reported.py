"""The manifest of the report page: what stands on it, in which order."""

import re
from collections.abc import Collection
from typing import Literal

from dissect.base.model import Model
from dissect.cells.terms import Terms, terms_of
from dissect.config.catalog import Catalog
from dissect.config.experiment import Experiment
from dissect.config.kinds import STAGE_TITLES, Stage

_NUMBERED = re.compile(r"(Table|Figure) (\w+):")
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50}


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
    """By stage; within it the paper's tables, its figures, then what is this project's own."""
    found = _NUMBERED.match(experiment.title)
    number = _number(found[2]) if found else 0
    return list(STAGE_TITLES).index(experiment.stage), not found, experiment.kind == "figure", number, name


def _number(text: str) -> int:
    """``IX`` -> 9, ``10`` -> 10."""
    if text.isdigit():
        return int(text)
    values = [_ROMAN.get(letter, 0) for letter in text]
    return sum(-v if v < later else v for v, later in zip(values, [*values[1:], 0], strict=True))
