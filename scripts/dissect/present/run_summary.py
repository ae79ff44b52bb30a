"""The last lines of a run: failed cells with their logs, and the tables that these keep from being built."""

import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dissect.cells.cell import Cell
from dissect.cells.manifest_files import rewritten
from dissect.cells.study import Study
from dissect.results.store import STORE_DIR, Failure, Store

SLURM_LOGS = Path("results/logs/slurm")
"""Slurm's logs as profiles/slurm sets them: rule_<rule>/<wildcards>_<key>/<job>.log."""
JOB_LOGS = Path("results/logs")
"""Logs of the cells' jobs outside the measurement: <cell>/<key>.log."""
_LAST_WORDS = re.compile(r"^\S+: failed: (.+)$", re.MULTILINE)


def say(*lines: str) -> None:
    """Print to standard error, beside Snakemake's messages."""
    for line in lines:
        print(line, file=sys.stderr)


def summarise(study: Study, alone: bool = True) -> None:
    """Print failed cells with their logs, and the tables that cannot be built without them.

    Exits with one sentence where another run changed what tables are made of; a run that knew of another from its
    beginning (not ``alone``) does not.
    """
    say(*summary_lines(study, Store(STORE_DIR), SLURM_LOGS, JOB_LOGS))
    if alone and (sentence := rewritten(study, Path.cwd())):
        sys.exit(f"llm-dissect: {sentence}")


def summary_lines(study: Study, store: Store, slurm_logs: Path, job_logs: Path) -> Iterator[str]:
    """Yield one line per failed cell, and one per table that it keeps from being built."""
    cells = {path: cell for path, cell in study.by_path.items() if not Path(path).exists()}
    failed = {path: failure for path, cell in cells.items() if (failure := store.entry(cell.key or "").failure())}
    jobs = {path: log for path, cell in cells.items() if (log := _slurm_log(cell, slurm_logs))}
    for path in (path for path in cells if path in failed or path in jobs):
        slurm_log = f"; Slurm's log: {jobs[path]}" if path in jobs else ""
        yield f"failed: {cells[path].id}: {_what_is_known(cells[path], failed.get(path), job_logs)}{slurm_log}"
    failed_cells = failed.keys() | jobs.keys()
    for name in (*study.wanted("table"), *study.wanted("figure")):
        missing = [cells[path].id for path in study.paths_of(name) if path in failed_cells]
        if missing:
            yield f"not built: {name} needs {', '.join(missing)}"


def _what_is_known(cell: Cell, failure: Failure | None, job_logs: Path) -> str:
    if failure is None:
        with suppress(OSError):  # as from a full disk, or from a Python without the libraries
            if said := _LAST_WORDS.findall((job_logs / cell.id / f"{cell.key}.log").read_text(errors="replace")):
                return str(said[-1])
        return "its job was killed, by the scheduler or with its node"
    where = f" in phase {failure.phase}" if failure.phase else ""
    return f"{failure.reason}{where} (attempt {failure.attempt}); log: {failure.log}"


def _slurm_log(cell: Cell, slurm_logs: Path) -> Path | None:
    """Slurm's log of the last job of a cell; None without one."""
    logs = slurm_logs.glob(f"rule_*/*_{cell.key}/*.log")
    return max(logs, key=lambda path: int(path.stem), default=None)
