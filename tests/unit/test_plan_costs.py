"""What a plan costs: wall times against every shipped measurement, GPU hours, and money."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import pytest

from dissect.answers import planning
from dissect.base.outcome import Phase, Status
from dissect.cells.any_spec import parse_spec
from dissect.cells.resources import OVER
from dissect.cells.spec import ServeSpec
from dissect.cells.study import Study, load_study
from dissect.config.arrival import Arrival, RateSearch
from dissect.config.errors import ConfigError
from dissect.config.scheduler import Scheduler
from dissect.metrics.training import TrainingMetrics
from dissect.predict.host_cost import HostCost
from dissect.predict.outlook import Outlook
from dissect.predict.step_time import TimePart, TimePrediction
from dissect.predict.wall_time import (
    SLOW_STEPS,
    TRACE_S,
    TRIAL_S,
    TRIAL_STEPS,
    WARMUP_S,
    WARMUP_STEPS,
    LoadTime,
    MeasuredWall,
    Tries,
    WallTimes,
    steps_s,
)
from dissect.present.measured_walls import measured_walls
from dissect.present.plan import plan_table, plan_text
from dissect.present.run_times import expected_memory, measured_times
from dissect.present.tables.columns import Record
from dissect.present.tables.predicted_time import compare_times
from dissect.present.tables.server_pace import ServerPace
from dissect.present.tables.tidy import read_records
from dissect.results.reference_sets import publish_references
from dissect.results.store import Store
from dissect.stages.serving.bisection import Bisection
from factories import ended_result, hardware, ok_result, operator_spec, pretrain_spec, serve_spec, training_metrics
from page_tables import PREDICTION, block

PROJECT = Path(__file__).parents[2]
PRICE = "price: {per_gpu_hour: 4, currency: EUR, source: a price list, date: 2026-03}\n"
Work = TimePrediction | LoadTime
ONLY = {"platforms": ["h200-x2"], "models": ["llama2-7b"], "tables": ["table_III"], "figures": []}


def step(seconds: float) -> TimePrediction:
    parts = (TimePart("compute", seconds, "datasheet"),)
    return TimePrediction(parts, seconds / 2, seconds * 2, HostCost(0.0, 0.0, "nothing"), 1, 2)


def study(project: Path, **command_line: Any) -> Study:
    return load_study(project, {"suite": "full", **ONLY, **command_line})


def planned(project: Path, **command_line: Any) -> tuple[pd.DataFrame, str]:
    asked = study(project, **command_line)
    plan = plan_table(asked, Store(project / "results/store"), measured_times(asked, project))
    return plan, plan_text(plan, asked.catalog)


@pytest.fixture
def measured(project: Path) -> Path:
    """A project with the shipped cells of two H200."""
    shutil.copytree(PROJECT / "config/references/h200", project / "config/references/h200")
    publish_references(project)
    return project


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Every shipped cell."""
    project = tmp_path_factory.mktemp("project")
    (project / "config").symlink_to(PROJECT / "config")
    publish_references(project)
    return read_records(load_study(PROJECT, {"platforms": ["h200"], "suite": "full"}).measurable, project)


def errors_of(records: list[Record], work: Mapping[str, Work]) -> tuple[list[float], int, list[bool]]:
    """Relative errors of the wall times of cells, each predicted from the others, and how many are covered.

    Of every run whether it ends within what a first try asks for, the margin of its platform aside.
    """
    walls = {record.cell.id: list(measured_walls([record])) for record in records}
    errors, covered, in_time = [], 0, []
    for name, prediction in ((name, each) for name, each in work.items() if walls[name]):
        others = WallTimes(wall for other, found in walls.items() if other != name for wall in found)
        typical = median(wall.total_s for wall in walls[name])
        spec = walls[name][0].spec
        expected = expected_memory(spec)
        found = others.predict(spec, prediction, trials=expected and expected.trials)
        if found is None:  # no other cell of this engine was measured
            assert sum(f"/{name.split('/')[3]}/" in other for other in work) == 1
            continue
        errors.append(abs(found.seconds / typical - 1))
        covered += found.low_s <= typical <= found.high_s
        in_time += [wall.total_s <= OVER * found.high_s for wall in walls[name]]
        assert all(wall.total_s <= OVER * found.high_s + Scheduler().margin_s for wall in walls[name])
    return errors, covered, in_time


def test_shipped_wall_times(shipped: list[Record]) -> None:
    steps = {each.record.cell.id: each.prediction for each in compare_times(shipped)}
    rows = []
    for name, (errors, covered, in_time) in (
        ("training whose steps are predicted", errors_of(shipped, steps)),
        ("servers", errors_of(shipped, loads_of(shipped))),
    ):
        middle, largest = (f"{100 * error:.0f} %" for error in (median(errors), max(errors)))
        within = f"{sum(in_time)} of {len(in_time)}"
        rows.append([name, len(errors), middle, largest, f"{covered} of {len(errors)}", within])
        assert median(errors) < 0.2
        assert covered >= 0.9 * len(errors)
    block(
        PREDICTION,
        "walls",
        "| wall time of | cells | median error | largest | in the interval | runs within a request |",
        rows,
    )


def loads_of(shipped: list[Record]) -> dict[str, Work]:
    """Predicted loads of the servers."""
    pace, loads = ServerPace(shipped), dict[str, Work]()
    for record in shipped:
        if isinstance(record.spec, ServeSpec) and (load := pace.load(record.spec, record.platform)):
            loads[record.cell.id] = load
    return loads


def test_a_load_that_arrives_over_time_takes_as_long_as_it_is_sent(shipped: list[Record]) -> None:
    pace = ServerPace(shipped)
    record = next(each for each in shipped if isinstance(each.spec, ServeSpec) and each.spec.framework == "vllm")
    assert isinstance(record.spec, ServeSpec)

    def load(**arrival: Any) -> LoadTime:
        assert isinstance(record.spec, ServeSpec)
        workload = record.spec.workload.model_copy(update={"arrival": Arrival(**arrival), "requests": 1000})
        found = pace.load(record.spec.model_copy(update={"workload": workload}), record.platform)
        assert found is not None
        return found

    burst, slow, fast = load(kind="burst"), load(kind="poisson", rate=2), load(kind="constant", rate=1000)
    assert 0 < burst.low_s < burst.seconds < burst.high_s < 400
    assert (slow.seconds, slow.low_s, slow.high_s) == (500, 450, 550)
    assert fast == burst, "the server cannot keep up"


def test_a_search_for_a_rate_takes_as_long_as_its_loads(shipped: list[Record]) -> None:
    record = next(each for each in shipped if isinstance(each.spec, ServeSpec) and each.spec.framework == "vllm")
    assert isinstance(record.spec, ServeSpec)
    search = RateSearch(lowest=1.0, highest=64.0, probe_s=60.0)
    arrival = Arrival(kind="poisson", search=search)
    workload = record.spec.workload.model_copy(update={"arrival": arrival, "requests": 1000})
    spec = record.spec.model_copy(update={"workload": workload})
    found = ServerPace(shipped).load(spec, record.platform)
    assert found is not None
    assert found.tries == (6, 6, 6)
    assert 6 * search.probe_s <= found.low_s <= found.seconds < found.high_s
    assert found.high_s > 1000 / Bisection(search).ends[0] / 1.1, "the last rate is hardly above the lowest"
    wall = WallTimes([MeasuredWall(spec, total_s=100, start_s=20)]).predict(spec, found)
    assert wall is not None
    assert (wall.needs_s, wall.search_s) == (None, wall.seconds - 20), "its budget ends it with what it has found"


def test_searches_are_counted_in_the_plan(measured: Path) -> None:
    plan, text = planned(measured, times=True, tables=["table_II"])
    searches = plan[plan["tries"].notna()]
    fitting = searches[searches["expected_batch"] > 0]
    assert set(searches["workload"].str.contains("-bmax-")) == {True}
    assert (fitting["tries"] >= 2).all()
    assert (searches["tries_fewest"] <= searches["tries"]).all()
    assert (searches["tries"] <= searches["tries_most"]).all()
    assert (fitting["search_s"] > 0).all()
    assert (fitting["search_s"] < fitting["run_s"]).all()
    assert f"of these {len(searches)} searches: {searches['tries'].sum()} tries (" in text
    assert " in one run of each, " in text


def test_a_run_of_a_server_is_its_start_and_its_loads() -> None:
    spec = serve_spec(bursts=3)
    known = WallTimes([MeasuredWall(spec, total_s=100, start_s=20)])
    found = known.predict(spec, LoadTime(10, 9, 12))
    assert found is not None
    assert (found.seconds, found.needs_s, found.budget_s) == (50, 50, spec.sampling.budget_s)
    assert found.low_s < 47
    assert found.high_s > 56
    whole = known.predict(spec)
    assert whole is not None
    assert whole.seconds == 100


def test_a_run_is_its_start_and_its_steps() -> None:
    spec = pretrain_spec()
    known = WallTimes([MeasuredWall(spec, total_s=100, start_s=20)])
    found = known.predict(spec, step(1.0), Outlook.FITS)
    assert found is not None
    assert found.seconds == pytest.approx(20 + steps_s(spec.sampling, 1.0))
    fixed = WARMUP_S + TRACE_S
    assert steps_s(spec.sampling, 1.0) == pytest.approx(WARMUP_STEPS + spec.sampling.min_steps + 3 + fixed)
    assert steps_s(spec.sampling, 0.1) == pytest.approx(0.1 * (WARMUP_STEPS + 3) + spec.sampling.window_s + fixed)
    assert found.needs_s == pytest.approx(SLOW_STEPS + spec.sampling.warmup_min_steps + spec.sampling.min_steps)
    assert found.low_s < found.seconds < found.high_s
    slow = known.predict(spec, step(1e4), Outlook.FITS)
    assert slow is not None
    assert slow.seconds == 20 + spec.sampling.budget_s, "the budget ends it"
    out = known.predict(spec, step(1.0), Outlook.RUNS_OUT)
    assert out is not None
    assert (out.seconds, out.high_s) == (20, found.high_s)


def test_trials_come_on_top() -> None:
    spec = pretrain_spec()
    searched = spec.model_copy(update={"workload": spec.workload.model_copy(update={"batch": "max"})})
    known = WallTimes([MeasuredWall(spec, total_s=100, start_s=20, trial_start_s=5)])
    one, search = known.predict(spec, step(0.1)), known.predict(searched, step(0.1), trials=Tries(3, 2, 5))
    assert one is not None
    assert search is not None
    assert search.seconds - one.seconds == pytest.approx(3 * (5 + TRIAL_S + TRIAL_STEPS * 0.1))
    assert search.search_s == pytest.approx(search.seconds - one.seconds)
    assert search.needs_s is not None
    assert search.needs_s == pytest.approx(one.needs_s + search.seconds - one.seconds)


def test_shipped_searches_took_as_long_as_such_trials(shipped: list[Record]) -> None:
    ratios = []
    for record in (record for record in shipped if record.results and record.cell.batch == "max"):
        searched = [run for run in record.results if isinstance(run.metrics, TrainingMetrics)]
        for run, wall in zip(searched, measured_walls([record]), strict=True):
            one_s = wall.trial_start_s + TRIAL_S + TRIAL_STEPS * run.metrics.step_time_s.median
            ratios.append(len(run.metrics.trials) * one_s / run.durations.search_s)
    assert len(ratios) == 24
    assert 0.9 < median(ratios) < 1.1
    assert 0.7 < min(ratios) < max(ratios) < 1.4


def test_without_predicted_steps_cells_of_the_kind_tell() -> None:
    spec = operator_spec("square", hardware())
    assert WallTimes([]).predict(spec) is None
    assert WallTimes([MeasuredWall(pretrain_spec(), 100, 20)]).predict(spec) is None
    elsewhere = operator_spec("square", hardware(gpu_model="NVIDIA A800"))
    here, there = MeasuredWall(spec, 10, 5), MeasuredWall(elsewhere, 30, 5)
    same, other = WallTimes([here, there]).predict(spec), WallTimes([there]).predict(spec)
    assert same is not None
    assert other is not None
    assert (same.seconds, other.seconds) == (10, 30)
    assert same.high_s / same.low_s < other.high_s / other.low_s
    cpu = MeasuredWall(spec.model_copy(update={"hardware": hardware(device="cpu", gpu_model="CPU")}), 30, 5)
    assert WallTimes([cpu]).predict(spec) is None


def test_a_run_on_a_cpu_counts_once() -> None:
    spec = operator_spec("square", hardware(device="cpu", gpu_model="cpu"))
    found = WallTimes([MeasuredWall(spec, 10, 5)]).predict(spec)
    assert found is not None
    assert found.origin == "measured runs of its kind on cpu: 1"


def test_the_price_of_a_command(measured: Path) -> None:
    plan, text = planned(measured, price="2.5 EUR")
    known = plan[plan["run_s"].notna()]
    row = known[(known["framework"] == "deepspeed") & (known["method"] == "Z3")].iloc[0]
    assert row["gpu_hours"] == pytest.approx(row["run_s"] * 5 * 2 / 3600), "five runs on two GPUs"
    assert 0 < row["cost_low"] < row["cost"] < row["cost_high"]
    assert row["cost"] == pytest.approx(2.5 * row["gpu_hours"])
    waiting = plan[plan["status"] == "to run"]
    unknown = int(waiting["run_s"].isna().sum())
    assert unknown > 0, "a compiled cell"
    total = f"{known['gpu_hours'].sum():,.2f} ({known['gpu_hours_low'].sum():,.2f} to"
    money = f"{known['cost'].sum():,.2f} ({known['cost_low'].sum():,.2f} to"
    (line,) = [line for line in text.splitlines() if "GPU hours" in line]
    assert line.startswith(f"pretrain on h200-x2: {total}")
    assert money in line
    assert (known["new_runs"] == 5).all()
    runs = f"{len(known)} cells, {5 * len(known)} runs"
    assert line.endswith(f"EUR (predicted) for {runs}; {unknown} cells not predicted")


def test_a_cell_that_runs_out_needs_one_run(measured: Path) -> None:
    plan, text = planned(measured, times=True, models=["llama2-13b"])
    out = plan[(plan["outlook"] == Outlook.RUNS_OUT) & (plan["status"] == "to run")].iloc[0]
    assert out["gpu_hours"] == pytest.approx(out["run_s"] * 2 / 3600)
    assert plan["cost"].isna().all()
    timed = plan[(plan["status"] == "to run") & plan["tokens_per_s"].notna()]
    fitting = timed[timed["outlook"] != Outlook.RUNS_OUT]
    assert len(fitting) < len(timed)
    told = [line for line in text.splitlines() if "tokens/s (predicted) in" in line]
    assert sum(int(line.split()[-2]) for line in told) == len(fitting), "no throughput of cells that run out of memory"


def test_cells_that_may_exceed_their_budget_are_named(measured: Path) -> None:
    plan, text = planned(measured, times=True, overrides={"*/h200-x2/*/deepspeed/Z3/*": {"sampling": {"budget_s": 5}}})
    row = plan[(plan["framework"] == "deepspeed") & (plan["method"] == "Z3")].iloc[0]
    assert row["budget_s"] == 5 < row["needs_s"]
    needs = f"llama2-7b Z3 {row['workload']} {row['needs_s']:.0f} of 5 s"
    doubt = "x may exceed its budget (predicted; `overrides` can raise sampling.budget_s)"
    assert f"1 {doubt}: deepspeed on h200-x2, {needs}" in text
    assert doubt not in planned(measured, times=True)[1]


def test_the_prices_of_platforms(measured: Path) -> None:
    asked = {"platforms": ["h200-x2", "a800"]}
    file = measured / "config/platforms/h200.yaml"
    file.write_text(file.read_text() + PRICE)
    plan, text = planned(measured, **asked)
    priced = plan[plan["cost"].notna()]
    assert set(priced["platform"]) == {"h200-x2"}, "which extends h200"
    assert "Price of h200-x2: 4 EUR per GPU-hour, a price list, 2026-03." in text
    without = len(plan[(plan["platform"] == "a800") & plan["run_s"].notna()])
    (total,) = [line for line in text.splitlines() if line.startswith("in total: ")]
    assert f"EUR, {without} cells without a price (predicted) for" in total
    plan, text = planned(measured, price=3, **asked)
    assert ") units of money (predicted) for " in text
    assert (plan["cost"] / plan["gpu_hours"]).dropna().tolist() == pytest.approx([3.0] * int(plan["cost"].count()))
    assert "a price list" not in text


def test_runs_that_are_there_are_not_paid_again(measured: Path) -> None:
    before, _ = planned(measured, times=True)
    cell = next(
        each
        for each in study(measured).experiments["table_III"]
        if (each.platform, each.framework, each.method) == ("h200-x2", "deepspeed", "Z3") and each.canonical
    )
    spec = parse_spec(cell.canonical or "")
    result = ok_result(spec, training_metrics(spec))
    entry = Store(measured / "results/store").entry(result.key)
    for total_s in (31.0, 32.0):
        took = result.durations.model_copy(update={"total_s": total_s})
        entry.write_run(result.model_copy(update={"durations": took}), [])
    after, text = planned(measured, times=True)
    old, new = (plan[plan["key"] == cell.key].iloc[0] for plan in (before, after))
    assert new["status"] == "to run"
    assert new["reason"] == "2 of 5 runs are measured"
    assert "1 x to run: 2 of 5 runs are measured" in text
    assert new["gpu_hours"] / new["run_s"] == pytest.approx(3 / 5 * old["gpu_hours"] / old["run_s"])


@pytest.mark.parametrize(("runs_out", "lacking"), [(False, 5), (True, 0)])
def test_further_runs_cost_what_remeasure_adds_whatever_the_outcome(
    measured: Path, runs_out: bool, lacking: int
) -> None:
    cell = next(
        each
        for each in study(measured).experiments["table_III"]
        if (each.platform, each.framework, each.method) == ("h200-x2", "deepspeed", "Z3") and each.canonical
    )
    spec = parse_spec(cell.canonical or "")
    if runs_out:
        result = ended_result(spec, Status.OOM, Phase.BACKWARD, "no room")
        Store(measured / "results/store").entry(result.key).write_run(result, [])
    given = {**ONLY, "select": cell.id, "more": 4, "price": "2 EUR"}
    text = planning.answer(study(measured, **given), measured, given)
    assert text.startswith("1 cells, 1 to run, 4 further runs of each\n")
    row = pd.read_csv(measured / "results/plan.csv").iloc[0]
    assert (row["status"], row["new_runs"]) == ("to run", 4)
    assert row["gpu_hours"] == pytest.approx(4 * row["run_s"] * 2 / 3600)
    assert row["cost"] == pytest.approx(2 * row["gpu_hours"])
    assert f" GPU hours, {row['cost']:.2f} (" in text
    del given["more"]
    planning.answer(study(measured, **given), measured, given)
    assert pd.read_csv(measured / "results/plan.csv")["new_runs"].fillna(0).tolist() == [lacking]


def test_further_runs_of_what_runs_out_of_memory_are_all_counted(measured: Path) -> None:
    """Of missing ones the first is enough, as it is an answer; ``remeasure`` measures as many as are asked for."""
    given = {**ONLY, "models": ["llama2-13b"], "select": "pretrain/h200-x2/llama2-13b/*/*/*", "more": 3}
    planning.answer(study(measured, **given), measured, given)
    plan = pd.read_csv(measured / "results/plan.csv")
    out = plan[(plan["outlook"] == Outlook.RUNS_OUT) & (plan["status"] == "to run")]
    assert len(out)
    assert set(out["new_runs"]) == {3}


@pytest.mark.parametrize("price", [0, -1, "2,5 EUR", "2.5 euro", "much", "2.5EUR", True, [2], "9" * 400, "٣"])
def test_a_price_is_a_number_with_a_currency_or_without(project: Path, price: Any) -> None:
    with pytest.raises(ConfigError, match=r"price: found .*: expected a number above 0, or one with its currency"):
        study(project, price=price)


def test_prices_by_platform_are_sent_to_their_files(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"for all platforms; that of one platform belongs in its file$"):
        study(project, price={"h100-x2": 2, "h200-x2": 3})
