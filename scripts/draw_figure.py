"""Entry point of the rule ``draw_figure``: draw a figure from its tidy CSV."""

import argparse
from pathlib import Path

from dissect.cells.manifest import read_manifest
from dissect.config.catalog import PREDICTION
from dissect.config.layout import FigureLayout
from dissect.present.figures.against_measured import describe_prediction
from dissect.present.figures.describe import describe
from dissect.present.figures.draw import save
from dissect.present.tables.read_tidy import read_tidy


def main() -> None:
    """Describe once and draw in every format that is asked for."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("table", type=Path)
    for suffix in ("pdf", "svg", "png"):
        parser.add_argument(f"--{suffix}", type=Path)
    arguments = parser.parse_args()
    manifest = read_manifest(arguments.manifest)
    rows = read_tidy(arguments.table)
    if manifest.layout["kind"] == PREDICTION:
        described = describe_prediction(manifest, rows)
    else:
        described = describe(manifest, FigureLayout.model_validate(manifest.layout), rows)
    for path in filter(None, (arguments.pdf, arguments.svg, arguments.png)):
        save(described, path)


if __name__ == "__main__":
    main()
