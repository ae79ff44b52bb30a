"""Which runs have an energy, and what is said of those that have none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import factories as make
from dissect.cells.spec import TrainingSpec
from dissect.config.catalog import load_catalog
from dissect.present.recommend.answer import why_without
from dissect.present.recommend.answer_text import answer_text
from dissect.present.recommend.standing import Standing
from dissect.present.tables.prediction_groups import training_numbers
from dissect.present.tables.tidy import rows_once
from dissect.present.tables.views import VIEWS
from dissect.results.cell_runs import read_runs
from dissect.results.result import LEAST_ENERGY_S, Durations, Result
from recommend_cases import ask, recorded

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("view", "name"), [("training", "tokens_per_joule"), ("serving", "tokens_per_joule_served")])
def test_answers_and_tables_name_the_same_reasons_for_no_energy(view: str, name: str, tmp_path: Path) -> None:
    [quantity] = [each for each in VIEWS[view].quantities if each.name == name]  # type: ignore[index]
    assert "below 10 s" in quantity.absent
    assert why_without("joules_per_token").endswith(f": {quantity.absent}")
    runs = make.training_runs(make.finetune_spec(), 0.2, energy_per_step_j=None)
    found = ask([recorded(tmp_path, runs, "L")], minimise="energy")
    assert f": 1 × {why_without('joules_per_token')}." in answer_text(found, load_catalog(ROOT, {})), "it is not cut"
    [cell] = found.unknown
    assert (cell.standing, cell.reason) == (Standing.UNKNOWN, why_without("joules_per_token"))


def shipped() -> Iterator[Result]:
    for path in sorted((ROOT / "config/references").rglob("*.json")):
        yield from read_runs(path).runs


def energy_as_stored(run: Result) -> float | None:
    numbers = training_numbers(run.metrics)
    return numbers.energy_per_step_j if numbers else getattr(run.metrics, "energy_j", None)


def test_short_windows_of_shipped_results_have_no_energy() -> None:
    stored = [run for run in shipped() if energy_as_stored(run)]
    dropped = [run for run in stored if run.energy_j is None]
    assert (len(stored), len(dropped)) == (145, 34)
    assert {run.spec.protocol for run in dropped} == {1}, "later protocols leave it out when they measure"
    bursts = [burst for run in dropped for burst in getattr(run.metrics, "burst_durations_s", None) or []]
    windows = [run.durations.window_s for run in dropped]
    assert all(seconds < LEAST_ENERGY_S for seconds in (*bursts, *windows))
    assert all(run.energy_j == energy_as_stored(run) for run in stored if run not in dropped)


@pytest.mark.parametrize("window_s", [9.9, 10.0])
def test_energy_of_a_short_window_is_in_no_table_and_no_answer(window_s: float, tmp_path: Path) -> None:
    def runs_of(spec: TrainingSpec) -> list[Result]:
        took = Durations(window_s=window_s)
        return [run.model_copy(update={"durations": took}) for run in make.training_runs(spec, 0.2)]

    record = recorded(tmp_path, runs_of(make.finetune_spec()), "L")
    [row] = rows_once(record, VIEWS["training"])
    shown = {name: row[name] is not None for name in ("energy_per_step_j", "tokens_per_joule")}
    assert shown == dict.fromkeys(shown, window_s >= LEAST_ENERGY_S)
    found = ask([record], minimise="energy")
    assert [len(found.unknown), len(found.rankings)] == ([1, 0] if window_s < LEAST_ENERGY_S else [0, 1])
    profile = make.ok_result(make.profile_spec()).model_copy(update={"durations": Durations(window_s=window_s)})
    assert (profile.energy_j is not None) is (window_s >= LEAST_ENERGY_S)


def test_every_burst_of_a_server_counts_for_its_energy(tmp_path: Path) -> None:
    spec = make.serve_spec()
    shortest = {10.0: make.serving_metrics(spec, 12.0).energy_j, 9.0: None}
    assert shortest[10.0]
    for burst_s, energy_j in shortest.items():
        bursts = [burst_s, 12.0, 12.0]
        metrics = make.serving_metrics(spec, 12.0, duration_s=sum(bursts), burst_durations_s=bursts)
        run = make.ok_result(spec, metrics)
        assert run.energy_j == energy_j
        [row] = rows_once(recorded(tmp_path, [run], "tuned"), VIEWS["serving"])
        assert (row["tokens_per_joule_served"] is None) is (energy_j is None)
