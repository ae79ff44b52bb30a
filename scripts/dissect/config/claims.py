"""config/references/paper.yaml: what the paper says, as checks that measured cells decide."""

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from dissect.base.model import Model
from dissect.config.kinds import Stage
from dissect.config.layout import VIEW_AXES, VIEW_OF_STAGE, VIEW_QUANTITIES, Axis, CellAxis, QuantityName, ViewName
from dissect.config.names import Name

CLAIMS = "claims"
"""Name of the table of verdicts."""

Scalar = str | PositiveInt
Where = dict[Axis, Scalar]
"""Axis -> value that a cell, or a row of its numbers, must have."""
DerivedQuantity = Literal["scaling_efficiency", "overlapped_compute_share"]
"""What no column has, in percent. Scaling efficiency, of several cells: throughput per GPU at the most GPUs over that
at the fewest. Overlapped compute share: compute kernels' share of a phase without its exposed communication."""
DERIVED: dict[ViewName, tuple[DerivedQuantity, ...]] = {
    "training": ("scaling_efficiency",),
    "phases": ("overlapped_compute_share",),
}
"""View -> those of its rows."""
ClaimQuantity = QuantityName | DerivedQuantity


class Expected(Model):
    """What a number is held against: about a value, or between two ends."""

    about: float | None = None
    """The paper's value."""
    tolerance: NonNegativeFloat | None = None
    """How far off still counts as the same, in the unit of the value; this project's choice."""
    low: float | None = None
    """Lower end."""
    high: float | None = None
    """Upper end."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.about is None) != (self.tolerance is None):
            raise ValueError("'about' and 'tolerance' belong together")
        if (self.about is None) == (self.low is None and self.high is None):
            raise ValueError("give either 'about' with 'tolerance', or 'low' and 'high' or one of them")
        return self

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """Lower and upper end; None where there is none."""
        if self.about is None or self.tolerance is None:
            return self.low, self.high
        return self.about - self.tolerance, self.about + self.tolerance


class ValueCheck(Expected):
    """A number by itself."""

    kind: Literal["value"]
    """One number against the paper's."""
    quantity: ClaimQuantity
    """Which number of the cell."""

    @property
    def sides(self) -> dict[str, Where]:
        """The cells that it reads."""
        return {"of": {}}


class PairCheck(Expected):
    """Two numbers: their ratio, their change in percent, or their difference."""

    kind: Literal["ratio", "change", "difference"]
    """``ratio``: of / to; ``change``: how far ``of`` is above ``to``, in percent of it; ``difference``: of - to."""
    quantity: ClaimQuantity
    """Which number of both cells."""
    of: Where
    """What the one cell has besides what both have."""
    to: Where
    """What the other has."""

    @property
    def sides(self) -> dict[str, Where]:
        """The cells that it reads."""
        return {"of": self.of, "to": self.to}


class OrderCheck(Model):
    """Two numbers of which one is larger."""

    kind: Literal["ordering"]
    """One is above the other."""
    quantity: ClaimQuantity
    """Which number of both cells."""
    more: Where
    """What the cell with the larger number has besides what both have."""
    less: Where
    """What the other has."""

    @property
    def sides(self) -> dict[str, Where]:
        """The cells that it reads."""
        return {"more": self.more, "less": self.less}


class OutcomeCheck(Model):
    """How a cell ends."""

    kind: Literal["outcome"]
    """An outcome in place of a number."""
    outcome: Literal["oom", "ok"]
    """``oom``: it runs out of memory, whether seen or certain before; ``ok``: it has numbers."""

    @property
    def sides(self) -> dict[str, Where]:
        """The cells that it reads."""
        return {"of": {}}


Check = Annotated[ValueCheck | PairCheck | OrderCheck | OutcomeCheck, Field(discriminator="kind")]


class Claim(Model):
    """One statement of the paper."""

    item: str
    """Table or figure that it belongs to."""
    says: str
    """What the paper says, in one sentence of ours, with its value."""
    stated_for: str
    """The platforms that it speaks of; it is checked on every platform."""
    certainty: Literal["T", "S", "N"]
    """How the statement came here: T quoted from the paper, S from a summary of it, N from somebody's note."""
    source: str
    """Where it was read."""
    stage: Stage
    """Of the cells that decide it."""
    view: ViewName = "training"
    """Which numbers of these cells."""
    where: dict[Axis, Scalar | Annotated[list[Scalar], Field(min_length=1)]] = {}
    """What all cells of the check have; a list is checked value by value, and all must hold."""
    check: Check
    """How it is decided."""

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        if self.view not in (views := VIEW_OF_STAGE.get(self.stage, ())):
            raise ValueError(f"the stage '{self.stage}' has no view '{self.view}', but {', '.join(views) or 'none'}")
        known = (*get_args(CellAxis), *VIEW_AXES[self.view])
        sides = self.check.sides
        named: list[Axis] = [*self.where, *(axis for side in sides.values() for axis in side)]
        if foreign := [axis for axis in named if axis not in known]:
            raise ValueError(f"the view '{self.view}' has no axis '{foreign[0]}'; it has {', '.join(known)}")
        quantity = getattr(self.check, "quantity", None)
        derived = DERIVED.get(self.view, ())
        if quantity not in (None, *VIEW_QUANTITIES[self.view], *derived):
            raise ValueError(f"the view '{self.view}' has no '{quantity}'")
        for axis, value in (pair for where in self.selections() for pair in where.items()):
            if not _suits(axis, value):
                raise ValueError(f"the axis '{axis}' cannot have the value {value!r}")
        if "platform" in self.where or len({"platform" in side for side in sides.values()}) > 1:
            raise ValueError("a platform is named by both sides of a check, or not at all")
        return self

    @property
    def cases(self) -> list[Where]:
        """One per combination of the lists in ``where``."""
        values = [value if isinstance(value, list) else [value] for value in self.where.values()]
        return [dict(zip(self.where, case, strict=True)) for case in product(*values)]

    @property
    def platforms(self) -> list[str]:
        """Those that its sides name; none if it is checked on each platform by itself."""
        return [str(side["platform"]) for side in self.check.sides.values() if "platform" in side]

    def normalised(self, normal: Callable[[str], str]) -> Self:
        """With methods as ``normal`` spells them, and axes in one order."""
        sides = {name: _spelt(side, normal) for name, side in self.check.sides.items() if side}
        check = self.check.model_copy(update=sides)
        return self.model_copy(update={"where": _spelt(self.where, normal), "check": check})

    def selections(self) -> Iterator[Where]:
        """What each cell that the claim reads has."""
        for case in self.cases:
            for side in self.check.sides.values():
                yield {**case, **side}


class Claims(Model):
    """Everything that is checked, and the table of verdicts."""

    title: str
    """One line above the table."""
    caption: str
    """What the reader sees, in plain words."""
    claims: dict[Name, Claim]
    """Id -> statement."""


def _spelt(where: Mapping[Any, Any], normal: Callable[[str], str]) -> dict[Any, Any]:
    """The same, so that neither the order of its keys nor that of letters shows."""

    def value(axis: Axis) -> Any:
        if axis != "method":
            return where[axis]
        return [normal(name) for name in where[axis]] if isinstance(where[axis], list) else normal(where[axis])

    return {axis: value(axis) for axis in get_args(Axis) if axis in where}


def _suits(axis: Axis, value: Scalar) -> bool:
    """Whether an axis of cells can have a value; those of views have what they have."""
    if axis not in get_args(CellAxis) or (axis, value) == ("batch", "max"):
        return True
    return isinstance(value, int) == (axis in ("n_gpus", "seq_len", "batch"))


def fits(having: Mapping[str, Any], stage: str, wanted: Mapping[Any, Any], stand_ins: list[str]) -> bool:
    """Whether a cell, or a row, has what is wanted; axes that it does not have do not count.

    ``stand_ins`` are the models that its platform runs in place of those that claims name.
    """
    return having["stage"] == stage and all(
        having[axis] in (stand_ins if axis == "model" and stand_ins else [value])
        for axis, value in wanted.items()
        if having.get(axis) is not None
    )
