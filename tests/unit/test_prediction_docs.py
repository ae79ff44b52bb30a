"""The numbers of docs/prediction.md: errors of predictions against every shipped measurement.

With UPDATE_GOLDEN=1 in the environment the page is written instead, as after new reference results.
"""

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
        for name, column in (("median TTFT", "ttft_s"), ("median TPOT", "tpot_s")):
            off = (cells[f"predicted_{column}"] / cells[f"measured_{column}"] - 1).dropna()
            inside = cells[f"{column.removesuffix('_s')}_covered"].dropna()
            rows.append([origin, name, len(off), *errors(off), covered(inside)])
        assert bursts["burst_error"].abs().median() <= (0.1 if origin == MEASURED else 0.3)
        assert bare["unknown_gpu_burst_error"].abs().median() <= 0.15
        assert coverage(bare["unknown_gpu_burst_covered"]) >= 0.9
    block(PREDICTION, "servers", "| times from | | cells | median error | largest | in the interval |", rows)


@pytest.mark.parametrize("name", ["memory", "times", "servers", "published", "paper", "walls"])
def test_each_table_stands_once(name: str) -> None:
    assert PREDICTION.read_text(encoding="utf-8").count(f"<!-- numbers: {name} -->") == 1
