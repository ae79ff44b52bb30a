"""The last lines of a run: what each outcome means for the tables, and where to look."""

import sys
from collections.abc import Iterator
from pathlib import Path

from dissect.cells.cell import Cell
from dissect.cells.manifest_files import rewritten
from dissect.cells.study import Study
from dissect.results.store import STORE_DIR, Failure, Store

SLURM_LOGS = Path("results/logs/slurm")
"""As profiles/slurm says: rule_<rule>/<wildcards>_<key>/<job>.log."""


def say(*lines: str) -> None:
    """Print for people, beside what Snakemake says."""
    for line in lines:
        print(line, file=sys.stderr)


def summarise(study: Study, alone: bool = True) -> None:
    """Print failed cells with their logs, and the tables that they keep from being built.

    Ends the process with one sentence where another run changed what tables are made of; one that knew of another
    from its beginning (not ``alone``) made none.
    """
    say(*summary_lines(study, Store(STORE_DIR), SLURM_LOGS))
    if alone and (sentence := rewritten(study, Path.cwd())):
        sys.exit(f"llm-dissect: {sentence}")


def summary_lines(study: Study, store: Store, slurm_logs: Path) -> Iterator[str]:
    """One line per failed cell and per table that is missing for it; none if no cell failed."""
    cells = {path: cell for path, cell in study.by_path.items() if not Path(path).exists()}
    failed = {path: failure for path, cell in cells.items() if (failure := store.entry(cell.key or "").failure())}
    jobs = {path: log for path, cell in cells.items() if (log := _slurm_log(cell, slurm_logs))}
    for path in (path for path in cells if path in failed or path in jobs):
        slurm_log = f"; Slurm's log: {jobs[path]}" if path in jobs else ""
        yield f"failed: {cells[path].id}: {_what_is_known(failed.get(path))}{slurm_log}"
    failed_cells = failed.keys() | jobs.keys()
    for name in (*study.wanted("table"), *study.wanted("figure")):
        missing = [cells[path].id for path in study.paths_of(name) if path in failed_cells]
        if missing:
            yield f"not built: {name} needs {', '.join(missing)}"


def _what_is_known(failure: Failure | None) -> str:
    if failure is None:
        return "its job ended before it could say why, by the scheduler or with its node"
    where = f" in phase {failure.phase}" if failure.phase else ""
    return f"{failure.reason}{where} (attempt {failure.attempt}); log: {failure.log}"


def _slurm_log(cell: Cell, slurm_logs: Path) -> Path | None:
    """The log of the last job that was started for a cell."""
    logs = slurm_logs.glob(f"rule_*/*_{cell.key}/*.log")
    return max(logs, key=lambda path: int(path.stem), default=None)
