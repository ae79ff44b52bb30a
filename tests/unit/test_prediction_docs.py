"""The numbers of docs/prediction.md: errors of predictions against every shipped measurement.

With UPDATE_GOLDEN=1 in the environment the page is written instead, as after new reference results.
"""

from functools import partial

import pandas as pd
import pytest

from dissect.cells.spec import ServeSpec
from dissect.predict.server_rate import predict_rate
from dissect.predict.step_time import BUSY
from dissect.present.tables.columns import Record
from dissect.present.tables.labels import framework_labels
from dissect.present.tables.rate_views import search_of
from dissect.present.tables.server_pace import ServerPace
from page_tables import PREDICTION, block


def errors(found: pd.Series, decimals: int = 1) -> tuple[str, str]:
    sizes = 100 * found.abs()
    return f"{sizes.median():.{decimals}f} %", f"{sizes.max():.{decimals}f} %"


def covered(found: pd.Series) -> str:
    return f"{int(found.astype(bool).sum())} of {len(found)}"


def test_memory(shipped_predictions: pd.DataFrame) -> None:
    called = shipped_predictions[shipped_predictions["call"].notna()]
    groups = {"all": called} | {framework_labels()[name]: group for name, group in called.groupby("framework")}
    rows = []
    for name, group in groups.items():
        fitted = group[group["error"].notna()]
        right = f"{(group['call'] == 'right').sum()} of {len(group)}"
        rows.append([name, len(fitted), *errors(fitted["error"], 2), covered(fitted["covered"]), right])
    block(PREDICTION, "memory", "| cells | that ran | median error | largest | in the interval | told right |", rows)


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
    block(PREDICTION, "servers", "| times from | | cells | median error | largest | in the interval |", rows)


def test_rates_that_hold(shipped_records: list[Record]) -> None:
    """No search corrects a prediction, so each is as if it had not been measured."""
    pace, rows = ServerPace(shipped_records), []
    for record in shipped_records:
        if not isinstance(record.spec, ServeSpec):
            continue
        for search in filter(None, map(search_of, record.results)):
            found = predict_rate(record.spec, partial(pace.predict, facts=record.platform))
            held, failed = search.bracket
            assert found
            assert held
            assert failed
            names = [framework_labels()[record.spec.framework], record.cell.method, f"{held:.1f}", f"{failed:.1f}"]
            inside = "yes" if found.low <= failed and held <= found.high else "no"
            rows.append([*names, f"{found.rate:.1f} ({found.low:.1f} to {found.high:.1f})", inside])
    assert rows
    block(PREDICTION, "rates", "| engine | policy | held | did not | predicted | overlap |", rows)


@pytest.mark.parametrize("name", ["goals", "memory", "times", "servers", "rates", "published", "paper", "walls"])
def test_each_table_stands_once(name: str) -> None:
    assert PREDICTION.read_text(encoding="utf-8").count(f"<!-- numbers: {name} -->") == 1
