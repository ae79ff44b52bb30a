"""Marks that tables and figures print in place of a missing number."""

from collections.abc import Mapping
from typing import Any

from dissect.base.outcome import Flag, Status
from dissect.present.tables.grid import GridEntry

NOT_AVAILABLE = "n/a"
BOUND_NOTE = (
    "<: not even the lowest value that was tried held; ≥: the highest that was tried still held; "
    "a to b: a held and b did not, and the search ended before they were close"
)
UNPLANNED = GridEntry("not planned", ("not planned: the experiment has no such cell",))
NOT_SHIPPED = "the reference results have no such cell"
UNSHIPPED = GridEntry("not measured", (f"not measured: {NOT_SHIPPED}",))


def absent(platform: str) -> GridEntry:
    """Mark for a missing cell; ``<platform>@<set>`` is a platform of a set of reference results."""
    return UNSHIPPED if "@" in platform else UNPLANNED


def short_mark(status: str) -> str:
    """Mark of an outcome without numbers, in one word."""
    return "OOM" if status in (Status.OOM, Status.SKIPPED_OOM) else status


def mark(row: Mapping[str, Any]) -> GridEntry:
    """The outcome of a tidy row without numbers; its reason is the footnote unless the mark says it all."""
    status, phase = row["status"], row["phase"]
    where = "skipped" if status == Status.SKIPPED_OOM else phase
    text = short_mark(status) + (f" ({where})" if where else "")
    says_it_all = status == Status.OOM and phase
    return GridEntry(text, () if says_it_all else (f"{text}: {row['reason'] or 'no reason recorded'}",))


def flag_notes(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Footnotes on a number from its flags."""
    return tuple(Flag(name).meaning for name in str(row["flags"] or "").split(";") if name)
