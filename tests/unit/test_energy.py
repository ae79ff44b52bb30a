"""Which runs have an energy, and what is said of those that have none."""

from pathlib import Path

import pytest

import factories as make
from dissect.present.recommend.answer import why_without
from dissect.present.recommend.standing import Standing
from dissect.present.tables.views import VIEWS
from recommend_cases import ask, recorded


@pytest.mark.parametrize(("view", "name"), [("training", "tokens_per_joule"), ("serving", "tokens_per_joule_served")])
def test_answers_and_tables_name_the_same_reasons_for_no_energy(view: str, name: str, tmp_path: Path) -> None:
    [quantity] = [each for each in VIEWS[view].quantities if each.name == name]  # type: ignore[index]
    assert "below 10 s" in quantity.absent
    assert why_without("joules_per_token").endswith(f": {quantity.absent}")
    runs = make.training_runs(make.finetune_spec(), 0.2, energy_per_step_j=None)
    [cell] = ask([recorded(tmp_path, runs, "L")], minimise="energy").unknown
    assert (cell.standing, cell.reason) == (Standing.UNKNOWN, why_without("joules_per_token"))
