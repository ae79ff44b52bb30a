"""The goals of docs/prediction.md: over the shipped cells, and as cells were predicted when their results came.

tests/data/first_predictions.csv has what ``table_prediction`` says of each cell by the last revision before its
reference result (``predictor``). What is measured comes from the results: in cells that came later, from the runs of
the first start, since the host of another start has another pace.
"""

import io
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dissect.cells.study import load_study
from dissect.predict.outlook import Outlook
from dissect.predict.step_time import BUSY
from dissect.present.tables.predicted_cells import build_prediction
from dissect.results.reference_sets import publish_references
from page_tables import PREDICTION, block

ROOT = Path(__file__).parents[2]
FIRST = ROOT / "tests/data/first_predictions.csv"
NUMBERS = {
    "memory": ("predicted_bytes", "predicted_low", "predicted_high", "measured_bytes"),
    "step": ("predicted_step_s", "step_low_s", "step_high_s", "measured_step_s"),
    "elsewhere": ("elsewhere_step_s", "elsewhere_low_s", "elsewhere_high_s", "measured_step_s"),
    "unknown_gpu": ("unknown_gpu_step_s", "unknown_gpu_low_s", "unknown_gpu_high_s", "measured_step_s"),
    "energy": ("predicted_energy_j", "energy_low_j", "energy_high_j", "measured_energy_j"),
    "load": ("predicted_load_energy_j", "load_energy_low_j", "load_energy_high_j", "measured_load_energy_j"),
    "cache": ("predicted_cache_tokens", "cache_low", "cache_high", "measured_cache_tokens"),
    "burst": ("predicted_burst_s", "burst_low_s", "burst_high_s", "measured_burst_s"),
    "unknown_burst": (
        "unknown_gpu_burst_s", "unknown_gpu_burst_low_s", "unknown_gpu_burst_high_s", "measured_burst_s",
    ),
    "ttft": ("predicted_ttft_s", "ttft_low_s", "ttft_high_s", "measured_ttft_s"),
    "tpot": ("predicted_tpot_s", "tpot_low_s", "tpot_high_s", "measured_tpot_s"),
}  # fmt: skip
"""What is predicted -> columns: predicted, lower and upper end, measured."""
INTERVALS = {
    "memory": "memory", "step times": "step", "step times, no cell of the machine": "elsewhere",
    "step times, GPU left out": "unknown_gpu", "energy of steps": "energy", "energy of servers": "load",
    "caches": "cache", "bursts": "burst", "bursts, GPU left out": "unknown_burst", "median TTFT": "ttft",
    "median TPOT": "tpot",
}  # fmt: skip
GPUS = ("H100", "H200")


@dataclass(frozen=True)
class Goal:
    """What predictions are to reach, and what they do; without a cell that shows it they reach nothing."""

    name: str
    wanted: str
    found: str = "n/a"
    is_reached: bool | None = None

    @property
    def texts(self) -> list[str]:
        return [self.found, {True: "yes", False: "**no**", None: "n/a"}[self.is_reached]]


def median_goal(name: str, most: float, off: pd.Series) -> Goal:
    name, wanted = f"{name}: median error", f"≤ {100 * most:.0f} %"
    if off.empty:
        return Goal(name, wanted)
    found = float(off.abs().median())
    return Goal(name, wanted, f"{100 * found:.1f} %, {len(off)} cells", found <= most)


def share_goal(name: str, least: float, has: pd.Series, remark: str = "") -> Goal:
    return Goal(name, f"≥ {100 * least:.0f} %", f"{has.sum()} of {len(has)}{remark}", bool(has.mean() >= least))


def interval_goal(name: str, held: pd.DataFrame) -> Goal:
    name, wanted = f"intervals of {name}", "90 to 99 %"
    if held.empty:
        return Goal(name, wanted)
    share = held["covered"].mean()
    is_reached = bool(0.9 <= share <= 0.99)
    decimals = 0 if is_reached == (0.9 <= round(share, 2) <= 0.99) else 1
    found = f"{held['covered'].sum()} of {len(held)}, {100 * share:.{decimals}f} %, × {held['width'].median():.2f}"
    return Goal(name, wanted, found, is_reached)


def held_against_measured(cells: pd.DataFrame, of: str) -> pd.DataFrame:
    """Error of each prediction, whether its interval has what was measured, and its upper over its lower end."""
    found = cells[list(NUMBERS[of])].dropna().astype(float)
    found.columns = pd.Index(["predicted", "low", "high", "measured"])
    return found.assign(
        error=found["predicted"] / found["measured"] - 1,
        covered=found["measured"].between(found["low"], found["high"]),
        width=found["high"] / found["low"],
    )


def calls_goal(cells: pd.DataFrame) -> Goal:
    """What users are told before a cell runs: that it may run out of memory is no right answer."""
    called = cells[cells["outlook"].notna() & cells["fits"].notna()]
    told, fits = called["outlook"], called["fits"].astype(bool)
    right = (fits & (told == Outlook.FITS)) | (~fits & (told == Outlook.RUNS_OUT))
    return share_goal("fits or not: told right", 0.98, right, f", {(told == Outlook.CLOSE).sum()} may run out")


def goals_of(cells: pd.DataFrame) -> list[Goal]:
    held = {of: held_against_measured(cells, of) for of in NUMBERS}
    errors = {of: found["error"] for of, found in held.items()}
    is_busy = 1 - cells["launch_s"] / cells["predicted_step_s"] >= BUSY
    busy, waits = (errors["step"][which.reindex(errors["step"].index)] for which in (is_busy, ~is_busy))
    on = {gpu: cells["platform"].str.upper().str.startswith(gpu) for gpu in GPUS}
    by_gpu = {of: {gpu: errors[of][on[gpu].reindex(errors[of].index)] for gpu in GPUS} for of in errors}
    return [
        median_goal("memory", 0.02, errors["memory"]),
        share_goal("memory: within 5 %", 0.95, errors["memory"].abs() <= 0.05),
        calls_goal(cells),
        median_goal("step time, GPUs are busy", 0.05, busy),
        share_goal("the same: within 15 %", 0.9, busy.abs() <= 0.15),
        median_goal("step time, GPUs wait for their host", 0.2, waits),
        median_goal("the same, no cell of the machine", 0.2, errors["elsewhere"][waits.index]),
        median_goal("duration of a burst", 0.1, errors["burst"]),
        *(median_goal(f"memory, {gpu} left out", 0.02, by_gpu["memory"][gpu]) for gpu in GPUS),
        *(median_goal(f"step time, {gpu} left out", 0.15, by_gpu["unknown_gpu"][gpu]) for gpu in GPUS),
        median_goal("duration of a burst, GPU left out", 0.15, errors["unknown_burst"]),
        *(interval_goal(name, held[of]) for name, of in INTERVALS.items()),
    ]


def on_the_first_start(runs: Sequence[dict[str, Any]]) -> list[int]:
    """Which of a cell's stored runs were measured on the start of the oldest."""
    known = [run["provenance"] or {} for run in runs]
    oldest = min(known, key=lambda each: each.get("measured_at", ""))
    return [i for i, each in enumerate(known) if each.get("start") == oldest.get("start")]


@pytest.fixture(scope="module")
def on_first_starts(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The table of predictions of the shipped cells, of each with the runs of its first start alone."""
    project = tmp_path_factory.mktemp("first")
    shutil.copytree(ROOT / "config", project / "config")
    (project / "envs").symlink_to(ROOT / "envs")
    for path in (project / "config/references").glob("*/*/**/*.json"):
        found = json.loads(path.read_text(encoding="utf-8"))
        first = on_the_first_start(found["runs"])
        path.write_text(json.dumps({key: [of[i] for i in first] for key, of in found.items()}), encoding="utf-8")
    publish_references(project)
    return pd.read_csv(io.StringIO(build_prediction(load_study(project, {"suite": "full"}).prediction, project).csv))


@pytest.fixture(scope="module")
def both(shipped_predictions: pd.DataFrame, on_first_starts: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The shipped cells as they are predicted now, and those that came later as they were predicted then."""
    measured = {columns[-1] for columns in NUMBERS.values()}
    told = pd.read_csv(FIRST)
    shown = on_first_starts[["key", "platform", "fits", *sorted(measured)]]
    first = told.merge(shown, on="key", validate="one_to_one").reindex(columns=shipped_predictions.columns)
    assert len(first) == len(told), "each cell has a shipped result"
    return shipped_predictions, first


def test_each_goal_stands_with_what_is_reached_and_each_missed_one_with_its_reason(
    both: Sequence[pd.DataFrame],
) -> None:
    pairs = list(zip(*map(goals_of, both), strict=True))
    header = "| goal | wanted | over the shipped cells | reached | when they came | reached |"
    block(PREDICTION, "goals", header, ([now.name, now.wanted, *now.texts, *first.texts] for now, first in pairs))
    _, _, rest = PREDICTION.read_text(encoding="utf-8").partition("Missed, and why:\n")
    reasons = re.findall(r"^- \*\*(.*?)\*\*: ", rest.partition("\n## ")[0], flags=re.MULTILINE)
    missed = [now.name for now, first in pairs if False in (now.is_reached, first.is_reached)]
    assert [name for reason in reasons for name in reason.split("; ")] == missed, "give each its reason"
