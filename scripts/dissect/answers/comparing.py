"""The answer to ``compare``: two sets of cells side by side."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dissect.cells.study import Study, suite_of
from dissect.config.catalog import Catalog
from dissect.config.errors import ConfigError
from dissect.config.question import OneOrMore
from dissect.present.compare.comparison_text import (
    SHOWN,
    differences_frame,
    lines_frame,
    page,
    terminal_text,
    untold,
)
from dissect.present.compare.pairs import Compared, compare, nearest_platforms
from dissect.present.compare.reasons import differences
from dissect.present.compare.sides import read_side, sources_of
from dissect.present.remeasure_command import OF_REFERENCES
from dissect.present.tables.frames import to_csv
from dissect.results.atomic import write_atomically
from dissect.results.unwritable import as_far_as_writable

FOLDER = "results/compare"


def answer(study: Study, project: Path, given: Mapping[str, Any]) -> str:
    """Write the comparison where that may be written; its summary and its place.

    Raises:
        ConfigError: a side is missing or unknown.
        ExchangeError: the file of a side is no export.
    """
    catalog = study.catalog
    sides = {key: getattr(catalog.root, key) for key in ("left", "right")}
    for key, named in sides.items():  # both before either is read
        sources_of(key, named, catalog, project)
    left, right = (read_side(key, named, catalog, project, given) for key, named in sides.items())
    compared = compare(left, right, catalog.root.margin)
    found = differences(compared.pairs)
    suite = _suite(compared, catalog, given)
    folder = f"{FOLDER}/{left.name}-vs-{right.name}"
    files = {
        "compare.csv": to_csv(lines_frame(compared)),
        "differences.csv": to_csv(differences_frame(compared, found)),
        "compare.md": page(compared, found, suite),
    }
    said = [terminal_text(compared, found, suite), *_of_platforms(compared, sides, catalog)]
    with as_far_as_writable("the comparison is not written"):
        for name, text in files.items():
            write_atomically(project / folder / name, text.encode())
        said.append(f"{folder}/compare.md")
    return "\n".join(said)


def _of_platforms(compared: Compared, sides: Mapping[str, OneOrMore], catalog: Catalog) -> Iterator[str]:
    """What compares two platforms, where sides of several platforms have no cell in common.

    An export may be of platforms that this clone does not know, which a side cannot name.
    """
    if compared.pairs or not (platforms := nearest_platforms(compared.left, compared.right, catalog.platforms)):
        return
    if all(isinstance(named, str) for named in sides.values()):
        words = (
            f"{key}={of}@{str(named).split('@')[-1]}" for (key, named), of in zip(sides.items(), platforms, strict=True)
        )
        yield f"Their platforms differ, and cells match across platforms where each side has one: {' '.join(words)}"


def _suite(compared: Compared, catalog: Catalog, given: Mapping[str, Any]) -> str:
    """The suite that the command for the cells of ``untold`` has to name; empty if that is config.yaml's, or none."""
    if compared.left.has_references or compared.right.has_references:
        return OF_REFERENCES
    with suppress(ConfigError):  # overrides that do not fit the other suite
        named = [cell_id for ids in untold(compared) for cell_id in ids[:SHOWN]]
        found = suite_of(named, catalog)
        if found and (found != catalog.root.suite or "suite" in given):
            return found
    return ""
