"""What docs/trust.md says of measured runs, from the files that have them.

    PYTHONPATH=scripts python tests/measured_repeats.py

prints the tables and figures of the page.
"""

import csv
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from dissect.base.outcome import Flag
from dissect.cells.references import SETS_DIR, sets_of
from dissect.metrics.profile import ProfileMetrics
from dissect.present.repeatability import ALL_CELLS, Repeated, from_rows, repeatability, repeated_of
from dissect.results.exchange import Shared
from dissect.results.reference_sets import read_set
from dissect.statistics.between_starts import RESOLUTION, pool_starts
from dissect.statistics.judge import Judgement, RatioVerdict, RunPair, judge, judge_all
from dissect.statistics.log_estimate import LogEstimate
from dissect.statistics.repeats import SIDE
from dissect.statistics.run_values import RunValue
from dissect.statistics.summarise import predict

ROOT = Path(__file__).parents[1]
CPU = ROOT / "tests/data/repeatability_cpu.csv"
FORKED = ROOT / "tests/data/forked_h200.csv"
ROUNDS = "h200-rounds"
HEAD = (
    "cell", "number", "runs", "starts", "sd of runs", "sd of starts", "predicted on a known start",
    "predicted on a new start", "called different from itself",
)  # fmt: skip
SUMMARY_HEAD = "set", "cells that are", "number", "cells", "runs", "sd of runs", "sd of starts", *HEAD[-3:]
FORKED_HEAD = "cell", "rounds", "step, forked ÷ new", "verdict", "computing, forked ÷ new", "verdict"
COST_HEAD = "cell", "new process", "forked"
COLD_IMPORTS_S = 10.0
"""The first imports on a machine read the libraries from its disk, and take longer than this."""
SHARES = "known_start", "new_start", "differences"
STARTS = "first", "second", "third", "fourth", "fifth", "sixth"
DIFFERENT = (RatioVerdict.ABOVE, RatioVerdict.BELOW)
SDS, SIDES = (0.01, 0.02, 0.05, 0.2), (3, 5, 10)
"""Standard deviations of runs, and rounds, whose power is shown."""


def cpu() -> list[Repeated]:
    """The runs that were measured on a CPU."""
    with CPU.open() as file:
        return from_rows(csv.DictReader(file))


@cache
def references() -> dict[str, list[Repeated]]:
    """Set of reference results that has cells with several runs -> their numbers, without anchors."""
    found = {name: repeated_of((cell.id, cell.runs) for cell in _cells(name)) for name in sets_of(ROOT)}
    numbers = {name: [each for each in of if not each.quantity.startswith("anchor_")] for name, of in found.items()}
    return {name: of for name, of in numbers.items() if of}


@cache
def _cells(name: str) -> list[Shared]:
    """Cells of a set of reference results."""
    return [*read_set(ROOT / SETS_DIR / name).values()]


def table(numbers: Iterable[Repeated]) -> list[str]:
    """The repeatability of numbers as lines of a Markdown table."""
    shown = [*map(_line, repeatability(numbers))]
    return [_row(HEAD), _row(["---", "---", *["---:"] * (len(HEAD) - 2)]), *map(_row, shown)]


def summary() -> list[str]:
    """The repeatability of every set but ``ROUNDS``, a line per number and class of cells."""
    lines = []
    for name, numbers in references().items():
        classes: dict[tuple[str, str], list[Repeated]] = {}
        for number in numbers:
            classes.setdefault((number.start_class.partition(" on ")[0], number.quantity), []).append(number)
        for (kind, quantity), of in sorted(classes.items()) if name != ROUNDS else ():
            rows = repeatability(of)
            spreads = [_range(rows, end) for end in ("within", "between")]
            shares = [share(rows[-1], each) for each in SHARES]
            lines.append([f"`{name}`", kind, f"`{quantity}`", str(len(of)), str(rows[-1]["runs"]), *spreads, *shares])
    return [_row(SUMMARY_HEAD), _row(["---"] * 3 + ["---:"] * (len(SUMMARY_HEAD) - 3)), *map(_row, lines)]


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


def forked_table() -> list[str]:
    """Step and computing time of forked runs ÷ runs in new processes, in the rounds that both share."""
    with FORKED.open() as file:
        rows = list(csv.DictReader(file))
    cells = list(dict.fromkeys(row["cell"] for row in rows))
    step, compute = (judge_all([_ways(rows, cell, time) for cell in cells]) for time in ("step_s", "compute_s"))
    lines = [
        [cell, str(one.contrast.shared_rounds), *_verdict(one), *_verdict(other)]
        for cell, one, other in zip(cells, step, compute, strict=True)
    ]
    return [_row(FORKED_HEAD), _row(["---", "---:", "---:", "---", "---:", "---"]), *map(_row, lines)]


def cost_table() -> list[str]:
    """Median seconds of a run, in a new process and forked, without runs that read the libraries from disk."""
    with FORKED.open() as file:
        rows = [row for row in csv.DictReader(file) if not _cold(row)]
    lines = [
        [cell, *(f"{median(_seconds(rows, cell, way)):.0f} s" for way in ("new", "forked"))]
        for cell in dict.fromkeys(row["cell"] for row in rows)
    ]
    return [_row(COST_HEAD), _row(["---", "---:", "---:"]), *map(_row, lines)]


def _cold(row: dict[str, str]) -> bool:
    """Whether a run read the libraries from disk."""
    return float(row["imports_s"]) >= COLD_IMPORTS_S


def _seconds(rows: Sequence[dict[str, str]], cell: str, way: str) -> list[float]:
    return [float(row["total_s"]) for row in rows if (row["cell"], row["way"]) == (cell, way)]


@cache
def figures() -> dict[str, str]:
    """Sentences of the page with what is counted, by what they tell."""
    return (
        _cpu_figures()
        | _gpu_figures()
        | _one_gpu_figures()
        | _pace_figures()
        | _set_figures()
        | _server_figures()
        | _cost_figures()
    )


def _cpu_figures() -> dict[str, str]:
    numbers = cpu()
    rows = repeatability(numbers)
    pairs = alternating()
    hits, trials = (sum(r[f"known_start_{x}"] for r in rows if r["cell"] == ALL_CELLS) for x in ("successes", "trials"))
    detectable = median(pair.detectable for pair in pairs if pair.detectable)
    return {
        "runs": f"{sum(len(n.runs) for n in numbers):,} runs of {len(numbers)} cells",
        "acceptance": f"Of {len(pairs)} disjoint pairs {called_different(pairs)} were called different",
        "blocks": f"{called_different(blocks())} of {len(pairs)} pairs",
        "coverage": f"{hits} of {trials} runs ({100 * hits / trials:.1f} %)",
        "spread": f"{max(map(_spread_of, numbers)):.2g} times as long",
        "power": f"a factor of {detectable:.2g}",
    }


def _gpu_figures() -> dict[str, str]:
    numbers = references()[ROUNDS]
    rows = repeatability(numbers)
    speed, device = ([r for r in rows if r["quantity"] == name] for name in ("tokens_per_s", "device_time_s"))
    speeds = [number for number in numbers if number.quantity == "tokens_per_s"]
    single = [cell for cell in _cells("h200") if len(cell.runs.runs) == 1]
    [batch_4] = [cell.runs.runs for cell in _cells(ROUNDS) if "-b4-" in cell.id]
    bound = sum(Flag.LAUNCH_BOUND in run.flags for run in batch_4)
    return {
        "gpu_runs": f"{speed[-1]['runs']} runs of {len(speeds)} cells",
        "gpu_speed": f"by {_range(speed, 'within')} within a start (throughput, standard deviation)",
        "gpu_spread": f"{max(map(_spread_of, speeds)):.2g} times as long",
        "gpu_bound": f"Megatron-LM at batch 4 in {bound} of its {len(batch_4)} runs",
        "gpu_device": f"by {_range(device, 'within')} within a start and by {_range(device, 'between')} between starts",
        "gpu_known": f"{_hits(speed, 'known_start')} by throughput and {_hits(device, 'known_start')} by device time",
        "gpu_new": f"{_hits(speed, 'new_start')} by throughput and {_hits(device, 'new_start')} by device time",
        "gpu_width": f"a factor of {_width_of_new(speeds):.2g}",
        "gpu_pairs": f"{_hits(speed, 'differences')} by throughput and {_hits(device, 'differences')} by device time",
        "gpu_steps": f"take {_seconds_of_steps(ROUNDS)} s",
        "h200": f"The {len(single)} cells of H200 in `config/references/h200/` were measured once each",
    }


def _one_gpu_figures() -> dict[str, str]:
    rows = repeatability(references()["h200-x1"])
    device, speed = ([r for r in rows if r["quantity"] == name] for name in ("device_time_s", "tokens_per_s"))
    return {"one_gpu": f"by {_range(device, 'within')} within the first start, throughput by {_range(speed, 'within')}"}


def _set_figures() -> dict[str, str]:
    """The largest standard deviations over the cells of all sets but ``ROUNDS``, in percent."""
    rows = [row for name, of in references().items() if name != ROUNDS for row in repeatability(of)]

    def largest(quantity: str, of: str) -> str:
        sds = [row.get(f"sd_{of}_percent") or 0 for row in rows if row["quantity"] == quantity]
        return f"{max(sds):.1f} %"

    device = [largest("device_time_s", of) for of in ("within", "between")]
    return {
        "sets_device": f"within {device[0]} within a start, and {device[1]} between starts",
        "sets_speed": f"starts differ by up to {largest('tokens_per_s', 'between')}",
    }


def _pace_figures() -> dict[str, str]:
    """Launches per second and steps of the profiles on one GPU, in the first two rounds and in the last two."""
    runs = [run for cell in _cells("h200-x1") for run in cell.runs.runs if isinstance(run.metrics, ProfileMetrics)]
    told = {}
    for when, rounds in {"before": (1, 2), "after": (4, 5)}.items():
        found = [run for run in runs if run.round and run.round.number in rounds]
        steps = [run.metrics.training.step_time_s.median for run in found if isinstance(run.metrics, ProfileMetrics)]
        rates = [anchor.launches_per_s / 1000 for run in found if run.provenance for anchor in run.provenance.anchors]
        launches = f"{min(rates):.0f} to {max(rates):.0f} thousand kernels a second"
        told[f"pace_{when}"] = f"{launches}, and steps took {min(steps):.3f} to {max(steps):.3f} s"
    return told


def _server_figures() -> dict[str, str]:
    """How many servers ran at once on each start, the starts in the order of their first run."""
    found = sorted(
        (run.provenance.measured_at, run.provenance.start.boot_id, run.provenance.other_processes)
        for cell in _cells("h200-servers")
        for run in cell.runs.runs
        if run.provenance and run.provenance.start
    )
    most = defaultdict[str, int](int)
    for _, boot, others in found:
        beside = re.search(r"other cells had (\d+) GPUs", others)
        most[boot] = max(most[boot], 1 + int(beside[1] if beside else 0))
    shared = {start: servers for start, servers in zip(STARTS, most.values(), strict=True) if servers > 1}
    assert list(shared.values()) == [4, 2, 2]
    four, *two = shared
    told = f"four servers at once on the {four} start, two on the {' and the '.join(two)}, one on the others"
    return {"servers": told}


def _cost_figures() -> dict[str, str]:
    with FORKED.open() as file:
        rows = list(csv.DictReader(file))
    counts = Counter((row["cell"], row["way"]) for row in rows if not _cold(row)).values()
    cold = [float(row["total_s"]) for row in rows if _cold(row)]
    return {
        "cost_runs": f"with {min(counts)} to {max(counts)} runs each",
        "cost_cold": f"took {' and '.join(f'{seconds:.0f}' for seconds in cold)} s",
    }


def _seconds_of_steps(name: str) -> str:
    """Warm-up, window and trace: the median of traced runs, in the cell with the shortest and with the longest."""
    cells = ([run.durations for run in cell.runs.runs] for cell in _cells(name))
    found = [median(d.warmup_s + d.window_s + d.trace_s for d in runs if d.trace_s) for runs in cells]
    return f"{min(found):.1f} to {max(found):.1f}"


def _width_of_new(cells: Sequence[Repeated]) -> float:
    """Upper ÷ lower end of the prediction interval for a start that was left out, in the median cell and start."""
    found = []
    for start in dict.fromkeys(run.start for number in cells for run in number.runs):
        others = [[run for run in number.runs if run.start != start] for number in cells]
        intervals = (predict(runs, start, pool_starts(others)) for runs in others)
        found += [interval.high / interval.low for interval in intervals if interval]
    return median(found)


def _hits(rows: Sequence[dict[str, Any]], name: str) -> str:
    return f"{rows[-1][f'{name}_successes']} of {rows[-1][f'{name}_trials']}"


def _range(rows: Sequence[dict[str, Any]], of: str) -> str:
    """Smallest and largest standard deviation of the cells, in percent."""
    sds = [sd for row in rows if row["cell"] != ALL_CELLS and (sd := row[f"sd_{of}_percent"]) is not None]
    ends = dict.fromkeys(_bounded(end(sds), of) for end in (min, max)) if sds else ()
    return f"{' to '.join(ends)} %" if sds else "–"


def _spread_of(number: Repeated) -> float:
    values = [run.value for run in number.runs]
    return max(values) / min(values)


def _ways(rows: Sequence[dict[str, str]], cell: str, time: str) -> RunPair:
    """Runs of a cell in new processes, and forked ones."""
    new, forked = (
        [RunValue(float(row[time]), "third", row["round"]) for row in rows if (row["cell"], row["way"]) == (cell, way)]
        for way in ("new", "forked")
    )
    return new, forked


def _verdict(one: Judgement) -> list[str]:
    word = {RatioVerdict.ABOVE: "slower", RatioVerdict.BELOW: "faster"}.get(one.verdict, one.verdict.value)
    return [f"{one.ratio:.3f} ({one.low:.3g} to {one.high:.3g})", word]


def _sixes() -> Iterator[Sequence[RunValue]]:
    for number in cpu():
        runs = number.runs
        yield from (runs[first : first + 2 * SIDE] for first in range(0, len(runs) - 2 * SIDE + 1, 2 * SIDE))


def _detectable(sd: float, side: int) -> float:
    return LogEstimate(0, sd * math.sqrt(2 / side), side - 1).detectable()


def _line(row: dict[str, Any]) -> list[str]:
    name = row["cell"] if row["cell"] == ALL_CELLS else f"`{row['cell']}`"
    shares = [share(row, each) for each in SHARES]
    spreads = [_spread(row, "within"), _spread(row, "between")]
    return [name, f"`{row['quantity']}`", str(row["runs"]), str(row.get("starts", "")), *spreads, *shares]


def _spread(row: dict[str, Any], of: str) -> str:
    sd = row.get(f"sd_{of}_percent")
    return "–" if sd is None else f"{_bounded(sd, of)} % ({row[f'df_{of}']:.0f} df)"


def _bounded(sd: float, of: str) -> str:
    """A standard deviation in percent; that of runs is never less than ``RESOLUTION``, which is no measurement."""
    return f"≤ {sd:.1f}" if of == "within" and sd <= 100 * RESOLUTION else f"{sd:.1f}"


def _row(fields: Iterable[str]) -> str:
    return f"| {' | '.join(fields)} |"


def main() -> None:
    print(
        *table(cpu()),
        "",
        *power_table(),
        "",
        *forked_table(),
        "",
        *(f"{k}: {v}" for k, v in figures().items()),
        sep="\n",
    )
    print("", ROUNDS, *table(references()[ROUNDS]), "", *summary(), sep="\n")


if __name__ == "__main__":
    main()
