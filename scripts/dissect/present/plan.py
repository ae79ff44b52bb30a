"""The plan of a run: every cell with its status, before anything is launched. Imports no torch."""

from pathlib import Path

import pandas as pd

from dissect.base.units import GIB
from dissect.cells.any_spec import parse_spec
from dissect.cells.cell import Cell
from dissect.cells.cell_id import PARTS
from dissect.cells.frameworks import state_bytes
from dissect.cells.resources import resources_of
from dissect.cells.spec import TrainingSpec
from dissect.cells.study import Study
from dissect.config.platform import Platform
from dissect.results.cell_runs import CellRuns, read_runs
from dissect.results.result import ResultError
from dissect.results.store import Store

REQUESTS = {"gpus": "gpu", "nodes": "nodes", "runtime_min": "runtime", "memory_mb": "mem_mb"}
"""Column -> resource requested from the batch system, per node (``cells/resources.py``)."""
COLUMNS = [*PARTS, "status", "reason", "wall_s", *REQUESTS, "key"]
TO_RUN = "to run"


def plan_table(study: Study, store: Store) -> pd.DataFrame:
    """One row per cell of the wanted tables and figures; ``wall_s`` is the wall time of a finished cell in seconds."""
    wanted = study.catalog.wanted_experiments
    cells = {cell.id: cell for name in wanted for cell in study.experiments[name]}
    platforms = study.catalog.platforms
    rows = [_row(cell, store, platforms[cell.platform]) for cell in cells.values()]
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object)


def plan_text(plan: pd.DataFrame) -> str:
    """Counts by stage, platform and status, estimates of the remaining time, and reasons."""
    counts = plan.groupby(["stage", "platform", "status"], sort=True).size().unstack(fill_value=0)
    waiting = plan[plan["status"] == TO_RUN]
    reasons = plan.loc[plan["reason"] != "", "status"] + ": " + plan["reason"]
    lines = [f"{count} x {reason}" for reason, count in reasons.value_counts(sort=False).items()]
    return "\n".join([counts.to_string(), "", f"{len(plan)} cells, {len(waiting)} to run", *_times(plan), *lines])


def _times(plan: pd.DataFrame) -> list[str]:
    """Estimates from the mean of the finished cells of the same stage and platform."""
    lines = []
    for (stage, platform), cells in plan.groupby(["stage", "platform"]):
        waiting, took = (cells["status"] == TO_RUN).sum(), cells["wall_s"].mean()
        if waiting and pd.notna(took):
            lines.append(f"{stage} on {platform}: about {waiting * took / 60:.0f} min for {waiting} cells")
        elif waiting:
            lines.append(f"{stage} on {platform}: unknown time for {waiting} cells, none is finished")
    return lines


def _row(cell: Cell, store: Store, platform: Platform) -> dict[str, object]:
    status, reason, wall_s = _status(cell, store)
    ids = {name: getattr(cell, name) for name in PARTS}
    asked = resources_of(cell, platform) if cell.canonical else {}
    requests = {column: asked.get(name) for column, name in REQUESTS.items()}
    return {**ids, "status": status, "reason": reason, "wall_s": wall_s, **requests, "key": cell.key or ""}


def _status(cell: Cell, store: Store) -> tuple[str, str, float | None]:
    """(Status, reason, wall time of a finished cell in seconds)."""
    if cell.path is None or cell.key is None or cell.canonical is None:
        return "unsupported", cell.unsupported or "", None
    try:
        runs = _runs(Path(cell.path), store, cell.key)
    except ResultError as error:
        return "broken", str(error), None
    if runs:
        return "cached", "", runs.newest.durations.total_s
    spec = parse_spec(cell.canonical)
    if isinstance(spec, TrainingSpec) and (needed := state_bytes(spec)) > spec.hardware.device_memory_bytes:
        return "will not fit", f"{cell.model} {cell.method}: states alone take {needed / GIB:.0f} GiB per GPU", None
    return TO_RUN, "", None


def _runs(path: Path, store: Store, key: str) -> CellRuns | None:
    """The published runs, or those of the store, or None.

    Raises:
        ResultError: the published file is broken, or all runs of the store are.
    """
    if path.exists():
        return read_runs(path)
    entry = store.entry(key)
    return entry.peek() or next((read_runs(run.path) for run in entry.run_files()), None)
