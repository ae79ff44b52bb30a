"""config/references/paper.yaml: statements of the paper, as checks on measured cells."""

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from dissect.base.model import Model
from dissect.config.kinds import Stage
from dissect.config.layout import Axis, CellAxis, QuantityName, ViewName, check_stage_view, check_view
from dissect.config.names import Name

CLAIMS = "claims"
"""Name of the table of verdicts on the paper's claims."""

Scalar = str | PositiveInt
Where = dict[Axis, Scalar]
"""Selection: axis -> value that a cell, or a row of its numbers, must have."""
DerivedQuantity = Literal["overlapped_compute_share"]
"""Quantity in percent that no column has: share of compute kernels in a phase without its exposed communication."""
DERIVED: dict[ViewName, tuple[DerivedQuantity, ...]] = {"phases": ("overlapped_compute_share",)}
"""View -> the derived quantities of its rows."""
ClaimQuantity = QuantityName | DerivedQuantity


class Expected(Model):
    """Expected range of a number: about a value, or between two bounds."""

    about: float | None = None
    """Value that the paper states."""
    tolerance: NonNegativeFloat | None = None
    """Largest deviation from ``about`` that still counts as equal, in its unit; chosen by this project."""
    low: float | None = None
    """Lower bound."""
    high: float | None = None
    """Upper bound."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.about is None) != (self.tolerance is None):
            raise ValueError("'about' and 'tolerance' need each other")
        if (self.about is None) == (self.low is None and self.high is None):
            raise ValueError("expected either 'about' with 'tolerance', or at least one of 'low' and 'high'")
        return self

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """Lower and upper bound; None where there is none."""
        if self.about is None or self.tolerance is None:
            return self.low, self.high
        return self.about - self.tolerance, self.about + self.tolerance


class ValueCheck(Expected):
    """Check of one number against a range."""

    kind: Literal["value"]
    """Kind of check: one number against the paper's."""
    quantity: ClaimQuantity
    """Quantity of the cell that is checked."""

    @property
    def sides(self) -> dict[str, Where]:
        """Sides of the check: name -> selection of the cells that it reads."""
        return {"of": {}}


class PairCheck(Expected):
    """Check of the ratio, relative change or difference of two numbers."""

    kind: Literal["ratio", "change", "difference"]
    """Kind of check: ``ratio`` is of / to, ``change`` is (of - to) / to in percent, ``difference`` is of - to."""
    quantity: ClaimQuantity
    """Quantity of both cells that is checked."""
    of: Where
    """Selection of the first cell, in addition to that of both."""
    to: Where
    """Selection of the second cell, in addition to that of both."""

    @property
    def sides(self) -> dict[str, Where]:
        """Sides of the check: name -> selection of the cells that it reads."""
        return {"of": self.of, "to": self.to}


class OrderCheck(Model):
    """Check of which of two numbers is larger."""

    kind: Literal["ordering"]
    """Kind of check: one number is larger than the other."""
    quantity: ClaimQuantity
    """Quantity of both cells that is compared."""
    more: Where
    """Selection of the cell with the larger number, in addition to that of both."""
    less: Where
    """Selection of the cell with the smaller number, in addition to that of both."""
    best: dict[Literal["more", "less"], list[Where]] = {}
    """Further cells of a side: once all have an outcome, the one with the largest number counts, and is named."""

    @property
    def sides(self) -> dict[str, Where]:
        """Sides of the check: name -> selection of the cells that it reads."""
        return {"more": self.more, "less": self.less}


class OutcomeCheck(Model):
    """Check of the outcome of a cell."""

    kind: Literal["outcome"]
    """Kind of check: an outcome in place of a number."""
    outcome: Literal["oom", "ok"]
    """Outcome that is expected: ``oom`` is out of memory, measured or proven; ``ok`` is a cell with numbers."""
    memory_gib: PositiveFloat
    """Memory of the GPUs that the statement is on in GiB. What fits less holds, and what does not fit more fails."""

    @property
    def sides(self) -> dict[str, Where]:
        """Sides of the check: name -> selection of the cells that it reads."""
        return {"of": {}}


Check = Annotated[ValueCheck | PairCheck | OrderCheck | OutcomeCheck, Field(discriminator="kind")]


class Claim(Model):
    """A statement of the paper, and the check that decides whether it holds."""

    item: str
    """Table or figure of the paper that the statement belongs to."""
    says: str
    """The paper's statement with its value, in one sentence in this project's words."""
    stated_for: str
    """Platforms that the statement is stated for; it is checked on every platform."""
    certainty: Literal["T", "S", "N"]
    """Certainty of the statement: T is quoted from the paper, S taken from a summary of it, N from an informal note."""
    source: str
    """Source in which the statement was read."""
    stage: Stage
    """Stage of the cells that decide the claim."""
    view: ViewName = "training"
    """View of the numbers of these cells."""
    where: dict[Axis, Scalar | Annotated[list[Scalar], Field(min_length=1)]] = {}
    """Selection of all cells of the check; a list is checked value by value, and all must hold."""
    check: Check
    """Check that decides the claim."""

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        check_stage_view(self.stage, self.view)
        sides = self.check.sides
        named: list[Axis] = [*self.where, *(axis for side in sides.values() for axis in side)]
        quantities = [] if isinstance(self.check, OutcomeCheck) else [self.check.quantity]
        check_view(self.view, named, [name for name in quantities if name not in DERIVED.get(self.view, ())])
        for axis, value in (pair for where in self.selections() for pair in where.items()):
            if not _suits(axis, value):
                raise ValueError(f"invalid value {value!r} of the axis '{axis}'")
        if "platform" in self.where or len({"platform" in side for side in sides.values()}) > 1:
            raise ValueError("'platform' is expected on both sides of a check, or on neither")
        return self

    @property
    def cases(self) -> list[Where]:
        """Selections of the check's cases: one per combination of the lists in ``where``."""
        values = [value if isinstance(value, list) else [value] for value in self.where.values()]
        return [dict(zip(self.where, case, strict=True)) for case in product(*values)]

    @property
    def platforms(self) -> list[str]:
        """Platforms that the sides name; empty if the claim is checked on each platform by itself."""
        return [str(side["platform"]) for side in self.check.sides.values() if "platform" in side]

    def normalised(self, normal: Callable[[str], str]) -> Self:
        """This claim with methods as ``normal`` spells them, and axes in one order."""
        sides = {name: _spelt(side, normal) for name, side in self.check.sides.items() if side}
        best = {name: [_spelt(each, normal) for each in cells] for name, cells in self._best.items()}
        check = self.check.model_copy(update=sides | ({"best": best} if best else {}))
        return self.model_copy(update={"where": _spelt(self.where, normal), "check": check})

    def selections(self) -> Iterator[Where]:
        """Selections of all cells that the claim reads."""
        for case in self.cases:
            for name in self.check.sides:
                yield from ({**case, **cell} for cell in self.choices(name))

    def choices(self, side: str) -> list[Where]:
        """Selections of the cells of a side, of which the best counts; a single one unless the check names more."""
        return [self.check.sides[side], *self._best.get(side, [])]

    @property
    def _best(self) -> Mapping[Any, list[Where]]:
        return self.check.best if isinstance(self.check, OrderCheck) else {}


class Claims(Model):
    """All claims of the paper, and the title and caption of the table of verdicts."""

    title: str
    """Title of the table of verdicts, in one line."""
    caption: str
    """Caption of the table of verdicts, in plain words."""
    claims: dict[Name, Claim]
    """Id -> claim."""


def _spelt(where: Mapping[Any, Any], normal: Callable[[str], str]) -> dict[Any, Any]:
    """A selection with its axes, and the letters of its methods, in one order."""

    def value(axis: Axis) -> Any:
        if axis != "method":
            return where[axis]
        return [normal(name) for name in where[axis]] if isinstance(where[axis], list) else normal(where[axis])

    return {axis: value(axis) for axis in get_args(Axis) if axis in where}


def _suits(axis: Axis, value: Scalar) -> bool:
    """Whether the type of a value suits an axis of cells; axes of views are not checked."""
    if axis not in get_args(CellAxis) or (axis, value) == ("batch", "max"):
        return True
    return isinstance(value, int) == (axis in ("n_gpus", "seq_len", "batch"))


def fits(having: Mapping[str, Any], stage: str, wanted: Mapping[Any, Any], stand_ins: list[str]) -> bool:
    """Whether a cell, or a row, matches a selection; axes that it does not have are ignored.

    ``stand_ins`` are the models that the platform runs in place of those that claims name.
    """
    return having["stage"] == stage and all(
        having[axis] in (stand_ins if axis == "model" and stand_ins else [value])
        for axis, value in wanted.items()
        if having.get(axis) is not None
    )
