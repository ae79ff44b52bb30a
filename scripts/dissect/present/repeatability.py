"""How far the numbers of measured cells repeat: of runs in a store, or in a set of reference results."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from dissect.present.compare.readings import readings_of
from dissect.results.cell_runs import CellRuns
from dissect.statistics.repeats import Repeats, repeats
from dissect.statistics.run_values import RunValue
from dissect.statistics.shares import share_of

MAIN = ("tokens_per_s", "device_time_s", "unprofiled_time_s", "output_tokens_per_s", "call_time_s")
"""Numbers by which cells are judged here: throughput and times, no memory."""
ALL_CELLS = "all cells"
_SHARES = ("known_start", "new_start", "differences")


@dataclass(frozen=True)
class Repeated:
    """One number of one cell in each of its runs, oldest first."""

    cell: str
    quantity: str
    start_class: str
    """Class of the cell within which starts differ alike."""
    runs: Sequence[RunValue]


def repeated_of(cells: Iterable[tuple[str, CellRuns]]) -> list[Repeated]:
    """The main numbers of cells that have several runs; of an operator that of its last point, the largest size.

    The anchors of the runs come as numbers of their cell.
    """
    found = {
        (cell_id, number.quantity): number
        for cell_id, runs in cells
        for number in _numbers_of(cell_id, runs)
        if len(number.runs) > 1
    }
    return list(found.values())


def _numbers_of(cell_id: str, runs: CellRuns) -> Iterator[Repeated]:
    for (_, quantity), reading in readings_of(cell_id, runs).items():
        if quantity in MAIN:
            number = Repeated(cell_id, quantity, reading.start_class, reading.runs)
            yield number
            yield from _anchors_beside(number, runs)


def _anchors_beside(number: Repeated, runs: CellRuns) -> Iterator[Repeated]:
    """The anchors of the runs of a number, of its slowest rank each; nothing where a run has none."""
    known = [run.provenance.anchors if run.provenance else [] for run in runs.runs]
    for quantity in ("launches_per_s", "matmul_tflops"):
        slowest = [min((getattr(anchor, quantity) for anchor in of_run), default=None) for of_run in known]
        measured = [replace(run, value=v) for run, v in zip(number.runs, slowest, strict=True) if v is not None]
        if len(measured) == len(known):
            yield replace(number, quantity=f"anchor_{quantity}", runs=measured)


def repeatability(numbers: Iterable[Repeated]) -> list[dict[str, Any]]:
    """A row per number: its standard deviations, and how often intervals and verdicts of the cell itself are right.

    After the cells comes a row per quantity that counts the trials of all cells.
    """
    classes: dict[tuple[str, str], list[Repeated]] = {}
    for number in numbers:
        classes.setdefault((number.quantity, number.start_class), []).append(number)
    found = [
        (number, of)
        for several in classes.values()
        for number, of in zip(several, repeats([each.runs for each in several]), strict=True)
    ]
    rows = [
        {"cell": number.cell, "quantity": number.quantity, "runs": of.runs, "starts": of.starts}
        | {"sd_within_percent": _percent(of.sd_within), "df_within": of.df_within}
        | {"sd_between_percent": _percent(of.sd_between), "df_between": of.df_between}
        | _shares([of])
        for number, of in found
    ]
    for quantity in dict.fromkeys(number.quantity for number, _ in found):
        every = [of for number, of in found if number.quantity == quantity]
        rows.append({"cell": ALL_CELLS, "quantity": quantity, "runs": sum(of.runs for of in every), **_shares(every)})
    return rows


def run_rows(numbers: Iterable[Repeated]) -> list[dict[str, Any]]:
    """A row per number and run, from which ``from_rows`` reads the numbers again."""
    return [
        {"cell": number.cell, "quantity": number.quantity, "start_class": number.start_class, **asdict(run)}
        for number in numbers
        for run in number.runs
    ]


def from_rows(rows: Iterable[Mapping[str, str]]) -> list[Repeated]:
    """The numbers of rows as a CSV has them."""
    found: dict[tuple[str, str, str], list[RunValue]] = {}
    for row in rows:
        run = RunValue(float(row["value"]), row["start"] or None, row["round"] or None)
        found.setdefault((row["cell"], row["quantity"], row["start_class"]), []).append(run)
    return [Repeated(*named, runs) for named, runs in found.items()]


def _shares(of: Sequence[Repeats]) -> dict[str, Any]:
    """The trials of several cells as shares, each with its interval."""
    trials = {name: [trial for each in of for trial in getattr(each, name)] for name in _SHARES}
    # An interval that misses a new start misses all of its runs.
    shares = {name: share_of(several, together=name == "new_start") for name, several in trials.items()}
    return {f"{name}_{field}": value for name, share in shares.items() for field, value in asdict(share).items()}


def _percent(sd: float | None) -> float | None:
    return None if sd is None else 100 * sd
