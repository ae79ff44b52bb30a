"""Entry point of the rule ``export``: write finished cells into one file."""

import argparse
import json
import sys
from pathlib import Path

from dissect.cells.study import load_study
from dissect.results.exchange import DEFAULT_FILE, ExchangeError, check_replaceable, export_cells
from dissect.results.store import STORE_DIR, Store


def main() -> None:
    """Write the selected cells that have a run, and print their number."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--config", type=json.loads, default={}, help="settings of --config, as JSON")
    study = load_study(Path.cwd(), parser.parse_args().config)
    path = Path(study.catalog.root.file or DEFAULT_FILE)
    try:
        if not study.catalog.root.force:
            check_replaceable(path)
        cells, runs, missing = export_cells(study.selected, Store(STORE_DIR), path)
    except ExchangeError as error:
        sys.exit(f"llm-dissect: {error}")
    except OSError as error:
        sys.exit(f"llm-dissect: {path}: cannot be written: {error.strerror}")
    print(f"{path}: {cells} cells with {runs} runs; {missing} more have no run yet")


if __name__ == "__main__":
    main()
