"""Entry point of the rule ``write_table``: merge the results of a manifest's cells into a table."""

import argparse
import sys
from pathlib import Path

from dissect.cells.manifest import read_manifest
from dissect.cells.places import LayoutError
from dissect.config.catalog import PREDICTION
from dissect.config.claims import CLAIMS
from dissect.present.claims.claims_table import build_claims
from dissect.present.tables.predicted_cells import build_prediction
from dissect.present.tables.table import build_table


def main() -> None:
    """Write the tidy CSV, and the Markdown, LaTeX and HTML that are asked for; paths are relative to the project."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--md", type=Path)
    parser.add_argument("--tex", type=Path)
    parser.add_argument("--html", type=Path)
    arguments = parser.parse_args()
    manifest = read_manifest(arguments.manifest)
    derived = {CLAIMS: build_claims, PREDICTION: build_prediction}
    build = derived.get(manifest.layout["kind"], build_table)
    try:
        table = build(manifest, Path())
    except LayoutError as error:
        sys.exit(f"llm-dissect: {error}")
    forms = {"csv": table.csv, "md": table.markdown, "tex": table.latex, "html": table.html}
    for form, text in forms.items():
        if path := getattr(arguments, form):
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
