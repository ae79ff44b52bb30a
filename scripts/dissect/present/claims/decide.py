"""The verdicts of claims, case by case, from the rows of their cells; the error rate is one of all cases together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dissect.base.outcome import Status
from dissect.cells.manifest import PlatformFacts
from dissect.config.claims import Claim, OrderCheck, OutcomeCheck, Where
from dissect.config.kinds import Suite
from dissect.present.claims.evidence import Evidence, NumberCheck, evidence_of, question_of
from dissect.present.claims.select import (
    ClaimSide,
    Gap,
    Measure,
    Row,
    SideNumber,
    cell_id,
    doubts,
    ending,
    largest,
    measure_of,
    no_cell,
    number_of,
    side_of,
)
from dissect.present.remeasure_command import command_for
from dissect.present.tables.labels import framework_labels
from dissect.present.tables.on_device import LABEL, device_values
from dissect.present.tables.over_runs import values_of
from dissect.present.tables.start_classes import START_CLASS, Pools, between, pool_classes
from dissect.present.tables.view import View
from dissect.statistics.bounds import Bounded, BoundVerdict, check_all
from dissect.statistics.numbers import FAR, Number, Verdict, detectable_words, together

COUNTED = ("batch", "n_gpus", "seq_len")
OF_MEMORY = ("batch_measured", "peak_memory_bytes", "peak_memory_gib", "paper_memory_gib")
"""Quantities that speak for a smaller card where memory is held."""
OUT_OF_MEMORY = (Status.OOM, Status.SKIPPED_OOM)
_SIGNS = {"s": ("shorter", "longer"), "ms": ("shorter", "longer"), "tokens/s": ("slower", "faster")}
"""Unit -> words for a negative and a positive change; less and more of others."""


@dataclass(frozen=True)
class CheckedCase:
    """One case of a claim: one value of each list in its ``where``, on one platform."""

    where: Where
    verdict: Verdict
    text: str = ""
    """Numbers of the case, or outcomes of its cells."""
    numbers: tuple[Number, ...] = ()
    """Numbers of the sides, as measured."""
    evidence: Evidence | None = None
    """What the verdict on a number rests on; None for an outcome, or where there is no number."""
    unit: str = ""
    gap: Gap | None = None
    flags: list[str] = field(default_factory=list)
    keys: tuple[str, ...] = ()
    remedy: str = ""
    """Command that measures what a clear verdict needs; empty unless the verdict is unclear."""

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

    @property
    def others(self) -> list[CheckedCase]:
        """Measured cases with another verdict than that over all."""
        return [case for case in self.cases if case.verdict not in (self.verdict, Verdict.NOT_MEASURED)]


@dataclass(frozen=True)
class _OpenCase:
    """A case with its numbers, before the verdict."""

    where: Where
    check: NumberCheck
    sides: Sequence[ClaimSide]
    numbers: Sequence[SideNumber]
    unit: str
    pools: Pools
    """How starts differ in each class of cells."""
    again: "_OpenCase | None" = None
    """The same on device time; None where a side has none, or the check is not of an order."""

    @property
    def question(self) -> Bounded | None:
        classes = [row[START_CLASS] for side in self.sides for row in side.rows]
        return question_of(self.check, self.numbers, between(self.pools, *classes))


@dataclass(frozen=True)
class OpenFinding:
    """One claim on one platform, before the verdicts on its numbers."""

    claim_id: str
    claim: Claim
    platform: str
    cases: Sequence["CheckedCase | _OpenCase"]


def prepare(
    claim_id: str,
    claim: Claim,
    platform: str,
    rows: Sequence[Row],
    view: View,
    stand_ins: Mapping[str, list[str]],
    platforms: Mapping[str, PlatformFacts],
) -> OpenFinding:
    """Read the numbers of a claim on a platform; ``rows`` are those of the claim's view on all platforms.

    Platforms whose memory is held decide what fits, and no speed.
    """
    cases = []
    varied = [axis for axis, value in claim.where.items() if isinstance(value, list)]
    for where in claim.cases:
        shown: Where = {axis: where[axis] for axis in varied}
        sides, others = [], []
        for choices in map(claim.choices, claim.check.sides):
            of = [side_of(rows, claim, {**where, **each}, platform, stand_ins) for each in choices]
            chosen = largest(of, getattr(claim.check, "quantity", ""))
            sides.append(of[chosen])
            others += [side for side in of if side is not of[chosen]]
            shown |= choices[chosen] if len(choices) > 1 and of[chosen].rows else {}
        gap = _of_no_card(claim, sides, platforms) or _not_seen(others)
        cases.append(
            CheckedCase(shown, Verdict.NOT_MEASURED, gap=gap)
            if gap
            else _case(claim, shown, sides, view, rows, platforms)
        )
    return OpenFinding(claim_id, claim, ", ".join(claim.platforms) or platform, cases)


def decide(prepared: Iterable[OpenFinding], suite: Suite) -> list[Finding]:
    """Verdicts on the numbers of each platform together: of its decided ones at most 5 % are expected to be wrong.

    So a verdict does not depend on which other platforms have results. ``suite`` is that of own cells, for the commands
    that would tell.
    """
    found = list(prepared)
    answers: dict[int, BoundVerdict] = {}
    for platform in dict.fromkeys(finding.platform for finding in found):
        answers |= _answers([finding for finding in found if finding.platform == platform])
    return [
        Finding(
            each.claim_id, each.claim, each.platform,
            [c if isinstance(c, CheckedCase) else _closed(c, answers.get(id(c)), suite) for c in each.cases],
        )
        for each in found
    ]  # fmt: skip


def _answers(family: Iterable[OpenFinding]) -> dict[int, BoundVerdict]:
    """Id of a case with numbers -> what is found of it."""
    asked = [
        (case, question)
        for finding in family
        for case in finding.cases
        if isinstance(case, _OpenCase) and (question := case.question)
    ]
    second = [case.again.question if case.again else None for case, _ in asked]
    checked = check_all([question for _, question in asked], second)
    return {id(case): answer for (case, _), answer in zip(asked, checked, strict=True)}


def _case(
    claim: Claim,
    where: Where,
    sides: list[ClaimSide],
    view: View,
    rows: Sequence[Row],
    platforms: Mapping[str, PlatformFacts],
) -> CheckedCase | _OpenCase:
    check = claim.check
    if isinstance(check, OutcomeCheck):
        return _outcome(where, check, sides[0], platforms)
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
    measured = [number for number in numbers if isinstance(number, SideNumber)]
    pools = pool_classes((row[START_CLASS], values_of(row, measure.column)) for row in rows)
    # Device time may order what wall time cannot. How far apart wall times are it does not say.
    by_order = isinstance(check, OrderCheck) and measure.device
    again = _on_device(where, check, sides, by_order, rows) if by_order else None
    return _OpenCase(where, check, sides, measured, measure.unit, pools, again)


def _on_device(
    where: Where, check: NumberCheck, sides: list[ClaimSide], measure: Measure, rows: Sequence[Row]
) -> _OpenCase | None:
    """The case as device time has it; None where a side has none."""
    numbers = [number for side in sides if (number := measure.read(side.rows))]
    pools = pool_classes((row[START_CLASS], device_values(row, check.quantity)) for row in rows)
    return _OpenCase(where, check, sides, numbers, measure.unit, pools) if len(numbers) == len(sides) else None


def _of_no_card(claim: Claim, sides: Sequence[ClaimSide], platforms: Mapping[str, PlatformFacts]) -> Gap | None:
    """Why cells of held memory decide nothing here: the claim is on more than what fits."""
    if isinstance(claim.check, OutcomeCheck) or claim.check.quantity in OF_MEMORY:
        return None
    ids = dict.fromkeys(
        cell_id(row) for side in sides for row in side.rows if platforms[row["platform"]].memory_is_held
    )
    return Gap("memory is held, so the speed is that of no card", tuple(ids)) if ids else None


def _not_seen(others: Sequence[ClaimSide]) -> Gap | None:
    """Why the best of several is not known: one of the others has no cell, and might have the largest number."""
    missing = [side for side in others if not side.rows]
    return Gap(no_cell(missing[0]).reason, tuple(side.pattern for side in missing)) if missing else None


def _closed(case: _OpenCase, answer: BoundVerdict | None, suite: Suite) -> CheckedCase:
    first = answer.before if answer and answer.before else answer
    found = evidence_of(case.check, case.numbers, first)
    text = _text(case, found)
    if case.again and answer and answer.before:
        found = evidence_of(case.check, case.again.numbers, answer)
        text += f"; {LABEL}: {_text(case.again, found)}"
        found = replace(found, basis=f"{LABEL}: {found.basis}")
    sides = case.sides
    unclear = found.verdict is Verdict.UNCLEAR
    return CheckedCase(
        case.where,
        found.verdict,
        text,
        tuple(side.number for side in case.numbers),
        found,
        _unit(case.check, case.unit),
        flags=doubts(sides),
        keys=tuple(dict.fromkeys(row["key"] for side in sides for row in side.rows)),
        remedy=command_for((row for side in sides for row in side.rows), suite) if unclear else "",
    )


def _text(case: _OpenCase, found: Evidence) -> str:
    """The numbers, or their ratio, with runs, starts and what would have been detected."""
    told = _in_words(case, found.result)
    if case.check.kind == "ordering":
        sign = {Verdict.HOLDS: ">", Verdict.FAILS: "<"}.get(found.verdict, "against")
        told = f" {sign} ".join(replace(side.number, low=None, high=None).show(case.unit) for side in case.numbers)
        told += f", {found.result.show('×', bound=1)}"
    runs = " and ".join(map(str, found.runs))
    starts = " and ".join(map(str, found.starts))
    parts = [f"runs {runs}" if any(found.runs) else "", f"known starts {starts}" if any(found.starts) else ""]
    parts += [found.basis, detectable_words(found.detectable)]
    return f"{told} ({'; '.join(filter(None, parts))})"


def _in_words(case: _OpenCase, result: Number) -> str:
    """The number; of a change or difference the sign as a word."""
    unit = _unit(case.check, case.unit)
    if case.check.kind not in ("change", "difference"):
        return result.show(unit)
    words = _SIGNS.get(case.unit, ("less", "more"))
    if result.low is not None and result.high is not None and result.low < 0 < result.high:
        value, *ends = (_signed(Number(each), unit, words) for each in (result.value, result.low, result.high))
        if result.high > FAR * abs(result.value):
            ends[1] = f"∞ {unit} {words[1]}"
        return f"{value} [from {' to '.join(ends)}]"
    return _signed(result, unit, words)


def _signed(number: Number, unit: str, words: tuple[str, str]) -> str:
    """The number with one of the words in place of its sign, which its interval shares."""
    less, more = words
    if number.value >= 0:
        return f"{number.show(unit)} {more}"
    ends = (None if end is None else 0 - end for end in (number.high, number.low))
    return f"{Number(-number.value, *ends).show(unit)} {less}"


def _unit(check: NumberCheck, unit: str) -> str:
    match check.kind:
        case "ratio":
            return "×"
        case "change":
            return "%"
        case "difference" if unit == "%":
            return "percentage points"
    return unit


def _outcome(where: Where, check: OutcomeCheck, side: ClaimSide, platforms: Mapping[str, PlatformFacts]) -> CheckedCase:
    """Check the outcomes of a side's cells; cells without an outcome, or with another one, decide nothing.

    Nor does what fits more memory than the statement's GPUs have, or does not fit less.
    """
    rows = side.rows
    if not rows:
        return CheckedCase(where, Verdict.NOT_MEASURED, gap=no_cell(side))
    keys = tuple(dict.fromkeys(row["key"] for row in rows))
    if others := [row for row in rows if row["status"] not in (Status.OK, *OUT_OF_MEMORY)]:
        reasons = "; ".join(dict.fromkeys(map(ending, others)))
        return CheckedCase(where, Verdict.NOT_MEASURED, gap=Gap(reasons, tuple(map(cell_id, others))), keys=keys)
    out = [row["status"] in OUT_OF_MEMORY for row in rows]
    holds = all(out) if check.outcome == "oom" else not any(out)
    text = ", ".join(dict.fromkeys(ending(row) if row["status"] != Status.OK else "it runs" for row in rows))
    verdict = Verdict.HOLDS if holds else Verdict.FAILS
    there = [platforms[row["platform"]].memory_gib or check.memory_gib for row in rows]
    if any(
        size < check.memory_gib if is_out else size > check.memory_gib for is_out, size in zip(out, there, strict=True)
    ):
        verdict, text = Verdict.UNCLEAR, f"{text} in {there[0]:g} GiB, which does not tell for {check.memory_gib:g} GiB"
    return CheckedCase(where, verdict, text, keys=keys)
