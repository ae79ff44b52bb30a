"""What ``snakemake prune`` says: the runs that go or would go, and what stays."""

from collections.abc import Collection, Sequence

from tabulate import tabulate

from dissect.base.units import MIB
from dissect.results.prune import Prunable

HEAD = ("cell", "key", "what", "measured (UTC)", "MiB", "")
KEPT = "stays: last run of a cell that this configuration wants"
LOCKED = "stays: a process measures the cell"


def prune_text(found: Sequence[Prunable], locked: Collection[str], removed: bool) -> str:
    """A line per run, and what is or would be removed; ``locked`` has keys of cells that are being measured."""
    lines = [
        (
            run.cell_id or "(not of this configuration)", run.key, run.what, f"{run.measured_at:%Y-%m-%d %H:%M}",
            f"{run.size / MIB:,.2f}", KEPT if run.kept else LOCKED if run.key in locked else "",
        )
        for run in found
    ]  # fmt: skip
    going = [run for run in found if not run.kept and run.key not in locked]
    size = sum(run.size for run in going)
    counted = f"{len(going)} runs of {len({run.key for run in going})} cells, {size:,} bytes"
    said = [tabulate(lines, HEAD, disable_numparse=True), ""] if lines else []
    said.append(f"removed: {counted}" if removed else f"would be removed: {counted}; nothing was: add really=true")
    if any(run.kept for run in found):
        said.append("Name a cell without wildcards, select='<cell>', to remove its last run as well.")
    return "\n".join(said) + "\n"
