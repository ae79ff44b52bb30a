"""What ``plan``, ``show`` and ``progress`` say of a configuration without cells."""

from pathlib import Path
from typing import Any

import pytest

from dissect.answers import planning, showing
from dissect.cells.study import load_study
from dissect.present.progress import reports
from dissect.results.store import Store

DRAWN_NONE: dict[str, Any] = {"tables": [], "figures": []}
OF_MODELS: dict[str, Any] = {"tables": ["table_II"], "figures": []}
KEYS = ("platforms", "models", "tables", "figures")


@pytest.mark.parametrize(
    ("given", "empty"),
    [
        ({"platforms": []}, ("platforms",)),
        ({"models": [], **OF_MODELS}, ("models",)),
        ({"models": [], **OF_MODELS, "times": True}, ("models",)),
        (DRAWN_NONE, ("tables", "figures")),
        ({"platforms": [], "models": []}, ("platforms", "models")),
    ],
)
def test_the_keys_to_change_are_named_and_no_others(
    project: Path, given: dict[str, Any], empty: tuple[str, ...]
) -> None:
    text = planning.answer(load_study(project, given), project, given)
    assert text.startswith("0 cells: ")
    assert [key for key in KEYS if f"{key}: []" in text] == list(empty)
    assert [key for key in KEYS if f"{key}:" in text] == list(empty)


def test_all_keys_are_named_with_their_values_where_none_is_to_blame(project: Path) -> None:
    given = {"tables": ["claims"], "figures": [], "models": ["llama2-7b", "llama2-13b"]}
    text = planning.answer(load_study(project, given), project, given)
    settings = "platforms: [cpu]; models: [llama2-7b, llama2-13b]; tables: [claims]; figures: []"
    assert settings in text


def test_the_other_questions_about_cells_say_the_same(project: Path) -> None:
    study = load_study(project, DRAWN_NONE)
    expected = planning.answer(study, project, DRAWN_NONE)
    assert showing.answer(study, project, DRAWN_NONE) == expected
    assert list(reports(study, Store(project / "results/store"), 1)) == [expected]
