"""The answer to ``compare``: two sets of cells side by side."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dissect.cells.study import Study, suite_of
from dissect.present.compare.comparison_text import (
    SHOWN,
    differences_frame,
    lines_frame,
    page,
    terminal_text,
    untold,
)
from dissect.present.compare.pairs import compare
from dissect.present.compare.reasons import differences
from dissect.present.compare.sides import read_side
from dissect.present.tables.frames import to_csv
from dissect.results.atomic import write_atomically

FOLDER = "results/compare"


def answer(study: Study, project: Path, given: Mapping[str, Any]) -> str:
    """Write the comparison; its summary and its place.

    Raises:
        ConfigError: a side is missing or unknown.
        ExchangeError: the file of a side is no export.
    """
    catalog = study.catalog
    left, right = (read_side(key, getattr(catalog.root, key), catalog, project, given) for key in ("left", "right"))
    compared = compare(left, right, catalog.root.margin)
    found = differences(compared.pairs)
    suite = suite_of(untold(compared)[:SHOWN], project)
    folder = f"{FOLDER}/{left.name}-vs-{right.name}"
    files = {
        "compare.csv": to_csv(lines_frame(compared)),
        "differences.csv": to_csv(differences_frame(compared, found)),
        "compare.md": page(compared, found, suite),
    }
    for name, text in files.items():
        write_atomically(project / folder / name, text.encode())
    return f"{terminal_text(compared, found, suite)}\n{folder}/compare.md"
