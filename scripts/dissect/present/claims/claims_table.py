"""The table of verdicts: one row per claim, one column per platform."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dissect.cells.manifest import Manifest
from dissect.config.claims import Claim, Expected, OrderCheck, OutcomeCheck, PairCheck, Where
from dissect.config.layout import ViewName
from dissect.present.claims.decide import Finding, decide, prepare
from dissect.present.claims.select import Gap
from dissect.present.tables.frames import to_csv
from dissect.present.tables.grid import Grid, GridEntry
from dissect.present.tables.labels import framework_labels
from dissect.present.tables.marks import NOT_SHIPPED
from dissect.present.tables.render import html, latex, markdown
from dissect.present.tables.table import Table
from dissect.present.tables.tidy import read_records, tidy_rows
from dissect.present.tables.views import VIEWS
from dissect.results.cell_runs import CellRuns, read_runs
from dissect.statistics.numbers import Number, Verdict

NUMBER = ("", "_low", "_high")
COLUMNS = [
    "id", "item", "stage", "stated_for", "certainty", "source", "says", "check", "quantity", "platform", "case",
    "verdict", "unit", *(f"{name}{end}" for name in ("first", "second", "result") for end in NUMBER), "expected_low",
    "expected_high", "runs", "starts", "basis", "detectable", "numbers", "reason", "missing", "flags", "remedy", "keys",
]  # fmt: skip
DERIVED_HEADERS = {
    "overlapped_compute_share": "Compute kernels' share without exposed communication (%)",
}
PAIRS = {"ratio": ", {of} over {to}", "change": ", {of} against {to}, %", "difference": ", {of} minus {to}"}
"""Kind of check -> text about its two numbers."""
CERTAINTY = "Certainty of what the paper says: T quoted from it, S from a summary, N from an informal note."
RULES = (
    "Holds and does not hold: the whole interval over runs lies on one side of what is expected; of a platform's such "
    "verdicts at most 5 % are expected to be wrong. Cannot tell: it does not, or there is no interval, as of one run. "
    "Detectable: the ratio that would have been found with 80 % power. In a list of cases all that are measured must "
    "hold."
)


def build_claims(manifest: Manifest, project: Path) -> Table:
    """Decide every claim on every platform of the manifest."""
    found = findings(manifest, project)
    grids = [grid for grid in (_each_platform(manifest, found), _between_platforms(manifest, found)) if grid.entries]
    frame = pd.DataFrame([row for finding in found for row in _csv_rows(finding)], columns=COLUMNS, dtype=object)
    return Table(to_csv(frame), markdown(grids), latex(grids), html(grids))


def findings(manifest: Manifest, project: Path, read: Callable[[Path], CellRuns | None] = read_runs) -> list[Finding]:
    """The finding of every claim on every platform that it concerns, in the order of the file."""
    claims = {name: Claim.model_validate(claim) for name, claim in manifest.layout["claims"].items()}
    stand_ins: dict[str, list[str]] = manifest.layout["stand_ins"]
    records = read_records(manifest, project, read)
    rows = {view: tidy_rows(records, VIEWS[view]) for view in {claim.view for claim in claims.values()}}
    prepared = (
        prepare(name, claim, platform, rows[claim.view], VIEWS[claim.view], stand_ins, manifest.platforms)
        for name, claim in claims.items()
        for platform in claim.platforms[:1] or manifest.platforms
    )
    return decide(prepared, manifest.layout["suite"])


def check_text(claim: Claim) -> str:
    """Short text of how a claim is checked: no two claims that say the same have the same."""
    check = claim.check
    if isinstance(check, OutcomeCheck):
        return f"{_setting(claim.where)} {'runs out of memory' if check.outcome == 'oom' else 'runs'}"
    name = DERIVED_HEADERS.get(check.quantity) or _header(claim.view, check.quantity)
    if isinstance(check, OrderCheck):
        more, less = (" or ".join(map(_side, claim.choices(side))) for side in check.sides)
        return f"{name}: {more} above {less}"
    if isinstance(check, PairCheck):
        what = PAIRS[check.kind].format(of=_side(check.of), to=_side(check.to))
    else:
        what = f" of {_setting(claim.where)}"
    return f"{name}{what}: {_expectation(check)}"


def _header(view: ViewName, quantity: str) -> str:
    known = VIEWS[view].by_name[quantity]
    return f"{known.header} ({known.unit})" if known.unit else known.header


def _side(where: Where) -> str:
    return ", ".join(framework_labels().get(str(value), str(value)) for value in where.values()) or "all"


def _setting(where: Mapping[Any, object]) -> str:
    """Framework and method of the cells that a claim reads, as far as it names them."""
    labels, named = framework_labels(), [where[axis] for axis in ("framework", "method") if axis in where]
    several = [each if isinstance(each, list) else [each] for each in named]
    return ", ".join(" or ".join(labels.get(str(value), str(value)) for value in each) for each in several)


def _expectation(expected: Expected) -> str:
    if expected.about is not None:
        return f"{expected.about:g} ± {expected.tolerance:g}"
    low, high = expected.ends
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    return f"at least {low:g}" if low is not None else f"at most {high:g}"


def _each_platform(manifest: Manifest, found: list[Finding]) -> Grid:
    """Columns of the platforms, but for those of reference results that no claim has a cell of."""
    own = [finding for finding in found if not finding.claim.platforms]
    by_place = {(finding.claim_id, finding.platform): _entry(finding) for finding in own}
    measured = {finding.platform for finding in own if finding.verdict is not Verdict.NOT_MEASURED}
    shown = [platform for platform in manifest.platforms if "@" not in platform or platform in measured]
    return Grid(
        name=manifest.name,
        title=manifest.title,
        caption=manifest.caption,
        row_names=("Claim", "Item", "The paper says", "Stated for", "Certainty", "Checked as"),
        rows=_labels(own),
        columns=[(manifest.platforms[platform].label,) for platform in shown],
        entries=[
            [by_place[name, platform] for platform in shown]
            for name in dict.fromkeys(finding.claim_id for finding in own)
        ],
        alignment="left",
        remarks=[CERTAINTY, RULES, *_stand_ins(manifest)],
    )


def _between_platforms(manifest: Manifest, found: list[Finding]) -> Grid:
    between = [finding for finding in found if finding.claim.platforms]
    return Grid(
        name=f"{manifest.name}_between_platforms",
        title=f"{manifest.title} (between platforms)",
        caption=manifest.caption,
        row_names=("Claim", "Item", "The paper says", "Stated for", "Certainty", "Checked as"),
        rows=_labels(between),
        columns=[("Verdict",)],
        entries=[[_entry(finding)] for finding in between],
        alignment="left",
        remarks=[CERTAINTY, RULES],
    )


def _labels(found: list[Finding]) -> list[tuple[str, ...]]:
    claims = {finding.claim_id: finding.claim for finding in found}
    return [
        (name, claim.item, claim.says, claim.stated_for, claim.certainty, check_text(claim))
        for name, claim in claims.items()
    ]


def _entry(finding: Finding) -> GridEntry:
    """The verdict with its numbers; the notes below the table name missing cells and the reasons."""
    shown = [case for case in finding.cases if case.text]
    verdicts = [f"{case.verdict}, " if finding.others else "" for case in shown]
    labels = [f"{case.label}: " if case.label else "" for case in shown]
    texts = [f"{label}{verdict}{case.text}" for label, verdict, case in zip(labels, verdicts, shown, strict=True)]
    notes = _gaps([case.gap for case in finding.cases if case.gap])
    notes += [f"to tell: {case.remedy}" for case in finding.cases if case.remedy]
    if finding.verdict is not Verdict.NOT_MEASURED:
        notes += [flag for case in finding.cases for flag in case.flags]
    return GridEntry(": ".join(filter(None, (finding.verdict, "; ".join(texts)))), tuple(dict.fromkeys(notes)))


def _gaps(gaps: list[Gap]) -> list[str]:
    """One sentence per reason, with the cells but for those that reference results lack: nobody here measures these."""
    missing: dict[str, list[str]] = {}
    for gap in gaps:
        missing.setdefault(gap.reason, []).extend(gap.missing)
    told = {reason: f"{', '.join(dict.fromkeys(ids))} ({reason})" for reason, ids in missing.items()}
    return [f"not measured: {NOT_SHIPPED if reason == NOT_SHIPPED else text}" for reason, text in told.items()]


def _stand_ins(manifest: Manifest) -> list[str]:
    stand_ins: Mapping[str, list[str]] = manifest.layout["stand_ins"]
    return [
        f"{facts.label} runs {', '.join(stand_ins[platform])} in place of the paper's models."
        for platform, facts in manifest.platforms.items()
        if stand_ins[platform]
    ]


def _csv_rows(finding: Finding) -> Iterator[dict[str, Any]]:
    claim, check = finding.claim, finding.claim.check
    low, high = check.ends if isinstance(check, Expected) else (None, None)
    for case in finding.cases:
        found = case.evidence
        first, second = (*case.numbers, None, None)[:2]
        yield {
            "id": finding.claim_id, "item": claim.item, "stage": claim.stage, "stated_for": claim.stated_for,
            "certainty": claim.certainty, "source": claim.source, "says": claim.says, "check": check_text(claim),
            "quantity": getattr(check, "quantity", None), "platform": finding.platform, "case": case.label,
            "verdict": case.verdict.value, "unit": case.unit, **_ends("first", first), **_ends("second", second),
            **_ends("result", found.result if found else None), "expected_low": low, "expected_high": high,
            "numbers": case.text, "remedy": case.remedy,
            "runs": ";".join(map(str, found.runs)) if found else None,
            "starts": ";".join(map(str, found.starts)) if found else None,
            "basis": found.basis if found else None, "detectable": found.detectable if found else None,
            "reason": case.gap.reason if case.gap else None,
            "missing": ";".join(case.gap.missing) if case.gap else None,
            "flags": ";".join(case.flags), "keys": ";".join(filter(None, case.keys)),
        }  # fmt: skip


def _ends(name: str, number: Number | None) -> dict[str, float | None]:
    values = (number.value, number.low, number.high) if number else (None, None, None)
    return {f"{name}{end}": value for end, value in zip(NUMBER, values, strict=True)}
