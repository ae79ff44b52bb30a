"""The verdicts on the paper's claims, as the page shows them beside what they are about."""

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dissect.statistics.numbers import Verdict, together

_RANGE = re.compile(r"(Table|Figure)s? (\w+)(?: to (\w+))?")


@dataclass(frozen=True)
class ShownCase:
    """One check of a claim."""

    label: str
    verdict: str
    numbers: str
    reason: str
    flags: Sequence[str]
    keys: Sequence[str]
    remedy: str
    """Command that measures what a clear verdict needs; empty unless the verdict is unclear."""


@dataclass(frozen=True)
class Ruling:
    """What became of a claim on one platform."""

    platform: str
    label: str
    verdict: str
    cases: Sequence[ShownCase]


@dataclass(frozen=True)
class PageClaim:
    """A statement of the paper and its verdicts."""

    id: str
    item: str
    """Table or figure of the paper that it is about."""
    stage: str
    says: str
    stated_for: str
    check: str
    repeats: bool
    """Whether another claim about the same says the same, so that only the check tells them apart."""
    rulings: Sequence[Ruling]

    @property
    def decided(self) -> Sequence[Ruling]:
        """Those with a verdict."""
        return [ruling for ruling in self.rulings if ruling.verdict != Verdict.NOT_MEASURED]

    @property
    def open(self) -> Sequence[Ruling]:
        """Those that lack a measurement."""
        return [ruling for ruling in self.rulings if ruling.verdict == Verdict.NOT_MEASURED]

    def is_about(self, title: str) -> bool:
        """Whether a table or figure with this title is the one, or one of those, that it is about."""
        return bool(set(_items(self.item)) & set(_items(title.partition(":")[0])))


def read_claims(path: Path, labels: Mapping[str, str]) -> list[PageClaim]:
    """The claims of the CSV in its order; ``labels`` names platforms."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    by_id: dict[str, dict[str, list[dict[str, str]]]] = {}
    for row in rows:
        by_id.setdefault(row["id"], {}).setdefault(row["platform"], []).append(row)
    said = Counter((row["item"], row["says"]) for row in {row["id"]: row for row in rows}.values())
    return [_claim(name, platforms, labels, said) for name, platforms in by_id.items()]


def _claim(
    name: str,
    platforms: Mapping[str, list[dict[str, str]]],
    labels: Mapping[str, str],
    said: Mapping[tuple[str, str], int],
) -> PageClaim:
    first = next(iter(platforms.values()))[0]
    repeats = said[first["item"], first["says"]] > 1
    rulings = [_ruling(platform, rows, labels) for platform, rows in platforms.items()]
    fields = {field: first[field] for field in ("item", "stage", "says", "stated_for", "check")}
    return PageClaim(id=name, repeats=repeats, rulings=rulings, **fields)


def _ruling(platform: str, rows: Sequence[Mapping[str, str]], labels: Mapping[str, str]) -> Ruling:
    cases = [
        ShownCase(
            label=row["case"], verdict=row["verdict"], numbers=row["numbers"], reason=row["reason"],
            flags=_split(row["flags"]), keys=_split(row["keys"]), remedy=row["remedy"],
        )
        for row in rows
    ]  # fmt: skip
    label = ", ".join(labels.get(part, part) for part in platform.split(", "))
    return Ruling(platform, label, str(together([Verdict(case.verdict) for case in cases])), _gathered(cases))


def _gathered(cases: Sequence[ShownCase]) -> list[ShownCase]:
    """Decided cases, then those that were not measured: one per reason, with the names of all that share it."""
    gaps: dict[str, list[ShownCase]] = {}
    for case in cases:
        if not case.numbers:
            gaps.setdefault(case.reason, []).append(case)
    joined = [replace(same[0], label="; ".join(filter(None, (case.label for case in same)))) for same in gaps.values()]
    return [case for case in cases if case.numbers] + joined


def _split(field: str) -> list[str]:
    return [part for part in field.split(";") if part]


def _items(text: str) -> list[str]:
    """``Figures 7 to 9`` -> Figure 7, Figure 8, Figure 9."""
    found = _RANGE.match(text)
    if not found:
        return []
    kind, first, last = found.groups()
    numbers = range(int(first), int(last) + 1) if last and first.isdigit() and last.isdigit() else [first]
    return [f"{kind} {number}" for number in numbers]
