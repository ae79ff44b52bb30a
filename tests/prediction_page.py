"""Tables of docs/prediction.md: compared with what tests compute, or with UPDATE_GOLDEN=1 written."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs/prediction.md"


def block(name: str, header: str, rows: Iterable[Iterable[object]]) -> None:
    """Compare a table with the one that follows the comment ``numbers: <name>`` in the page."""
    lines = [header, re.sub(r"[^|]+", " --- ", header), *("| " + " | ".join(map(str, row)) + " |" for row in rows)]
    told, page = f"<!-- numbers: {name} -->\n\n", PAGE.read_text(encoding="utf-8")
    before, found, rest = page.partition(told)
    assert found, f"{PAGE} has no table {name}"
    old, blank, after = rest.partition("\n\n")
    if os.environ.get("UPDATE_GOLDEN") == "1":
        PAGE.write_text(before + told + "\n".join(lines) + blank + after, encoding="utf-8")
    else:
        assert old.splitlines() == lines, "look at it, then run with UPDATE_GOLDEN=1"
