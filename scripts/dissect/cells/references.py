"""Reference results: cells measured elsewhere, shown beside this clone's own and never in their place.

A set is a folder below config/references/ with an unpacked export (``dissect.results.exchange``). Tables read copies
in results/references/, which are made when the workflow is parsed.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from dissect.cells.cell import Cell
from dissect.cells.cell_id import CellId
from dissect.cells.exported import MANIFEST, ExportManifest
from dissect.cells.resolve import expand
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


def publish_references(project: Path) -> None:
    """Make results/references/ a copy of the sets in config/references/."""
    published = {path.name: path for path in (project / REFERENCES_DIR).glob("*")}
    for name, manifest in _contents(project).items():
        copy = published.pop(name, project / REFERENCES_DIR / name)
        if not (copy / MANIFEST).exists() or (copy / MANIFEST).read_bytes() != manifest.read_bytes():
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(manifest.parent, copy)
    for stale in published.values():
        shutil.rmtree(stale)


def read_sets(project: Path) -> dict[str, ExportManifest]:
    """Manifests of all sets by name, with each id once.

    Raises:
        ConfigError: a manifest is invalid.
    """
    return {name: _newest(_read(path, project), path.parent) for name, path in _contents(project).items()}


def references_of(experiment: str, catalog: Catalog, sets: Mapping[str, ExportManifest]) -> list[Reference]:
    """Reference cells of a table or figure, matched by their readable id.

    Suite and overrides are ignored: every reference result is shown.
    """
    every = replace(catalog, root=catalog.root.model_copy(update={"suite": "full"}))
    found = []
    for name, manifest in sets.items():
        keys = {cell.id: key for key, cell in manifest.cells.items()}
        platforms = {CellId.parse(cell.id).platform for cell in manifest.cells.values()}
        for cell in expand(experiment, every, [p for p in catalog.platforms if p in platforms], []):
            if key := keys.get(cell.id):
                path = f"{REFERENCES_DIR}/{name}/cells/{key}/result.json"
                found.append(Reference(name, replace(cell, key=key, unsupported=None, reference=path)))
    return found


def _contents(project: Path) -> dict[str, Path]:
    return {path.parent.name: path for path in sorted((project / SETS_DIR).glob(f"*/{MANIFEST}"))}


def _newest(manifest: ExportManifest, folder: Path) -> ExportManifest:
    """The manifest with only the cell of the highest protocol where several have the same id."""

    def protocol(key: str) -> int:
        return int(json.loads((folder / "cells" / key / "spec.json").read_bytes())["protocol"])

    keys: dict[str, list[str]] = {}
    for key, cell in manifest.cells.items():
        keys.setdefault(cell.id, []).append(key)
    shown = [max(same, key=protocol) if len(same) > 1 else same[0] for same in keys.values()]
    return manifest.model_copy(update={"cells": {key: manifest.cells[key] for key in shown}})


def _read(path: Path, project: Path) -> ExportManifest:
    try:
        return ExportManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{path.relative_to(project)}: {'.'.join(map(str, first['loc'])) or '(top level)'}"
        raise ConfigError(f"{where}: {first['msg']}; unpack the set's export again") from None
