"""Entry point of the rule ``import``: merge another clone's finished cells into the store."""

import argparse
import json
import sys
from pathlib import Path

from dissect.cells.study import load_study, published_paths
from dissect.results.exchange import ExchangeError, import_cells, read_export
from dissect.results.result import ResultError
from dissect.results.store import STORE_DIR, KeyCollision, Store


def main() -> None:
    """Check the whole file, add the runs that are missing here, and print their number."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--config", type=json.loads, default={}, help="settings of --config, as JSON")
    given = parser.parse_args().config
    file = load_study(Path.cwd(), given).catalog.root.file
    if file is None:
        sys.exit("llm-dissect: --config file: found nothing, expected the file to import: --config file=<path>")
    published = {key: [Path(path) for path in paths] for key, paths in published_paths(Path.cwd(), given).items()}
    try:
        shared = read_export(Path(file))
        merged = import_cells(shared, Store(STORE_DIR), published)
    except (ExchangeError, KeyCollision, ResultError, OSError) as error:
        sys.exit(f"llm-dissect: {error}")
    unused = sum(key not in published for key in shared)
    print(
        f"{file}: {len(shared)} cells; {merged.added} runs added, {merged.known} were here; "
        f"{unused} cells are of no table of this configuration"
    )


if __name__ == "__main__":
    main()
