"""config/config.yaml, the file that users edit: what to measure and what to build."""

from typing import Literal

from pydantic import PositiveFloat, field_validator

from dissect.base.model import Model
from dissect.config.described import Described
from dissect.config.kinds import Suite
from dissect.config.names import Names
from dissect.config.overrides import CellOverride
from dissect.config.price import GivenPrice
from dissect.config.question import Comparison, OneOrMore, Question
from dissect.config.runs import Runs, RunsBySuite
from dissect.config.upkeep import Upkeep


class Run(Model):
    """Cells to measure, and outputs to build from them."""

    platforms: Names = ["cpu"]
    """Platforms to measure: stems of config/platforms/*.yaml."""
    models: Names = ["llama2-7b", "llama2-13b", "llama2-70b"]
    """Models to cover: stems of config/models/*.yaml."""
    suite: Suite = "smoke"
    """Suite of methods: ``smoke`` has a few of every table, ``full`` has all."""
    runs: Runs | RunsBySuite = RunsBySuite()
    """Runs of each cell, which are measurements in fresh processes: one number, or one by suite.

    Intervals and verdicts need at least two. An experiment's own ``runs`` replaces this one.
    """
    fork: bool = False
    """Whether runs are forked from a process that has imported the libraries already, once per environment.

    That saves 4 to 10 s per run. But such runs share more than new processes do, and it is not shown that their steps
    take equally long: docs/trust.md compares both.
    """
    tables: Names | Literal["all"] = "all"
    """Tables to build: stems of config/experiments/*.yaml of kind table."""
    figures: Names | Literal["all"] = "all"
    """Figures to draw: stems of config/experiments/*.yaml of kind figure."""
    overrides: dict[str, CellOverride] = {}
    """Glob over cells -> parameters, such as ``pretrain/h200/llama2-70b/*/Z3*/*: {sampling: {budget_s: 1800}}``."""
    select: OneOrMore = None
    """Globs over the cells of all known platforms, for the commands that take a selection, such as ``cells``, ``show``,
    ``remeasure``, ``export`` and ``prune``."""
    more: Runs = 1
    """Runs that ``remeasure`` adds to each selected cell, whatever its outcome; ``plan`` tells what these cost."""
    fresh: bool = False
    """Whether ``remeasure`` sets the earlier runs aside, and measures as many as the cell needs."""
    times: bool = False
    """Whether ``plan`` predicts times and GPU hours too, for which it reads what was measured."""
    rates: bool = False
    """Whether ``plan`` also predicts times and, for each search, the rate that holds, which takes seconds for each.

    What the same cell measured, here or in the reference results, stands beside it.
    """
    price: GivenPrice | None = None
    """Price of a GPU-hour by which ``plan`` and ``recommend`` count costs, such as ``2.5`` or ``2.5 EUR``; default:
    each platform's."""
    every: PositiveFloat | None = None
    """Interval in seconds at which ``progress`` repeats; default: it runs once."""
    file: str | None = None
    """Path of the file that ``export`` writes, and ``import``, ``references`` and ``validate`` read."""
    force: bool = False
    """Whether ``export`` replaces a file that is no export, and ``describe`` a platform file."""


class RootConfig(Question, Comparison, Upkeep, Described, Run):
    """All keys of config.yaml; each can also be given as ``--config key=value``."""

    @field_validator("select")
    @classmethod
    def _names_a_glob(cls, select: OneOrMore) -> OneOrMore:
        if select == []:
            raise ValueError("name at least one glob, or leave select out")
        return select
