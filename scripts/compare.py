"""Entry point of the rule ``compare``: two sets of cells side by side."""

import argparse
import json
import sys
from pathlib import Path

from dissect.config.catalog import load_catalog
from dissect.config.errors import ConfigError
from dissect.present.compare.comparison_text import differences_frame, lines_frame, page, terminal_text
from dissect.present.compare.pairs import compare
from dissect.present.compare.reasons import differences
from dissect.present.compare.sides import read_side
from dissect.present.tables.tidy import to_csv
from dissect.results.exchange import ExchangeError


def main() -> None:
    """Write the comparison, and print its summary and its place."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--config", type=json.loads, default={}, help="settings of --config, as JSON")
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    project, given = Path(), arguments.config
    try:
        catalog = load_catalog(project, given)
        left, right = (read_side(key, getattr(catalog.root, key), catalog, project, given) for key in ("left", "right"))
    except (ConfigError, ExchangeError) as error:
        sys.exit(f"llm-dissect: {error}")
    compared = compare(left, right, catalog.root.margin)
    found = differences(compared.pairs)
    folder = arguments.folder / f"{left.name}-vs-{right.name}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "compare.csv").write_text(to_csv(lines_frame(compared)), encoding="utf-8")
    (folder / "differences.csv").write_text(to_csv(differences_frame(compared, found)), encoding="utf-8")
    (folder / "compare.md").write_text(page(compared, found), encoding="utf-8")
    print(f"{terminal_text(compared, found)}\n{folder}/compare.md")


if __name__ == "__main__":
    main()
