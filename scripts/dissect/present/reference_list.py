"""The list of reference results: what each set has, or each selected cell, and where it comes from."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tabulate import tabulate

from dissect.cells.globs import Selection
from dissect.results.exchange import Shared
from dissect.results.result import Provenance, Result

HEAD = ("set", "cells", "outcomes", "runs", "starts", "machine", "measured (UTC)", "commit")
HEAD_OF_CELLS = ("set", "cell", "key", "protocol", "status", *HEAD[3:])


def reference_list(sets: Mapping[str, Mapping[str, Shared]], selection: Selection) -> str:
    """A line per set or, of what is selected, a line per cell; and a line that counts them."""
    found = {
        name: sorted((cell for cell in cells.values() if selection.matches(cell.id)), key=lambda each: each.id)
        for name, cells in sets.items()
    }
    head = HEAD_OF_CELLS if selection.globs else HEAD
    lines = [line for name, cells in found.items() for line in (_cells if selection.globs else _set)(name, cells)]
    every = [cell for cells in found.values() for cell in cells]
    counted = f"{len(every)} cells with {len(_runs(every))} runs in {sum(map(bool, found.values()))} sets"
    below = counted if selection.globs else f"{counted}; select='*/*/*/*/*/*' lists the cells"
    return f"{tabulate(lines, head, disable_numparse=True)}\n\n{below}\n" if every else f"{counted}\n"


def _set(name: str, cells: Sequence[Shared]) -> Iterable[Sequence[str | int]]:
    """The one line of a set."""
    outcomes = Counter(cell.runs.status.value for cell in cells)
    yield name, len(cells), ", ".join(f"{count} {status}" for status, count in outcomes.most_common()), *_facts(cells)


def _cells(name: str, cells: Sequence[Shared]) -> Iterable[Sequence[str | int]]:
    """The lines of selected cells of a set."""
    for cell in cells:
        yield name, cell.id, cell.runs.key, cell.runs.spec.protocol, cell.runs.status.value, *_facts([cell])


def _facts(cells: Sequence[Shared]) -> Sequence[str | int]:
    """Runs of these cells, and where, when and with what they were measured."""
    launched: list[Provenance] = [run.provenance for run in _runs(cells) if run.provenance]
    starts = {found.start.id if found.start else None for found in launched}
    dates = sorted(found.measured_at[:10] for found in launched)
    return (
        len(_runs(cells)),
        "unknown" if None in starts else len(starts),
        _each(found.machine for found in launched),
        " to ".join(dict.fromkeys([dates[0], dates[-1]])) if dates else "",
        _each((found.git_commit or "unknown")[:7] for found in launched),
    )


def _runs(cells: Iterable[Shared]) -> list[Result]:
    return [run for cell in cells for run in cell.runs.runs]


def _each(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))
