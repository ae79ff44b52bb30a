"""The manifest of an export: of a file (``dissect.results.exchange``) or of a set of reference results."""

from typing import Annotated, Final, Literal

from pydantic import Field

from dissect.base.model import Model

SCHEMA_VERSION: Final = 2
MANIFEST = "manifest.json"
_PART = "[A-Za-z0-9_+-][A-Za-z0-9_.+-]*"


class ExportedCell(Model):
    """One cell of an export."""

    id: Annotated[str, Field(pattern=f"^{_PART}(/{_PART}){{5}}$", max_length=500)]
    """Readable id of the cell in the exporting clone; the importing clone's configuration determines paths."""
    files: dict[str, str]
    """Files of the cell: path below its folder -> SHA-256."""


class ExportManifest(Model):
    """The manifest of an export."""

    schema_version: Literal[1, 2] = SCHEMA_VERSION
    cells: dict[str, ExportedCell]
    """Exported cells by key."""
