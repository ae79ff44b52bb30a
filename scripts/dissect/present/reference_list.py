"""The list of reference results: what each set has of each cell, and where it comes from."""

from collections.abc import Iterable, Mapping, Sequence

from tabulate import tabulate

from dissect.cells.globs import Selection
from dissect.results.cell_runs import CellRuns
from dissect.results.exchange import Shared

HEAD = ("set", "cell", "key", "protocol", "status", "runs", "starts", "machine", "measured (UTC)", "commit")


def reference_list(sets: Mapping[str, Mapping[str, Shared]], selection: Selection) -> str:
    """A line per selected cell, and a line that counts them."""
    found = [
        (name, cell)
        for name, cells in sets.items()
        for cell in sorted(cells.values(), key=lambda each: each.id)
        if selection.matches(cell.id)
    ]
    lines = [(name, cell.id, *_facts(cell.runs)) for name, cell in found]
    runs = sum(len(cell.runs.runs) for _, cell in found)
    counted = f"{len(found)} cells with {runs} runs in {len({name for name, _ in found})} sets"
    return f"{tabulate(lines, HEAD, disable_numparse=True)}\n\n{counted}\n" if found else f"{counted}\n"


def _facts(cell: CellRuns) -> Sequence[str | int]:
    launched = [run.provenance for run in cell.runs if run.provenance]
    starts = {found.start.id if found.start else None for found in launched}
    dates = sorted(found.measured_at[:10] for found in launched)
    return (
        cell.key,
        cell.spec.protocol,
        cell.status.value,
        len(cell.runs),
        "unknown" if None in starts else len(starts),
        _each(found.machine for found in launched),
        " to ".join(dict.fromkeys([dates[0], dates[-1]])) if dates else "",
        _each((found.git_commit or "unknown")[:7] for found in launched),
    )


def _each(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))
