"""The manifest of an export: of a file (``dissect.results.exchange``) or of a set of reference results."""

from typing import Final, Literal

from dissect.base.model import Model

SCHEMA_VERSION: Final = 2
MANIFEST = "manifest.json"


class ExportedCell(Model):
    """One cell of an export."""

    id: str
    """Readable id of the cell in the exporting clone; the importing clone's configuration determines paths."""
    files: dict[str, str]
    """Files of the cell: path below its folder -> SHA-256."""


class ExportManifest(Model):
    """The manifest of an export."""

    schema_version: Literal[1, 2] = SCHEMA_VERSION
    cells: dict[str, ExportedCell]
    """Exported cells by key."""
