"""The verdict of a claim, case by case, from the rows of its cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dissect.base.outcome import Status
from dissect.config.claims import Claim, OrderCheck, OutcomeCheck, PairCheck, ValueCheck, Where
from dissect.present.claims.select import (
    ClaimSide,
    Gap,
    Row,
    cell_id,
    doubts,
    ending,
    measure_of,
    no_cell,
    number_of,
    side_of,
)
from dissect.present.tables.labels import framework_labels
from dissect.present.tables.view import View
from dissect.statistics.numbers import Number, Verdict, above, change, difference, ratio, together, within

COMBINED = {"ratio": ratio, "change": change, "difference": difference}
COUNTED = ("batch", "n_gpus", "seq_len")
OUT_OF_MEMORY = (Status.OOM, Status.SKIPPED_OOM)


@dataclass(frozen=True)
class CheckedCase:
    """One case of a claim: one value of each list in its ``where``, on one platform."""

    where: Where
    verdict: Verdict
    text: str = ""
    """Numbers of the case, or outcomes of its cells."""
    numbers: tuple[Number, ...] = ()
    """Numbers of the sides, as measured."""
    result: Number | None = None
    """Number that is compared with the paper's value."""
    unit: str = ""
    gap: Gap | None = None
    flags: list[str] = field(default_factory=list)
    keys: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Label that distinguishes the case from the claim's other cases."""
        named = {axis: framework_labels().get(str(value), str(value)) for axis, value in self.where.items()}
        return ", ".join(f"{axis} {name}" if axis in COUNTED else name for axis, name in named.items())


@dataclass(frozen=True)
class Finding:
    """The verdict of one claim on one platform, with its cases."""

    claim_id: str
    claim: Claim
    platform: str
    """Id of the platform, or ids of the platforms that the claim itself names."""
    cases: list[CheckedCase]

    @property
    def verdict(self) -> Verdict:
        """Verdict over all cases."""
        return together([case.verdict for case in self.cases])


def decide(
    claim_id: str, claim: Claim, platform: str, rows: Sequence[Row], view: View, stand_ins: Mapping[str, list[str]]
) -> Finding:
    """Check a claim on a platform; ``rows`` are those of the claim's view on all platforms."""
    cases = []
    varied = [axis for axis, value in claim.where.items() if isinstance(value, list)]
    for where in claim.cases:
        sides = [side_of(rows, claim, {**where, **side}, platform, stand_ins) for side in claim.check.sides.values()]
        shown: Where = {axis: where[axis] for axis in varied}
        cases.append(_case(claim, shown, sides, view))
    return Finding(claim_id, claim, ", ".join(claim.platforms) or platform, cases)


def _case(claim: Claim, where: Where, sides: list[ClaimSide], view: View) -> CheckedCase:
    check = claim.check
    if isinstance(check, OutcomeCheck):
        return _outcome(where, check.outcome, sides[0])
    measure = measure_of(check.quantity, view)
    numbers = [number_of(side, measure) for side in sides]
    gaps = [number for number in numbers if isinstance(number, Gap)]
    if not gaps and len(sides) > 1 and sides[0].rows == sides[1].rows:
        gaps = [Gap(f"{', '.join(sides[0].ids)} runs in place of both", tuple(side.pattern for side in sides))]
    if gaps:
        missing = tuple(dict.fromkeys(name for gap in gaps for name in gap.missing))
        return CheckedCase(
            where, Verdict.NOT_MEASURED, gap=Gap("; ".join(dict.fromkeys(g.reason for g in gaps)), missing)
        )
    measured = tuple(number for number in numbers if isinstance(number, Number))
    result, unit = _result(check, measured), _unit(check, measure.unit)
    verdict = above(*measured) if isinstance(check, OrderCheck) else within(result or measured[0], *check.ends)
    sign = {Verdict.HOLDS: ">", Verdict.FAILS: "<"}.get(verdict, "≈")
    text = f" {sign} ".join(number.show(unit) for number in ((result,) if result else measured))
    keys = tuple(dict.fromkeys(row["key"] for side in sides for row in side.rows))
    return CheckedCase(where, verdict, text, measured, result, unit, flags=doubts(sides), keys=keys)


def _result(check: ValueCheck | PairCheck | OrderCheck, numbers: Sequence[Number]) -> Number | None:
    if isinstance(check, OrderCheck):
        return None
    return COMBINED[check.kind](*numbers) if isinstance(check, PairCheck) else numbers[0]


def _unit(check: ValueCheck | PairCheck | OrderCheck, unit: str) -> str:
    match check.kind:
        case "ratio":
            return "×"
        case "change":
            return "%"
        case "difference" if unit == "%":
            return "percentage points"
    return unit


def _outcome(where: Where, wanted: str, side: ClaimSide) -> CheckedCase:
    """Check the outcomes of a side's cells; cells without an outcome, or with another one, decide nothing."""
    rows = side.rows
    if not rows:
        return CheckedCase(where, Verdict.NOT_MEASURED, gap=no_cell(side))
    keys = tuple(dict.fromkeys(row["key"] for row in rows))
    if others := [row for row in rows if row["status"] not in (Status.OK, *OUT_OF_MEMORY)]:
        reasons = "; ".join(dict.fromkeys(map(ending, others)))
        return CheckedCase(where, Verdict.NOT_MEASURED, gap=Gap(reasons, tuple(map(cell_id, others))), keys=keys)
    out = [row["status"] in OUT_OF_MEMORY for row in rows]
    holds = all(out) if wanted == "oom" else not any(out)
    text = ", ".join(dict.fromkeys(ending(row) if row["status"] != Status.OK else "it runs" for row in rows))
    return CheckedCase(where, Verdict.HOLDS if holds else Verdict.FAILS, text, keys=keys)
