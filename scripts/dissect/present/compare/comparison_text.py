"""A comparison as a page of tables and as CSV."""

import math
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from dissect.present.compare.pairs import LEVEL, Compared, ComparedNumber, Pair, PairVerdict
from dissect.present.compare.readings import MeasuredRun
from dissect.present.compare.reasons import Difference
from dissect.present.tables.grid import Grid, GridEntry
from dissect.present.tables.marks import flag_notes
from dissect.present.tables.render import markdown
from dissect.statistics.numbers import Number, significant_decimals

ENDS = ("", "_low", "_high")
LINE_COLUMNS = (
    "left_id", "right_id", "point", "quantity",
    *(f"{side}{end}" for side in ("left", "right", "ratio") for end in ENDS),
    "verdict", "chance_if_equal", "chance_if_different", "left_spread", "right_spread", "left_runs", "right_runs",
    "left_status", "right_status", "left_flags", "right_flags", "left_keys", "right_keys",
)  # fmt: skip
OF_LOADS = (
    "Requests of one load wait for one another, so samples of a server say less than as many independent ones: send "
    "the load several times before a small difference counts."
)
DIFFERENCE_COLUMNS = ("field", "left", "right", "n_cells", "of", "cells")
ORDER = (PairVerdict.SLOWER, PairVerdict.FASTER, PairVerdict.UNCLEAR, PairVerdict.NONE, PairVerdict.UNTESTED)
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


def terminal_text(compared: Compared, found: Sequence[Difference]) -> str:
    """The summary, changed outcomes and numbers, and what differs for all cells; the rest is on the page."""
    changed = [
        f"{line.verdict}: {_cell_name(line.pair)}: {line.quantity} {line.point}".rstrip()
        + f" × {_shown(line.ratio, 3)}"
        for line in _sorted(compared.lines)
        if line.verdict in (PairVerdict.SLOWER, PairVerdict.FASTER)
    ]
    ended = [f"outcome changed: {_cell_name(pair)}: {' -> '.join(pair.outcomes)}" for pair in compared.changed]
    everywhere = [
        f"differs for all cells: {difference.field}: {difference.left} -> {difference.right}"
        for difference in found
        if len(difference.ids) == len(compared.pairs)
    ]
    return "\n".join([summary_text(compared), *_cut(ended), *_cut(changed), *_cut(everywhere)])


def _cut(lines: Sequence[str]) -> list[str]:
    return [*lines[:SHOWN], *([f"  and {len(lines) - SHOWN} more on the page"] if len(lines) > SHOWN else [])]


def _sorted(lines: Sequence[ComparedNumber]) -> list[ComparedNumber]:
    """Lines in the order of their verdicts, those that need attention first."""
    return sorted(lines, key=lambda line: ORDER.index(line.verdict))


def page(compared: Compared, found: Sequence[Difference]) -> str:
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
    return title + markdown([grid for grid in grids if grid.rows]) + alone


def _numbers(compared: Compared) -> Grid:
    lines = _sorted(compared.lines)
    margin = f"{100 * compared.margin:g} %"
    return Grid(
        name="compare",
        title="Numbers",
        caption=f"{compared.right.name} (right) against {compared.left.name} (left), with 95 % intervals.",
        row_names=("Cell", "Number"),
        rows=[(_cell_name(line.pair), f"{line.quantity} {line.point}".strip()) for line in lines],
        columns=[("Left",), ("Right",), ("Right / left",), ("Verdict",)],
        entries=[_entries(line) for line in lines],
        remarks=[
            f"faster, slower: further apart than {margin}; at most {100 * LEVEL:g} % of these verdicts are expected "
            f"to be false. no difference: within {margin} of each other, with the same error rate. "
            "cannot tell: neither.",
            "not tested: a run gives a single number, so its variation is unknown.",
            "Intervals are combined by their outer ends. They cover variation within a run; variation between runs "
            "only if a side has several, whose intervals are joined.",
            *[OF_LOADS] * any(line.pair.left_id.startswith("serve/") for line in lines),
        ],
    )


def _entries(line: ComparedNumber) -> list[GridEntry]:
    left, right = ([*dict.fromkeys(flag for run in runs for flag in run.result.flags)] for runs in _runs(line.pair))
    spread = [
        f"repeated measurements lie {100 * share:.1f} % apart" if share is not None else "" for share in line.spreads
    ]
    notes = [
        (*flag_notes({"flags": ";".join(flags)}), *filter(None, [text]))
        for flags, text in zip((left, right), spread, strict=True)
    ]
    return [
        GridEntry(_scaled(line.left, _unit_of(line)), notes[0]),
        GridEntry(_scaled(line.right, _unit_of(line)), notes[1]),
        GridEntry(_shown(line.ratio, 3)),
        GridEntry(line.verdict, ("the same measurement",) if line.pair.is_same else ()),
    ]


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
                GridEntry(outcome, tuple(dict.fromkeys(run.result.reason for run in runs if run.result.reason)))
                for outcome, runs in zip(pair.outcomes, _runs(pair), strict=True)
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


def _runs(pair: Pair) -> tuple[Sequence[MeasuredRun], Sequence[MeasuredRun]]:
    return pair.left, pair.right


def _shown(number: Number, digits: int = 4) -> str:
    """A number with its interval; an end that the samples do not give is open."""
    decimals = significant_decimals(number.value, digits) if number.value else 0
    low, high = (_end(end, decimals) for end in (number.low, number.high))
    interval = f" [{low}–{high}]" if number.low != number.high else ""
    return f"{number.value:,.{decimals}f}{interval}"


def _end(value: float, decimals: int) -> str:
    return "…" if math.isinf(value) or value == 0 else f"{value:,.{decimals}f}"


def _scaled(number: Number, unit: tuple[str, float]) -> str:
    """A time in the unit of its line, or any other number unchanged."""
    name, factor = unit
    return f"{_shown(Number(*(factor * end for end in (number.value, number.low, number.high))))} {name}".rstrip()


def _unit_of(line: ComparedNumber) -> tuple[str, float]:
    """Unit and factor for both sides of a line."""
    if not line.quantity.endswith("_s") or line.quantity.endswith("_per_s"):
        return "", 1.0
    units = (("µs", 1e6), ("ms", 1e3), ("s", 1.0))
    return next((unit for unit in units if line.left.value * unit[1] < 1e3), units[-1])


def _csv_line(line: ComparedNumber) -> dict[str, object]:
    numbers = {"left": line.left, "right": line.right, "ratio": line.ratio}
    ends = {
        f"{name}{end}": value
        for name, number in numbers.items()
        for end, value in zip(ENDS, (number.value, number.low, number.high), strict=True)
    }
    chances = line.chances or (None, None)
    return _csv_pair(line.pair) | ends | {
        "point": line.point, "quantity": line.quantity, "verdict": line.verdict.value, "chance_if_equal": chances[0],
        "chance_if_different": chances[1], "left_spread": line.spreads[0], "right_spread": line.spreads[1],
    }  # fmt: skip


def _csv_pair(pair: Pair) -> dict[str, object]:
    row: dict[str, object] = {"left_id": pair.left_id, "right_id": pair.right_id}
    for side, runs, outcome in zip(("left", "right"), _runs(pair), pair.outcomes, strict=True):
        row |= {
            f"{side}_runs": len(runs), f"{side}_status": outcome,
            f"{side}_flags": ";".join(dict.fromkeys(flag for run in runs for flag in run.result.flags)),
            f"{side}_keys": ";".join(run.result.key for run in runs),
        }  # fmt: skip
    return row
