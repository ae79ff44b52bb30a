"""A comparison as a page of tables and as CSV."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from dissect.present.compare.pairs import Compared, ComparedNumber, Pair, PairVerdict
from dissect.present.compare.reasons import Difference
from dissect.present.remeasure_command import MORE, remeasure
from dissect.present.tables.further_runs import FURTHER_RUNS, further_runs
from dissect.present.tables.grid import Grid, GridEntry
from dissect.present.tables.marks import flag_notes
from dissect.present.tables.render import markdown
from dissect.statistics.log_estimate import LEVEL
from dissect.statistics.numbers import Number, detectable_words, significant_decimals

ENDS = ("", "_low", "_high")
ENDS_OF_TWO = ("low", "high")
LINE_COLUMNS = (
    "left_id", "right_id", "point", "quantity",
    *(f"{side}{end}" for side in ("left", "right", "ratio") for end in ENDS),
    *(f"{side}_{run}_{end}" for side in ("left", "right") for run in ("next_run", "new_start") for end in ENDS_OF_TWO),
    "verdict", "basis", "detectable", "p_different", "p_equal", "left_runs", "right_runs", "left_starts",
    "right_starts", "left_status", "right_status", "left_flags", "right_flags", "left_key", "right_key",
)  # fmt: skip
DIFFERENCE_COLUMNS = ("field", "left", "right", "n_cells", "of", "cells")
ORDER = (PairVerdict.SLOWER, PairVerdict.FASTER, PairVerdict.UNCLEAR, PairVerdict.NONE)
SHOWN = 10
"""Most lines of one kind in a terminal."""
NAMED = 3
"""Most cells that a line names; the CSV names all."""


def lines_frame(compared: Compared) -> pd.DataFrame:
    """One row per number of a cell that is on both sides; a row without numbers where a side has none."""
    with_numbers = {id(line.pair) for line in compared.lines}
    rows = [_csv_line(line) for line in compared.lines]
    rows += [_csv_pair(pair) for pair in compared.pairs if id(pair) not in with_numbers]
    rows += [{"left_id": cell_id} for cell_id in compared.only_left]
    rows += [{"right_id": cell_id} for cell_id in compared.only_right]
    return pd.DataFrame(rows, columns=list(LINE_COLUMNS), dtype=object)


def differences_frame(compared: Compared, found: Sequence[Difference]) -> pd.DataFrame:
    """One row per field and pair of values."""
    rows = [
        (difference.field, difference.left, difference.right, len(difference.ids), len(compared.pairs),
         ";".join(difference.ids))
        for difference in found
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS), dtype=object)


def summary_text(compared: Compared) -> str:
    """Numbers of compared cells and of each verdict."""
    counts = Counter(line.verdict for line in compared.lines)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ORDER if counts[verdict]) or "none"
    return (
        f"{compared.right.name} against {compared.left.name}: {len(compared.pairs)} cells are on both sides, "
        f"{len(compared.only_left)} only left, {len(compared.only_right)} only right; "
        f"{len(compared.changed)} with another outcome\nnumbers: {told}"
    )


def terminal_text(compared: Compared, found: Sequence[Difference], suite: str = "") -> str:
    """The summary, changed outcomes and numbers, and what differs for all cells; the rest is on the page.

    ``suite`` has the cells of ``untold``, if it has to be named.
    """
    changed = [
        f"{line.verdict}: {_cell_name(line.pair)}: {_number_name(line)} × {_shown(_ratio(line), 3)}"
        for line in _sorted(compared.lines)
        if line.verdict in (PairVerdict.SLOWER, PairVerdict.FASTER)
    ]
    ended = [f"outcome changed: {_cell_name(pair)}: {' -> '.join(pair.outcomes)}" for pair in compared.changed]
    everywhere = [
        f"differs for all cells: {difference.field}: {difference.left} -> {difference.right}"
        for difference in found
        if len(difference.ids) == len(compared.pairs)
    ]
    remedy = _remedy(compared, suite, "")
    return "\n".join([summary_text(compared), *_cut(ended), *_cut(changed), *_cut(everywhere), *remedy])


def _cut(lines: Sequence[str]) -> list[str]:
    return [*lines[:SHOWN], *([f"  and {len(lines) - SHOWN} more on the page"] if len(lines) > SHOWN else [])]


def untold(compared: Compared) -> list[list[str]]:
    """Ids of the cells that cannot be told apart, by the machine that measures them: both sides, or each its own.

    Sides with other GPUs share no machine.
    """
    unclear = [line.pair for line in compared.lines if line.verdict is PairVerdict.UNCLEAR]
    gpus = ({getattr(pair, side).spec.hardware.gpu_model for pair in compared.pairs} for side in ("left", "right"))
    by_machine = [("left_id",), ("right_id",)] if set.isdisjoint(*gpus) else [("left_id", "right_id")]
    return [list(dict.fromkeys(getattr(pair, side) for pair in unclear for side in sides)) for sides in by_machine]


def _remedy(compared: Compared, suite: str, quote: str) -> list[str]:
    """What tells the cells apart that cannot be told: more runs of both sides on one start; no line if all are told.

    A command measures one set of cells. So no command measures both sides in shared rounds.
    """
    parts = untold(compared)
    if not any(parts):
        return []
    how = (
        "both sides on one machine without a restart in between"
        if len(parts) == 1
        else "each side in three starts of its own machine"
    )
    left_out = len({cell_id for ids in parts for cell_id in ids[SHOWN:]})
    rest = f" and {left_out} cells more" if left_out else ""
    commands = " and ".join(f"{quote}{remeasure(ids[:SHOWN], suite)} more={MORE}{quote}" for ids in parts)
    return [f"To tell, measure {how}: {commands}{rest}"]


def _sorted(lines: Sequence[ComparedNumber]) -> list[ComparedNumber]:
    """Lines in the order of their verdicts, those that need attention first."""
    return sorted(lines, key=lambda line: ORDER.index(line.verdict))


def page(compared: Compared, found: Sequence[Difference], suite: str = "") -> str:
    """Markdown page of numbers, changed outcomes, differing fields, and cells of one side only."""
    everywhere = [difference for difference in found if len(difference.ids) == len(compared.pairs)]
    somewhere = [difference for difference in found if len(difference.ids) < len(compared.pairs)]
    grids = [
        _numbers(compared),
        _outcomes(compared.changed),
        _fields("What differs for all cells", everywhere, compared),
        _fields("What differs for some cells", somewhere, compared),
    ]
    title = f"# {compared.right.name} against {compared.left.name}\n\n{summary_text(compared)}\n\n"
    alone = _alone("left", compared.only_left) + _alone("right", compared.only_right)
    remedy = "".join(f"\n{text}\n" for text in _remedy(compared, suite, "`"))
    return title + markdown([grid for grid in grids if grid.rows]) + remedy + alone


def _numbers(compared: Compared) -> Grid:
    lines = _sorted(compared.lines)
    margin = f"{100 * compared.margin:g} %"
    return Grid(
        name="compare",
        title="Numbers",
        caption=f"{compared.right.name} (right) against {compared.left.name} (left), with 95 % intervals.",
        row_names=("Cell", "Number"),
        rows=[(_cell_name(line.pair), _number_name(line)) for line in lines],
        columns=[("Left",), ("Right",), ("Right / left",), ("Verdict",), (FURTHER_RUNS,)],
        entries=[_entries(line) for line in lines],
        remarks=[
            f"faster, slower: the interval of the ratio excludes 1; no difference: it lies within {margin} of 1; at "
            f"most {100 * LEVEL:g} % of the verdicts of each kind are expected to be false. cannot tell: neither.",
            "Numbers are means over runs, of memory too, and the ratio is one of these means.",
            "Intervals are over runs and need two on one start, or three starts. For that of the ratio both sides must "
            "share these, unless the variance between starts is known; shared rounds or starts make it narrower. "
            "Detectable is the ratio that would have been told from 1 with 80 % power.",
        ],
    )


def _entries(line: ComparedNumber) -> list[GridEntry]:
    left, right = (flag_notes({"flags": ";".join(cell.flags)}) for cell in (line.pair.left, line.pair.right))
    unit = _unit_of(line)
    return [
        GridEntry(_scaled(line.left.number, unit), left),
        GridEntry(_scaled(line.right.number, unit), right),
        GridEntry(_shown(_ratio(line), 3)),
        GridEntry(line.verdict, (_basis(line),)),
        GridEntry(_further(line, unit)),
    ]


def _further(line: ComparedNumber, unit: tuple[str, float]) -> str:
    """Where further runs of both sides are expected; empty with one run of each."""
    sides = zip(("left", "right"), line.summaries, strict=True)
    told = {side: further_runs(found, lambda value: _scaled(Number(value), unit)) for side, found in sides}
    return "; ".join(f"{side}: {text}" for side, text in told.items() if text)


def _basis(line: ComparedNumber) -> str:
    """What a verdict rests on, in one sentence."""
    if line.judgement is None:
        return "the same runs"
    found = line.judgement.contrast
    parts = [f"runs {found.n_left} and {found.n_right}", found.words, detectable_words(line.judgement.detectable)]
    return "; ".join(filter(None, parts))


def _number_name(line: ComparedNumber) -> str:
    return f"{line.left.quantity} {line.left.point}".rstrip()


def _ratio(line: ComparedNumber) -> Number:
    """Right over left, with the interval that decides."""
    if line.judgement is None:
        return Number(1.0)
    return Number(line.judgement.ratio, line.judgement.low, line.judgement.high)


def _outcomes(changed: Sequence[Pair]) -> Grid:
    return Grid(
        name="outcomes",
        title="Outcomes that changed",
        caption="Cells with another outcome on the right.",
        row_names=("Cell",),
        rows=[(_cell_name(pair),) for pair in changed],
        columns=[("Left",), ("Right",)],
        entries=[
            [
                GridEntry(outcome, (cell.reason,) if cell.reason else ())
                for outcome, cell in zip(pair.outcomes, (pair.left, pair.right), strict=True)
            ]
            for pair in changed
        ],
        alignment="left",
    )


def _fields(title: str, found: Sequence[Difference], compared: Compared) -> Grid:
    return Grid(
        name="fields",
        title=title,
        caption="Candidates for a reason: that two things differ together does not prove that one causes the other.",
        row_names=("Field",),
        rows=[(difference.field,) for difference in found],
        columns=[("Left",), ("Right",), ("Cells",)],
        entries=[
            [
                GridEntry(difference.left),
                GridEntry(difference.right),
                GridEntry(_named(difference.ids, len(compared.pairs))),
            ]
            for difference in found
        ],
        alignment="left",
    )


def _named(ids: Sequence[str], of: int) -> str:
    if len(ids) == of:
        return f"all {of}"
    names = ", ".join(ids[:NAMED]) + (", ..." if len(ids) > NAMED else "")
    return f"{len(ids)} of {of}: {names}"


def _alone(side: str, ids: Sequence[str]) -> str:
    return f"\n**Only {side}**\n\n" + "".join(f"- `{cell_id}`\n" for cell_id in ids) if ids else ""


def _cell_name(pair: Pair) -> str:
    return pair.left_id if pair.left_id == pair.right_id else f"{pair.left_id} ({pair.right_id.split('/')[1]})"


def _shown(number: Number, digits: int = 4) -> str:
    """A number with its interval if it has one."""
    decimals = significant_decimals(number.value, digits) if number.value else 0
    ends = [f"{end:,.{decimals}f}" for end in (number.low, number.high) if end is not None]
    return f"{number.value:,.{decimals}f}" + (f" [{'–'.join(ends)}]" if ends else "")


def _scaled(number: Number, unit: tuple[str, float]) -> str:
    """A time in the unit of its line, or any other number unchanged."""
    name, factor = unit
    ends = (None if end is None else factor * end for end in (number.low, number.high))
    return f"{_shown(Number(factor * number.value, *ends))} {name}".rstrip()


def _unit_of(line: ComparedNumber) -> tuple[str, float]:
    """Unit and factor for both sides of a line."""
    if not line.left.quantity.endswith("_s") or line.left.quantity.endswith("_per_s"):
        return "", 1.0
    units = (("µs", 1e6), ("ms", 1e3), ("s", 1.0))
    return next((unit for unit in units if line.left.number.value * unit[1] < 1e3), units[-1])


def _csv_line(line: ComparedNumber) -> dict[str, object]:
    numbers = {"left": line.left.number, "right": line.right.number, "ratio": _ratio(line)}
    ends = {
        f"{name}{end}": value
        for name, number in numbers.items()
        for end, value in zip(ENDS, (number.value, number.low, number.high), strict=True)
    }
    found = line.judgement
    return _csv_pair(line.pair) | ends | {
        "point": line.left.point, "quantity": line.left.quantity, "verdict": line.verdict.value, "basis": _basis(line),
        "detectable": found and found.detectable, "p_different": found and found.p_different,
        "p_equal": found and found.p_equal, "left_starts": found and found.contrast.left_starts,
        "right_starts": found and found.contrast.right_starts,
        "left_runs": len(line.left.runs), "right_runs": len(line.right.runs),
        **_further_ends(line),
    }  # fmt: skip


def _further_ends(line: ComparedNumber) -> dict[str, float]:
    intervals = {
        f"{side}_{run}": interval
        for side, found in zip(("left", "right"), line.summaries, strict=True)
        for run, interval in (("next_run", found.next_run), ("new_start", found.new_start))
    }
    known = {name: interval for name, interval in intervals.items() if interval}
    return {f"{name}_{end}": getattr(interval, end) for name, interval in known.items() for end in ENDS_OF_TWO}


def _csv_pair(pair: Pair) -> dict[str, object]:
    row: dict[str, object] = {"left_id": pair.left_id, "right_id": pair.right_id}
    for side, cell, outcome in zip(("left", "right"), (pair.left, pair.right), pair.outcomes, strict=True):
        row |= {
            f"{side}_runs": len(cell.runs), f"{side}_status": outcome, f"{side}_flags": ";".join(cell.flags),
            f"{side}_key": cell.key,
        }  # fmt: skip
    return row
