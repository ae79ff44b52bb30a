"""What docs/trust.md says of measured runs, from the files that have them.

    PYTHONPATH=scripts python tests/measured_repeats.py

prints the tables and figures of the page.
"""

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from dissect.cells.references import SETS_DIR, sets_of
from dissect.present.repeatability import ALL_CELLS, Repeated, from_rows, repeatability, repeated_of
from dissect.results.reference_sets import read_set
from dissect.statistics.judge import Judgement, RatioVerdict, judge
from dissect.statistics.log_estimate import LogEstimate
from dissect.statistics.repeats import SIDE
from dissect.statistics.run_values import RunValue

ROOT = Path(__file__).parents[1]
CPU = ROOT / "tests/data/repeatability_cpu.csv"
HEAD = (
    "cell", "number", "runs", "starts", "sd of runs", "sd of starts", "predicted on a known start",
    "predicted on a new start", "called different from itself",
)  # fmt: skip
DIFFERENT = (RatioVerdict.ABOVE, RatioVerdict.BELOW)
SDS, SIDES = (0.01, 0.02, 0.05, 0.2), (3, 5, 10)
"""Standard deviations of runs, and rounds, whose power is shown."""


def cpu() -> list[Repeated]:
    """The runs that were measured on a CPU."""
    with CPU.open() as file:
        return from_rows(csv.DictReader(file))


def references() -> dict[str, list[Repeated]]:
    """Set of reference results -> the numbers of its cells that have several runs; without sets that have none."""
    found = {
        name: repeated_of((cell.id, cell.runs) for cell in read_set(folder).values())
        for name, folder in sets_of(ROOT).items()
    }
    return {name: numbers for name, numbers in found.items() if numbers}


def table(numbers: Iterable[Repeated]) -> list[str]:
    """The repeatability of numbers as lines of a Markdown table."""
    shown = [*map(_line, repeatability(numbers))]
    return [_row(HEAD), _row(["---", "---", *["---:"] * (len(HEAD) - 2)]), *map(_row, shown)]


def share(row: dict[str, Any], name: str) -> str:
    """How many trials succeeded, with the interval of the share: ``97 of 100 (91 to 99 %)``."""
    if not row[f"{name}_trials"]:
        return "–"
    low, high = (f"{100 * row[f'{name}_{end}']:.0f}" for end in ("low", "high"))
    return f"{row[f'{name}_successes']} of {row[f'{name}_trials']} ({low} to {high} %)"


def blocks() -> list[Judgement]:
    """Every six runs of one cell on the CPU, the first three against the last three, as if there were no rounds."""
    return [judge(runs[:SIDE], runs[SIDE:]) for runs in _sixes()]


def alternating() -> list[Judgement]:
    """The same runs, every other one against the runs between."""
    return [judge(runs[::2], runs[1::2]) for runs in _sixes()]


def called_different(found: Sequence[Judgement]) -> int:
    """How many of the verdicts are faster or slower."""
    return sum(one.verdict in DIFFERENT for one in found)


def power_table() -> list[str]:
    """The ratio that is told from 1 in 80 of 100 cases, by the runs of a side in shared rounds and how they differ."""
    head = ["runs differ by", *(f"{side} rounds" for side in SIDES)]
    lines = [[f"{100 * sd:.0f} %", *(f"{_detectable(sd, side):.2f}" for side in SIDES)] for sd in SDS]
    return [_row(head), _row(["---:"] * len(head)), *map(_row, lines)]


def figures() -> dict[str, str]:
    """Sentences of the page with what is counted, by what they tell."""
    numbers = cpu()
    rows = repeatability(numbers)
    pairs = alternating()
    hits, trials = (sum(r[f"known_start_{x}"] for r in rows if r["cell"] == ALL_CELLS) for x in ("successes", "trials"))
    spread = max(max(run.value for run in n.runs) / min(run.value for run in n.runs) for n in numbers)
    single = [cell for cell in read_set(ROOT / SETS_DIR / "h200").values() if len(cell.runs.runs) == 1]
    detectable = median(pair.detectable for pair in pairs if pair.detectable)
    return {
        "runs": f"{sum(len(n.runs) for n in numbers):,} runs of {len(numbers)} cells",
        "acceptance": f"Of {len(pairs)} disjoint pairs {called_different(pairs)} were called different",
        "blocks": f"{called_different(blocks())} of {len(pairs)} pairs",
        "coverage": f"{hits} of {trials} runs ({100 * hits / trials:.1f} %)",
        "spread": f"{spread:.2g} times as long",
        "h200": f"the {len(single)} cells of H200 were measured once each",
        "power": f"a factor of {detectable:.2g}",
    }


def _sixes() -> Iterator[Sequence[RunValue]]:
    for number in cpu():
        runs = number.runs
        yield from (runs[first : first + 2 * SIDE] for first in range(0, len(runs) - 2 * SIDE + 1, 2 * SIDE))


def _detectable(sd: float, side: int) -> float:
    return LogEstimate(0, sd * math.sqrt(2 / side), side - 1).detectable()


def _line(row: dict[str, Any]) -> list[str]:
    name = row["cell"] if row["cell"] == ALL_CELLS else f"`{row['cell']}`"
    shares = [share(row, each) for each in ("known_start", "new_start", "differences")]
    spreads = [_spread(row, "within"), _spread(row, "between")]
    return [name, f"`{row['quantity']}`", str(row["runs"]), str(row.get("starts", "")), *spreads, *shares]


def _spread(row: dict[str, Any], of: str) -> str:
    sd = row.get(f"sd_{of}_percent")
    return "–" if sd is None else f"{sd:.1f} % ({row[f'df_{of}']:.0f} df)"


def _row(fields: Iterable[str]) -> str:
    return f"| {' | '.join(fields)} |"


def main() -> None:
    print(*table(cpu()), "", *power_table(), "", *(f"{k}: {v}" for k, v in figures().items()), sep="\n")
    for name, numbers in references().items():
        print("", name, *table(numbers), sep="\n")


if __name__ == "__main__":
    main()
