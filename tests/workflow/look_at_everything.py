"""What a copy of the sources makes of the project: ``look_at_everything.py <scripts> <project>`` prints it as JSON.

Every key of the study, how many reference results are read, and a digest of every table that shows them.
"""

import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])

from dissect.cells.study import load_study
from dissect.present.claims.claims_table import build_claims
from dissect.present.tables.table import build_table
from dissect.results.result import read_result

EVERYTHING = {"suite": "full", "tables": "all", "figures": "all"}


def main() -> None:
    project = Path(sys.argv[2])
    study = load_study(project, {**EVERYTHING, "platforms": ["cpu", "a800"]})
    shown = load_study(project, {**EVERYTHING, "platforms": []})
    tables = {name: build_table(shown.manifest(name), project) for name in shown.catalog.wanted_experiments}
    tables["claims"] = build_claims(shown.claims, project)
    seen = {
        "keys": {cell.id: cell.key for cells in study.experiments.values() for cell in cells},
        "results": len([read_result(path) for path in project.glob("results/references/*/cells/*/result.json")]),
        "tables": {
            name: hashlib.sha256("".join((table.csv, table.markdown, table.latex, table.html)).encode()).hexdigest()
            for name, table in tables.items()
        },
    }
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
