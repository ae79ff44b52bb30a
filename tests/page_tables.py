"""Tables of documentation pages: compared with what tests compute, or with UPDATE_GOLDEN=1 written."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
PREDICTION, GPUS = DOCS / "prediction.md", DOCS / "gpus.md"


def block(page: Path, name: str, header: str, rows: Iterable[Iterable[object]]) -> None:
    """Compare a table with the one that follows the comment ``numbers: <name>`` in the page."""
    lines = [header, re.sub(r"[^|]+", " --- ", header), *("| " + " | ".join(map(str, row)) + " |" for row in rows)]
    told, text = f"<!-- numbers: {name} -->\n\n", page.read_text(encoding="utf-8")
    before, found, rest = text.partition(told)
    assert found, f"{page} has no table {name}"
    old, blank, after = rest.partition("\n\n")
    if os.environ.get("UPDATE_GOLDEN") == "1":
        page.write_text(before + told + "\n".join(lines) + blank + after, encoding="utf-8")
    else:
        assert old.splitlines() == lines, "look at it, then run with UPDATE_GOLDEN=1"
