"""The verdicts on the paper's claims as lines for a terminal."""

from collections import Counter
from collections.abc import Sequence

from tabulate import tabulate

from dissect.config.claims import CLAIMS
from dissect.present.claims.claims_table import check_text
from dissect.present.claims.decide import Finding
from dissect.statistics.numbers import Verdict

ORDER = (Verdict.FAILS, Verdict.HOLDS, Verdict.UNCLEAR)
"""Verdicts with a line per claim, those that surprise first."""
NAMED = 2
"""Most cases of another verdict than that of their claim that are named."""
TOLD = ("verdict", "claim", "item", "on", "checked as")


def claims_text(found: Sequence[Finding]) -> str:
    """How many claims have which verdict, and a line for each that is measured."""
    counts = Counter(finding.verdict for finding in found)
    counted = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)
    rows = [
        (verdict.value, finding.claim_id, finding.claim.item, finding.platform, _checked(finding))
        for verdict in ORDER
        for finding in found
        if finding.verdict is verdict
    ]
    lines = [f"{len(found)} verdicts on the paper's claims: {counted}."]
    lines += ["", tabulate(rows, TOLD, tablefmt="plain", disable_numparse=True)] if rows else []
    return "\n".join([*lines, "", f"Numbers, and what is missing: results/tables/{CLAIMS}.md, which `all` writes."])


def _checked(finding: Finding) -> str:
    """What is checked, and the cases with another verdict than that over all."""
    cases: dict[Verdict, list[str]] = {}
    for case in finding.others:
        cases.setdefault(case.verdict, []).append(case.label)
    named = {
        verdict: " and ".join(labels) if len(labels) <= NAMED else f"{len(labels)} of {len(finding.cases)} cases"
        for verdict, labels in cases.items()
    }
    others = "; ".join(f"{verdict} for {which}" for verdict, which in named.items())
    return check_text(finding.claim) + (f" ({others})" if others else "")
