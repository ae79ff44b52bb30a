"""Entry point of the rule ``draw_figure``: draw a figure from its tidy CSV."""

import argparse
from pathlib import Path

from dissect.cells.manifest import read_manifest
from dissect.config.layout import FigureLayout
from dissect.present.figures.describe import describe
from dissect.present.figures.draw import read_tidy, save


def main() -> None:
    """Describe once and draw in every format that is asked for."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("table", type=Path)
    for suffix in ("pdf", "svg", "png"):
        parser.add_argument(f"--{suffix}", type=Path)
    arguments = parser.parse_args()
    manifest = read_manifest(arguments.manifest)
    described = describe(manifest, FigureLayout.model_validate(manifest.layout), read_tidy(arguments.table))
    for path in filter(None, (arguments.pdf, arguments.svg, arguments.png)):
        save(described, path)


if __name__ == "__main__":
    main()
