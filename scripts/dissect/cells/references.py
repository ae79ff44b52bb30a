"""Reference results: cells measured elsewhere, shown beside this clone's own and never in their place.

A set is a folder below config/references/, read and written by ``dissect.results.reference_sets``:

    <set>/<cell id>/<key>.json    the runs of a cell, as a published file has them
                    <key>.tar.gz  their samples
    <set>/manifest.json  cells/   an unpacked export of version 1, as which earlier versions kept a set

Tables read copies of the texts in results/references/, whose times change only with their content.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dissect.cells.cell import Cell
from dissect.cells.cell_id import PARTS
from dissect.cells.exported import MANIFEST, ExportManifest
from dissect.cells.renamed import today
from dissect.cells.resolve import expand_named
from dissect.config.catalog import Catalog
from dissect.config.errors import ConfigError

SETS_DIR = "config/references"
REFERENCES_DIR = "results/references"


@dataclass(frozen=True)
class Reference:
    """One finished cell of a set of reference results."""

    set_name: str
    cell: Cell
    """The cell as this configuration names it, with the key and path of the reference."""


def sets_of(project: Path) -> dict[str, Path]:
    """Folders of all sets by name."""
    return {path.name: path for path in sorted((project / SETS_DIR).glob("*/"))}


def read_sets(project: Path) -> dict[str, dict[str, str]]:
    """Key -> readable id, as of today, of the cells of each set, with each id once: that of the highest protocol.

    Raises:
        ConfigError: the manifest of an unpacked export is invalid.
    """
    return {name: _newest(folder) for name, folder in sets_of(project).items()}


def cells_of_set(folder: Path) -> dict[str, str]:
    """Key -> id of the cells of a set, as it was written; reads no text.

    Raises:
        ConfigError: the manifest of an unpacked export is invalid, or of a version with several runs per cell.
    """
    if (folder / MANIFEST).exists():
        return {key: cell.id for key, cell in _manifest(folder / MANIFEST).cells.items()}
    texts = sorted(folder.glob(f"{'*/' * len(PARTS)}*.json"))
    return {path.stem: path.parent.relative_to(folder).as_posix() for path in texts}


def ids_of_today(folder: Path) -> dict[str, str]:
    """Key -> readable id of the cells of a set, in today's words.

    Raises:
        ConfigError: the manifest of an unpacked export is invalid, or of a version with several runs per cell.
    """
    return {key: today(cell_id, partial(_spec, folder, cell_id, key)) for key, cell_id in cells_of_set(folder).items()}


def reference_text(folder: Path, cell_id: str, key: str) -> Path:
    """Path of the text with the runs of a cell; in an unpacked export that of its one ``result.json``."""
    text = folder / cell_id / f"{key}.json"
    return text if text.exists() else folder / "cells" / key / "result.json"


def references_of(experiment: str, catalog: Catalog, sets: Mapping[str, Mapping[str, str]]) -> list[Reference]:
    """Reference cells of a table or figure, matched by their readable id.

    Suite and overrides are ignored: every reference result is shown.
    """
    every = replace(catalog, root=catalog.root.model_copy(update={"suite": "full"}))
    found = []
    for name, cells in sets.items():
        keys = {cell_id: key for key, cell_id in cells.items()}
        for cell in expand_named(experiment, every, keys.keys(), []):
            key = keys[cell.id]
            path = f"{REFERENCES_DIR}/{name}/{cell.id}/{key}.json"
            found.append(Reference(name, replace(cell, key=key, reference=path)))
    return found


def _newest(folder: Path) -> dict[str, str]:
    """Only the cell of the highest protocol where several have the same id."""
    stored, keys = cells_of_set(folder), dict[str, list[str]]()
    for key, cell_id in ids_of_today(folder).items():
        keys.setdefault(cell_id, []).append(key)

    def protocol(key: str) -> int:
        return int(_spec(folder, stored[key], key).get("protocol", 0))

    return {max(same, key=protocol) if len(same) > 1 else same[0]: cell_id for cell_id, same in keys.items()}


def _spec(folder: Path, cell_id: str, key: str) -> dict[str, Any]:
    """The spec of a cell of a set, as it was measured; empty if its text cannot be read, which is told later."""
    try:
        document = json.loads(reference_text(folder, cell_id, key).read_bytes())
        spec: dict[str, Any] = document.get("runs", [document])[0]["spec"]
    except (OSError, ValueError, LookupError):
        return {}
    return spec


def _manifest(path: Path) -> ExportManifest:
    name = path.parent.name
    where, remedy = f"{SETS_DIR}/{name}/{path.name}", f"snakemake references --config file=<its export> into={name}"
    try:
        manifest = ExportManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        what = ".".join(map(str, first["loc"])) or "(top level)"
        raise ConfigError(f"{where}: {what}: {first['msg']}; remove the folder, then {remedy}") from None
    if manifest.schema_version > 1:
        raise ConfigError(
            f"{where}: only exports of version 1 are unpacked to be a set; remove the folder, then {remedy}"
        )
    return manifest
