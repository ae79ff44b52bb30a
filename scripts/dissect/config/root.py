"""config/config.yaml: what to run. The one file that users edit."""

from typing import Literal

from pydantic import PositiveFloat

from dissect.base.model import Model
from dissect.config.kinds import Suite
from dissect.config.names import Names
from dissect.config.overrides import CellOverride
from dissect.config.question import Comparison, Question


class Run(Model):
    """What to measure and what to build from it."""

    platforms: Names = ["cpu"]
    """Platforms to measure: stems of config/platforms/*.yaml."""
    models: Names = ["llama2-7b", "llama2-13b", "llama2-70b"]
    """Models to cover: stems of config/models/*.yaml."""
    suite: Suite = "smoke"
    """``smoke``: a few methods of every table; ``full``: all of them."""
    tables: Names | Literal["all"] = "all"
    """Tables to build: stems of config/experiments/*.yaml of kind table."""
    figures: Names | Literal["all"] = "all"
    """Figures to draw: stems of config/experiments/*.yaml of kind figure."""
    overrides: dict[str, CellOverride] = {}
    """Glob over cells -> parameters: ``pretrain/h200/llama2-70b/*/Z3*/*: {sampling: {budget_s: 1800}}``."""
    select: str | None = None
    """Glob over the cells of all known platforms that the targets ``cells``, ``remeasure`` and ``export`` take."""
    every: PositiveFloat | None = None
    """Seconds between two looks of ``progress``; left out, it looks once."""
    file: str | None = None
    """File that ``export`` writes and ``import`` reads."""


class RootConfig(Question, Comparison, Run):
    """What to run, and what to ask of it; each key can also be given as ``--config key=value``."""
