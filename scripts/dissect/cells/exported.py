"""The table of contents of an export: of a file (``dissect.results.exchange``) or of a set of reference results."""

from typing import Final, Literal

from dissect.base.model import Model

SCHEMA_VERSION: Final = 1
MANIFEST = "manifest.json"


class ExportedCell(Model):
    """One cell of the file."""

    id: str
    """As the exporting clone names it, for the reader; paths come from the importing clone's configuration."""
    files: dict[str, str]
    """File name -> SHA-256."""


class ExportManifest(Model):
    """The table of contents."""

    schema_version: Literal[1] = SCHEMA_VERSION
    cells: dict[str, ExportedCell]
    """By key."""
