"""The number that one side of a claim is about, or why there is none."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import inf
from statistics import fmean
from typing import Any

from dissect.base.outcome import Flag, Status
from dissect.cells.cell_id import CellId, without_set
from dissect.config.claims import Claim, Where, fits
from dissect.config.layout import Axis, QuantityName
from dissect.present.tables.columns import Quantity
from dissect.present.tables.efficiency import RATE, per_gpu
from dissect.present.tables.marks import NOT_SHIPPED, short_mark
from dissect.present.tables.on_device import ON_DEVICE, device_values
from dissect.present.tables.over_runs import RUN_VALUES, positive, values_of
from dissect.present.tables.view import View
from dissect.present.tables.views import VIEWS
from dissect.statistics.numbers import Number
from dissect.statistics.run_values import RunValue

Row = Mapping[str, Any]

SCALING: QuantityName = "scaling_efficiency"
MORE_GPUS = "the sides ran on different numbers of GPUs, which are a part of the difference"
OTHER_GPUS = "the cells ran on different GPUs, so a part of the difference may be the machines'"


@dataclass(frozen=True)
class ClaimSide:
    """The cells of one side of a claim."""

    rows: tuple[Row, ...]
    """Rows of the side's cells; rows that the claim does not distinguish are all there."""
    pattern: str
    """Glob over the ids of the side's cells."""

    @property
    def ids(self) -> list[str]:
        """Readable ids of the cells."""
        return list(dict.fromkeys(cell_id(row) for row in self.rows))

    @property
    def flags(self) -> list[str]:
        """Flags of the cells."""
        return list(dict.fromkeys(name for row in self.rows for name in str(row["flags"] or "").split(";") if name))


@dataclass(frozen=True)
class Gap:
    """Why there is no number."""

    reason: str
    missing: tuple[str, ...]
    """Ids of the missing cells, or globs over them."""


@dataclass(frozen=True)
class SideNumber:
    """The number of a side, and what it rests on."""

    number: Number
    """As shown in tables, so percent stay percent."""
    of: Sequence[RunValue] = ()
    """Its value in each run; empty where it compares by its interval alone."""
    to: Sequence[RunValue] | None = None
    """Runs that ``of`` is divided by; None if the number is no ratio."""
    factor: float = 1.0
    """Factor from a run's value, or from the ratio, to the number."""
    most: float = inf
    """What the number cannot exceed: 100 for a share in percent."""


@dataclass(frozen=True)
class Measure:
    """How to read a quantity from the rows of a side, and its unit."""

    unit: str
    read: Callable[[Sequence[Row]], SideNumber | None]
    column: QuantityName
    """Measured quantity that it comes from, of which starts differ."""
    of_several: bool = False
    """Whether it combines several cells into one number."""
    device: "Measure | None" = None
    """The same on device time; None where there is no such number."""


def cell_id(row: Row) -> str:
    """The readable id of a row's cell."""
    return str(CellId.of(row))


def side_of(
    rows: Sequence[Row], claim: Claim, wanted: Where, platform: str, stand_ins: Mapping[str, list[str]]
) -> ClaimSide:
    """The rows that match ``wanted``, on ``platform`` unless the claim names its own.

    One's own cells go before reference results of the same platform. A statement about a machine is about all its GPUs:
    of several counts the largest is taken, unless the quantity is about all of them.
    """
    named = wanted.get("platform")
    here = [row for row in rows if (without_set(row["platform"]) == named if named else row["platform"] == platform)]
    others = {axis: value for axis, value in wanted.items() if axis != "platform"}
    found = [row for row in here if fits(row, claim.stage, others, stand_ins[row["platform"]])]
    if named:
        found = [row for row in found if not row["reference"]] or found
    if getattr(claim.check, "quantity", None) != SCALING:
        found = [row for row in found if row["n_gpus"] == max(other["n_gpus"] for other in found)]
    run = stand_ins.get(str(named or platform), [])
    model: Where = {"model": run[0] if len(run) == 1 else "*"} if run else {}
    return ClaimSide(tuple(found), _pattern(claim.stage, platform, {**wanted, **model}))


def largest(sides: Sequence[ClaimSide], quantity: str) -> int:
    """Index of the side with the largest number; the first if none has one."""

    def number(side: ClaimSide) -> float:
        numbers = [row.get(quantity) for row in side.rows if row["status"] == Status.OK]
        return max((each for each in numbers if each is not None), default=-inf)

    return max(range(len(sides)), key=lambda index: number(sides[index]))


def no_cell(side: ClaimSide) -> Gap:
    """The gap of a side without cells; ``<platform>@<set>`` is a platform of a set of reference results."""
    return Gap(NOT_SHIPPED if "@" in side.pattern else "no experiment plans such a cell", (side.pattern,))


def number_of(side: ClaimSide, measure: Measure) -> SideNumber | Gap:
    """The number of a side, or why there is none."""
    if not side.rows:
        return no_cell(side)
    rows = side.rows
    if without := [row for row in rows if row["status"] != Status.OK]:
        reasons = dict.fromkeys(ending(row) for row in without)
        return Gap("; ".join(reasons), tuple(dict.fromkeys(cell_id(row) for row in without)))
    if len(rows) > 1 and not measure.of_several:
        return Gap("several cells match, the claim must select one", tuple(dict.fromkeys(map(cell_id, rows))))
    return measure.read(rows) or Gap("the machine or the cells do not give this number", tuple(map(cell_id, rows)))


def ending(row: Row) -> str:
    """Outcome of a cell without numbers, with phase and reason."""
    phase = f" ({row['phase']})" if row["phase"] else ""
    return f"{short_mark(row['status'])}{phase}" + ("" if row["status"] == Status.OOM else f": {row['reason']}")


def measure_of(quantity: str, view: View) -> Measure:
    """How to read a claim's quantity: as shown in tables, so percent stay percent."""
    if quantity == SCALING:
        return Measure("%", _scaling_efficiency, RATE, of_several=True)
    if quantity == "overlapped_compute_share":
        return Measure("%", _overlapped_compute_share, "compute_time_s")
    known = view.by_name[quantity]
    device = _device_measure(quantity, view)
    return Measure(known.unit, lambda rows: _shown(rows[0], known), known.name, device=device)


def _device_measure(quantity: str, view: View) -> Measure | None:
    known = view.by_name.get(ON_DEVICE.get(quantity, quantity))
    if known is None or quantity not in ON_DEVICE:
        return None
    return Measure(
        known.unit, lambda rows: _shown(rows[0], known) if device_values(rows[0], quantity) else None, known.name
    )


def doubts(sides: Sequence[ClaimSide]) -> list[str]:
    """Sentences about flags of the cells, and about GPUs that cells of one platform do not share, or have more of."""
    flags = dict.fromkeys(Flag(name).meaning for side in sides for name in side.flags)
    rows = [row for side in sides for row in side.rows if row["gpus"]]
    apart = any(_apart(*pair) for pair in combinations(rows, 2))
    more = len({frozenset(row["n_gpus"] for row in side.rows) for side in sides}) > 1
    return [*flags, *([OTHER_GPUS] if apart else []), *([MORE_GPUS] if more else [])]


def _apart(one: Row, other: Row) -> bool:
    gpus = [{*str(row["gpus"]).split(";")} for row in (one, other)]
    return one["platform"] == other["platform"] and gpus[0].isdisjoint(gpus[1])


def _shown(row: Row, quantity: Quantity) -> SideNumber | None:
    if row[quantity.name] is None:
        return None
    numbers = [row.get(column) for column in quantity.columns]
    scaled = [None if number is None else number * quantity.scale for number in numbers]
    most = quantity.scale if quantity.is_share else inf
    values = values_of(row, quantity.name)
    return SideNumber(Number(scaled[0] or 0.0, *scaled[1:]), values, factor=quantity.scale, most=most)


def _scaling_efficiency(rows: Sequence[Row]) -> SideNumber | None:
    fewest, most = (choose(rows, key=lambda row: row["n_gpus"]) for choose in (min, max))
    shown = _shown(most, VIEWS["training"].by_name[SCALING]) if fewest is not most else None
    return shown and replace(shown, of=per_gpu(most), to=per_gpu(fewest))


def _overlapped_compute_share(rows: Sequence[Row]) -> SideNumber | None:
    values = rows[0][RUN_VALUES]
    names = ("phase_time_s", "communication_exposed_s", "compute_time_s")
    shares = []
    for whole, exposed, compute in zip(*(values[name] for name in names), strict=True):
        if whole.value <= exposed.value:
            return None
        shares.append(compute._replace(value=compute.value / (whole.value - exposed.value)))
    return SideNumber(Number(100 * fmean(each.value for each in shares)), positive(shares), factor=100, most=100)


def _pattern(stage: str, platform: str, wanted: Where) -> str:
    """Glob over cell ids, such as ``pretrain/h200/llama2-7b/megatron/Naive/*-b1-*``."""
    batch, n_gpus = wanted.get("batch"), wanted.get("n_gpus", "*")
    workload = (f"*-b{batch}-" if batch else "*-") + ("*" if n_gpus == "*" else f"n{n_gpus}")
    names: tuple[Axis, ...] = ("model", "framework", "method")
    model, framework, method = (str(wanted.get(axis, "*")) for axis in names)
    return str(CellId(stage, str(wanted.get("platform", platform)), model, framework, method, workload))
