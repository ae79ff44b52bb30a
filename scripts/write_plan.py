"""Entry point of the rule ``plan``."""

import argparse
import json
from pathlib import Path

from dissect.cells.study import load_study
from dissect.present.plan import plan_table, plan_text
from dissect.present.tables.tidy import to_csv
from dissect.results.store import STORE_DIR, Store


def main() -> None:
    """Write the plan as CSV and print its summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=json.loads, default={}, help="settings of --config, as JSON")
    parser.add_argument("--csv", type=Path, required=True)
    arguments = parser.parse_args()
    plan = plan_table(load_study(Path.cwd(), arguments.config), Store(STORE_DIR))
    arguments.csv.parent.mkdir(parents=True, exist_ok=True)
    arguments.csv.write_text(to_csv(plan), encoding="utf-8")
    print(plan_text(plan))


if __name__ == "__main__":
    main()
