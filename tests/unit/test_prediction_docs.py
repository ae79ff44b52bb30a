"""The numbers of docs/prediction.md: errors of predictions against every shipped measurement.

With UPDATE_GOLDEN=1 in the environment the page is written instead, as after new reference results.
"""

import re
from dataclasses import dataclass

import pandas as pd
import pytest

from dissect.predict.curves import MEASURED
from dissect.present.tables.labels import framework_labels
from page_tables import PREDICTION, block

BUSY = 0.8


def errors(found: pd.Series, decimals: int = 1) -> tuple[str, str]:
    sizes = 100 * found.abs()
    return f"{sizes.median():.{decimals}f} %", f"{sizes.max():.{decimals}f} %"


def covered(found: pd.Series) -> str:
    return f"{int(found.astype(bool).sum())} of {len(found)}"


def coverage(found: pd.Series) -> float:
    return float(found.astype(bool).mean())


def test_memory(shipped_predictions: pd.DataFrame) -> None:
    called = shipped_predictions[shipped_predictions["call"].notna()]
    ran = called[called["error"].notna()]
    groups = {"all": called} | {framework_labels()[name]: group for name, group in called.groupby("framework")}
    rows = []
    for name, group in groups.items():
        fitted = group[group["error"].notna()]
        right = f"{(group['call'] == 'right').sum()} of {len(group)}"
        rows.append([name, len(fitted), *errors(fitted["error"], 2), covered(fitted["covered"]), right])
    block(PREDICTION, "memory", "| cells | that ran | median error | largest | in the interval | right calls |", rows)
    assert ran["error"].abs().median() < 0.02
    assert (ran["error"].abs() < 0.05).mean() >= 0.95
    assert (called["call"] == "right").mean() >= 0.95
    assert 0.9 <= coverage(ran["covered"]) <= 0.99


def test_step_times(shipped_predictions: pd.DataFrame) -> None:
    timed = shipped_predictions[shipped_predictions["step_error"].notna()]
    is_busy = 1 - timed["launch_s"] / timed["predicted_step_s"] >= BUSY
    busy, waits, known = timed[is_busy], timed[~is_busy], timed[timed["energy_error"].notna()]
    elsewhere = "the same, where no cell of the machine is known"
    named = [
        ("GPUs are busy", busy, "step"),
        ("GPUs wait for their host", waits, "step"),
        (elsewhere, waits, "elsewhere"),
    ]
    named += [("all", timed, "step"), ("all, where no cell of the machine is known", timed, "elsewhere")]
    for gpu in ("H100", "H200"):
        cells = timed[timed["platform"].str.upper().str.startswith(gpu) & timed["unknown_gpu_error"].notna()]
        named.append((f"{gpu}, as if nothing was known of that GPU but its datasheet", cells, "unknown_gpu"))
    rows = [
        [name, len(cells), *errors(cells[f"{of}_error"]), (cells[f"{of}_error"].abs() <= 0.15).sum(),
         covered(cells[f"{of}_covered"])]
        for name, cells, of in named
    ]  # fmt: skip
    inside = known["measured_energy_j"].between(known["energy_low_j"], known["energy_high_j"])
    small = (known["energy_error"].abs() <= 0.15).sum()
    rows.append(["energy, all cells that have it", len(known), *errors(known["energy_error"]), small, covered(inside)])
    block(PREDICTION, "times", "| cells | number | median error | largest | within 15 % | in the interval |", rows)
    assert busy["step_error"].abs().median() <= 0.05
    assert (busy["step_error"].abs() <= 0.15).mean() >= 0.8
    assert waits["step_error"].abs().median() <= 0.2
    for column in ("step_covered", "elsewhere_covered"):
        assert 0.9 <= coverage(timed[column]) <= 0.99
    assert 0.9 <= coverage(inside) <= 0.99


def test_servers(shipped_predictions: pd.DataFrame) -> None:
    served = shipped_predictions[shipped_predictions["stage"] == "serve"]
    rows: list[list[object]] = []
    for origin, cells in sorted(served.groupby("serving_origin"), reverse=True):
        caches, bursts = cells[cells["cache_error"].notna()], cells[cells["burst_error"].notna()]
        bare = bursts[bursts["unknown_gpu_burst_error"].notna()]
        named = (
            ("cache", caches, "cache", 2),
            ("duration of a burst", bursts, "burst", 1),
            ("the same, as if nothing was known of that GPU but its datasheet", bare, "unknown_gpu_burst", 1),
        )
        for name, found, of, decimals in named:
            inside = covered(found[f"{of}_covered"])
            rows.append([origin, name, len(found), *errors(found[f"{of}_error"], decimals), inside])
        drawn = cells[cells["load_energy_error"].notna()]
        inside = covered(drawn["load_energy_covered"])
        rows.append([origin, "energy of a load", len(drawn), *errors(drawn["load_energy_error"]), inside])
        for name, column in (("median TTFT", "ttft_s"), ("median TPOT", "tpot_s")):
            off = (cells[f"predicted_{column}"] / cells[f"measured_{column}"] - 1).dropna()
            inside = cells[f"{column.removesuffix('_s')}_covered"].dropna()
            rows.append([origin, name, len(off), *errors(off), covered(inside)])
        assert drawn["load_energy_error"].abs().median() <= 0.1
        assert bursts["burst_error"].abs().median() <= (0.1 if origin == MEASURED else 0.3)
        assert bare["unknown_gpu_burst_error"].abs().median() <= 0.15
        assert coverage(bare["unknown_gpu_burst_covered"]) >= 0.9
    block(PREDICTION, "servers", "| times from | | cells | median error | largest | in the interval |", rows)


@pytest.mark.parametrize("name", ["goals", "memory", "times", "servers", "published", "paper", "walls"])
def test_each_table_stands_once(name: str) -> None:
    assert PREDICTION.read_text(encoding="utf-8").count(f"<!-- numbers: {name} -->") == 1


@dataclass(frozen=True)
class Goal:
    """What predictions are to reach, and what they do over the shipped cells."""

    name: str
    wanted: str
    found: str
    is_reached: bool

    @property
    def row(self) -> list[str]:
        return [self.name, self.wanted, self.found, "yes" if self.is_reached else "**no**"]


def median_goal(name: str, most: float, off: pd.Series) -> Goal:
    found = float(off.abs().median())
    return Goal(f"{name}: median error", f"≤ {100 * most:.0f} %", f"{100 * found:.1f} %", found <= most)


def share_goal(name: str, least: float, has: pd.Series) -> Goal:
    return Goal(name, f"≥ {100 * least:.0f} %", covered(has), coverage(has) >= least)


def interval_goal(name: str, has: pd.Series) -> Goal:
    is_reached = 0.9 <= coverage(has) <= 0.99
    return Goal(f"intervals of {name}", "90 to 99 %", f"{covered(has)}, {100 * coverage(has):.0f} %", is_reached)


def goals_of(found: pd.DataFrame) -> list[Goal]:
    called, timed = found[found["call"].notna()], found[found["step_error"].notna()]
    peaks, bursts = called["error"].dropna(), found["burst_error"].dropna()
    is_busy = 1 - timed["launch_s"] / timed["predicted_step_s"] >= BUSY
    busy, waits = timed[is_busy]["step_error"], timed[~is_busy]["step_error"]
    energy = found[found["energy_error"].notna()]
    intervals = {
        "memory": found["covered"], "step times": found["step_covered"],
        "step times, no cell of the machine": found["elsewhere_covered"],
        "step times, GPU left out": found["unknown_gpu_covered"],
        "energy of steps": energy["measured_energy_j"].between(energy["energy_low_j"], energy["energy_high_j"]),
        "energy of servers": found["load_energy_covered"], "caches": found["cache_covered"],
        "bursts": found["burst_covered"],
        "bursts, GPU left out": found["unknown_gpu_burst_covered"],
        "median TTFT": found["ttft_covered"], "median TPOT": found["tpot_covered"],
    }  # fmt: skip
    return [
        median_goal("memory", 0.02, peaks),
        share_goal("memory: within 5 %", 0.95, peaks.abs() <= 0.05),
        share_goal("fits or not: right", 0.98, called["call"] == "right"),
        median_goal("step time, GPUs are busy", 0.05, busy),
        share_goal("the same: within 15 %", 0.9, busy.abs() <= 0.15),
        median_goal("step time, GPUs wait for their host", 0.2, waits),
        median_goal("duration of a burst", 0.1, bursts),
        *(
            median_goal(f"memory, {gpu} left out", 0.02, peaks[is_on(called, gpu)])
            for gpu in ("H100", "H200")
        ),
        *(
            median_goal(f"step time, {gpu} left out", 0.15, timed[is_on(timed, gpu)]["unknown_gpu_error"].dropna())
            for gpu in ("H100", "H200")
        ),
        median_goal("duration of a burst, GPU left out", 0.15, found["unknown_gpu_burst_error"].dropna()),
        *(interval_goal(name, has.dropna()) for name, has in intervals.items() if has.notna().any()),
    ]  # fmt: skip


def is_on(cells: pd.DataFrame, gpu: str) -> pd.Series:
    return cells["platform"].str.upper().str.startswith(gpu)


def test_each_goal_stands_with_what_is_reached_and_each_missed_one_with_its_reason(
    shipped_predictions: pd.DataFrame,
) -> None:
    goals = goals_of(shipped_predictions)
    header = "| goal | wanted | over the shipped cells | reached |"
    block(PREDICTION, "goals", header, (goal.row for goal in goals))
    _, _, rest = PREDICTION.read_text(encoding="utf-8").partition("Missed, and why:\n")
    reasons = re.findall(r"^- \*\*(.*?)\*\*: ", rest.partition("\n## ")[0], flags=re.MULTILINE)
    missed = [goal.name for goal in goals if not goal.is_reached]
    assert [name for reason in reasons for name in reason.split("; ")] == missed, "give each its reason"
