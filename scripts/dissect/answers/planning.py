"""The answer to ``plan``: what would run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dissect.cells.study import Study
from dissect.present.plan import plan_table, plan_text
from dissect.present.plan_costs import has_price
from dissect.present.run_times import measured_times
from dissect.present.tables.frames import to_csv
from dissect.results.atomic import write_atomically
from dissect.results.store import STORE_DIR, Store
from dissect.results.unwritable import as_far_as_writable

CSV = "results/plan.csv"


def answer(study: Study, project: Path, given: Mapping[str, Any]) -> str:
    """Write the plan as CSV where that may be written; its summary. With ``more`` it is the plan of ``remeasure``."""
    root = study.catalog.root
    more = root.more if "more" in given else None
    predicts = root.times or root.rates or has_price(study.catalog) or more
    plan = plan_table(study, Store(project / STORE_DIR), measured_times(study, project) if predicts else None, more)
    with as_far_as_writable("it is not written"):
        write_atomically(project / CSV, to_csv(plan).encode())
    return plan_text(plan, study.catalog, more)
