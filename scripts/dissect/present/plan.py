"""The plan of a run: every cell with its status, before anything is launched. Imports no torch."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from dissect.base.outcome import Status
from dissect.base.units import GIB
from dissect.cells.any_spec import parse_spec
from dissect.cells.cell import Cell
from dissect.cells.cell_id import PARTS
from dissect.cells.frameworks import state_bytes, states_exceed_memory
from dissect.cells.platform_facts import prediction_facts, why_untimed
from dissect.cells.resources import request_for
from dissect.cells.spec import ServeSpec, Spec, TrainingSpec
from dissect.cells.study import Study
from dissect.config.catalog import Catalog
from dissect.config.platform import Platform
from dissect.predict.outlook import Outlook
from dissect.predict.server_memory import predict_server_memory
from dissect.predict.step_time import TimePrediction
from dissect.present.no_cells import why_no_cells
from dissect.present.plan_costs import COLUMNS as COSTS
from dissect.present.plan_costs import cost_columns, cost_lines, over_budget, price_of
from dissect.present.plan_rates import COLUMNS as RATES
from dissect.present.plan_rates import MeasuredRates, measured_rates, predicted_rate, rate_lines
from dissect.present.run_times import ExpectedMemory, RunTimes, expected_memory
from dissect.present.tables.predicted_time import part_columns
from dissect.results.cell_runs import CellRuns, read_runs
from dissect.results.result import ResultError
from dissect.results.store import Store

REQUESTS = {"gpus": "gpu", "nodes": "nodes", "runtime_min": "runtime", "memory_mb": "mem_mb"}
"""Column -> resource that a first try requests from the batch system, per node (``cells/resources.py``)."""
PREDICTED = ["memory_gib", "memory_low_gib", "memory_high_gib", "host_memory_gib", "expected_batch", "outlook"]
"""Predicted peak per GPU with its interval; of training host memory per node, the batch of these, and what they say."""
ENERGY = ["energy_j", "energy_low_j", "energy_high_j"]
TIMES = [
    "predicted_step_s",
    "step_low_s",
    "step_high_s",
    "tokens_per_s",
    *ENERGY,
    "compute_s",
    "exposed_communication_s",
    "optimizer_s",
    "offload_s",
    "launch_s",
    "time_origins",
    "launch_cost_s",
    "corrected_by",
]
"""Predicted time and energy of a step over all GPUs, with intervals, parts and origins, where they are asked for.

Of a server: the tokens per second that it generates, and the energy of its load.
"""
COLUMNS = [*PARTS, "status", "reason", "states_gib", "wall_s", *REQUESTS, *PREDICTED, "key"]
TO_RUN = "to run"
TOO_LARGE = "will not fit"
LATE = "may exceed its budget (predicted; `overrides` can raise sampling.budget_s)"
HOW_LONG = "times=true predicts how long they take"
NAMED = 4
"""Cells that a line of the summary names; the CSV has all."""


class PlanStatus(NamedTuple):
    """How a cell stands."""

    status: str
    reason: str = ""
    wall_s: float | None = None
    """Wall time of the newest run of a finished cell in seconds."""
    runs: int = 0
    """Runs to measure."""
    states_gib: float | None = None
    """GiB per GPU of the states of a cell that they alone keep from fitting."""


def plan_table(study: Study, store: Store, times: RunTimes | None = None, more: int | None = None) -> pd.DataFrame:
    """One row per cell that is selected, or of the wanted tables and figures; ``wall_s`` is its wall time in seconds.

    With ``times`` those of steps and runs are predicted too, and what the cells to run cost. With ``more`` all are to
    run so many times, as ``remeasure`` adds runs to cells of any outcome, except those that it finds not to fit.
    """
    cells = {cell.id: cell for cell in study.selected}
    rates = measured_rates(times.records) if times and study.catalog.root.rates else None
    rows = [_row(cell, store, study.catalog, times, rates, more) for cell in cells.values()]
    columns = [*COLUMNS, *([*TIMES, *COSTS] if times else []), *(RATES if rates is not None else [])]
    return pd.DataFrame(rows, columns=columns, dtype=object)


def plan_text(plan: pd.DataFrame, catalog: Catalog, more: int | None = None) -> str:
    """How many cells would run, or have ``more`` runs, counts by status, times, costs, reasons, what may not fit."""
    if plan.empty:
        return why_no_cells(catalog)
    counts = plan.groupby(["stage", "platform", "status"], sort=True).size().unstack(fill_value=0)
    waiting = plan[plan["status"] == TO_RUN]
    is_told = (plan["reason"] != "") & (plan["status"] != TOO_LARGE)
    reasons = plan.loc[is_told, "status"] + ": " + plan["reason"]
    lines = [f"{count} x {reason}" for reason, count in reasons.value_counts(sort=False).items()]
    further = f", {more} further run{'s' * (more != 1)} of each" if more else ""
    head = [f"{len(plan)} cells, {len(waiting)} to run{further}", "", *counts.to_string().splitlines(), ""]
    times = cost_lines(waiting, catalog) if "run_s" in waiting else [HOW_LONG] * (len(waiting) > 0)
    predicted = [*_untimed(waiting, catalog), *_late(waiting), *_paces(waiting), *rate_lines(plan)]
    below = [*times, *lines, *_too_large(plan), *_doubts(waiting), *predicted]
    return "\n".join(line.rstrip() for line in [*head, *below]).rstrip()


def _too_large(plan: pd.DataFrame) -> list[str]:
    """Cells that certainly run out of memory: methods of a framework and model, by what shows it."""
    cells = plan[plan["status"] == TOO_LARGE]
    by_states, shown = cells["states_gib"].notna(), ["framework", "model"]
    sized, others = cells[by_states].sort_values("states_gib", kind="stable"), cells[~by_states]
    return [
        *(_unfit(of, same, _states(same)) for of, same in sized.groupby(shown)),
        *(_unfit(of, same, str(of[2])) for of, same in others.groupby([*shown, "reason"])),
    ]


def _unfit(of: Any, same: pd.DataFrame, reason: str) -> str:
    """The line of cells of a framework and model, with some of their methods."""
    methods = list(dict.fromkeys(same["method"]))
    more = f" and {len(methods) - NAMED} more" if len(methods) > NAMED else ""
    return f"{len(same)} x {TOO_LARGE}: {of[0]}, {of[1]} {', '.join(methods[:NAMED])}{more}: {reason}"


def _states(same: pd.DataFrame) -> str:
    """What their states take, from the least to the most."""
    least, most = (f"{size:.0f}" for size in (same["states_gib"].min(), same["states_gib"].max()))
    return f"states alone take {least if least == most else f'{least} to {most}'} GiB per GPU"


def _doubts(waiting: pd.DataFrame) -> list[str]:
    """Cells that are not expected to fit, by platform and framework; they run all the same, since this is predicted."""
    doubtful = waiting[waiting["outlook"].isin([Outlook.RUNS_OUT, Outlook.CLOSE])]
    return [
        line
        for outlook, cells in doubtful.groupby("outlook", sort=True)
        for line in _doubted(cells, f"{outlook} (predicted)", _sizes)
    ]


def _untimed(waiting: pd.DataFrame, catalog: Catalog) -> list[str]:
    """Which facts platforms lack, where times were asked for and are not predicted."""
    if "tokens_per_s" not in waiting:
        return []
    platforms = dict.fromkeys(waiting.loc[waiting["tokens_per_s"].isna(), "platform"])
    told = (why_untimed(name, catalog.platforms[name]) for name in platforms)
    return [f"not predicted: {reason}" for reason in told if reason]


def _late(waiting: pd.DataFrame) -> list[str]:
    """Cells whose budget may be too short, where times are predicted."""
    return list(_doubted(over_budget(waiting), LATE, _needs)) if "needs_s" in waiting else []


def _doubted(cells: pd.DataFrame, doubt: str, told: Callable[[Any], str]) -> Iterator[str]:
    """Lines by platform and framework, with some of the cells and what is told of these."""
    for (platform, framework), group in cells.groupby(["platform", "framework"], sort=True):
        named = [f"{row.model} {row.method} {row.workload} {told(row)}" for row in group.itertuples()]
        more = [f"and {len(named) - NAMED} more"] if len(named) > NAMED else []
        yield f"{len(group)} x {doubt}: {framework} on {platform}, {', '.join([*named[:NAMED], *more])}"


def _paces(waiting: pd.DataFrame) -> list[str]:
    """Predicted throughputs of cells that may fit, by platform, model and framework, where they were asked for."""
    if "tokens_per_s" not in waiting:
        return []
    timed = waiting[waiting["tokens_per_s"].notna() & (waiting["outlook"] != Outlook.RUNS_OUT)]
    return [
        f"{framework} on {platform}, {model}: {cells['tokens_per_s'].min():,.0f} to {cells['tokens_per_s'].max():,.0f} "
        f"tokens/s (predicted) in {len(cells)} cells"
        for (platform, model, framework), cells in timed.groupby(["platform", "model", "framework"], sort=True)
    ]


def _sizes(row: Any) -> str:
    host = f" and {row.host_memory_gib:.0f} GiB of the host" if row.host_memory_gib else ""
    return f"{row.memory_gib:.0f} GiB{host}"


def _needs(row: Any) -> str:
    return f"{row.needs_s:,.0f} of {row.budget_s:,.0f} s"


def _row(
    cell: Cell, store: Store, catalog: Catalog, times: RunTimes | None,
    rates: MeasuredRates | None, more: int | None,
) -> dict[str, object]:  # fmt: skip
    """Columns of one cell: how it stands, and with a spec what it requests and is predicted to take.

    ``rates`` are those that were measured; None where they are not asked for.
    """
    spec, platform = parse_spec(cell.canonical) if cell.canonical else None, catalog.platforms[cell.platform]
    status, reason, wall_s, lacking, states_gib = _plan_status(cell, spec, store, more)
    shown = {name: getattr(cell, name) for name in PARTS}
    shown |= {"status": status, "reason": reason, "states_gib": states_gib, "wall_s": wall_s, "key": cell.key or ""}
    if spec is None:
        return shown
    expected = expected_memory(spec)
    run = times.expect(spec, cell.platform, expected) if times and (expected or lacking) else None
    asked = request_for(spec, more or cell.runs, platform, run.longest_s if run and lacking else None)
    shown |= {column: asked.get(name) for column, name in REQUESTS.items()} | _memory(spec, expected)
    if times and run:
        shown |= _timed(run.work, times.limit_w(spec)) if isinstance(run.work, TimePrediction) else {}
        new_runs = lacking if more else run.runs(lacking)
        shown |= cost_columns(run, new_runs, cell.n_gpus, price_of(catalog, cell.platform))
    if times and isinstance(spec, ServeSpec):
        shown |= _served(spec, platform, times) if lacking else {}
        if rates is not None:
            shown |= {**predicted_rate(spec, platform, times.servers), **rates.get((cell.id, spec.workload), {})}
    return shown


def _memory(spec: Spec, expected: ExpectedMemory | None) -> dict[str, object]:
    """Columns of the predicted memory of a training cell or server; none where it is not predicted."""
    sizes: Sequence[float] = ()
    said: dict[str, object] = {}
    if isinstance(spec, ServeSpec):
        sizes = predict_server_memory(spec) or ()
    elif expected:
        found = expected.memory
        sizes = (found.peak_bytes, found.low_bytes, found.high_bytes, found.host_bytes)
        said = {"expected_batch": expected.batch, "outlook": expected.outlook}
    return dict(zip(PREDICTED, (round(size / GIB, 3) for size in sizes), strict=False)) | said


def _served(spec: ServeSpec, platform: Platform, times: RunTimes) -> dict[str, object]:
    """Columns of the predicted throughput and energy of a load; none where it is not predicted."""
    found, limit_w = times.servers.predict(spec, prediction_facts(platform)), times.limit_w(spec)
    if found is None:
        return {}
    energies = found.energy_j(limit_w) if limit_w else ()
    return {"tokens_per_s": found.tokens_per_s, **dict(zip(ENERGY, energies, strict=False))}


def _timed(found: TimePrediction, limit_w: float | None) -> dict[str, object]:
    """Columns of the predicted time of a step; with the power limit of a GPU in watts, of its energy too."""
    numbers = (found.step_s, found.low_s, found.high_s, found.tokens / found.step_s)
    energies = found.energy_j(limit_w) if limit_w else ()
    by = f"{len(found.host.cells)} {found.host.source}" if found.host.cells else None
    return dict(zip(TIMES, (*numbers, *energies), strict=False)) | part_columns(found) | {"corrected_by": by}


def _plan_status(cell: Cell, spec: Spec | None, store: Store, more: int | None) -> PlanStatus:
    if cell.path is None or cell.key is None:
        return PlanStatus("unsupported", cell.unsupported or "")
    try:
        runs = _runs(Path(cell.path), store, cell.key)
    except ResultError as error:
        return PlanStatus("broken", str(error))
    if runs and not more:
        if lacking := runs.lacking(cell.runs):
            return PlanStatus(TO_RUN, f"{len(runs.runs)} of {cell.runs} runs are measured", runs=lacking)
        return PlanStatus("cached", wall_s=runs.newest.durations.total_s)
    if isinstance(spec, TrainingSpec) and states_exceed_memory(spec):
        states_gib = state_bytes(spec) / GIB
        return PlanStatus(TOO_LARGE, f"states alone take {states_gib:.0f} GiB per GPU", states_gib=round(states_gib, 3))
    if runs and runs.newest.status is Status.SKIPPED_OOM:
        return PlanStatus(TOO_LARGE, runs.newest.reason or "")
    return PlanStatus(TO_RUN, runs=more or cell.runs)


def _runs(path: Path, store: Store, key: str) -> CellRuns | None:
    """The published runs, or those of the store, or None.

    Raises:
        ResultError: the published file is broken, or all runs of the store are.
    """
    if path.exists():
        return read_runs(path)
    entry = store.entry(key)
    return entry.peek() or next((read_runs(run.path) for run in entry.run_files()), None)
