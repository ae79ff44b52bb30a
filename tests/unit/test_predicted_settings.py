"""What `recommend` says of settings that were not measured: below its answer, called predicted, and never ranked."""

from pathlib import Path
from typing import Any

import pandas as pd

from dissect.answers.recommending import CSV, answer
from dissect.base.units import GIB
from dissect.cells.study import load_study
from dissect.present.recommend.answer import answer as ranked
from dissect.present.recommend.ask import gather
from dissect.present.recommend.predicted_settings import PredictedSetting, predicted_settings, predicted_text

ASKED = {"stage": "finetune", "model": "llama2-7b", "platform": "h200-x4", "suite": "full"}


def predicted(project: Path, **more: Any) -> list[PredictedSetting]:
    question, rows, study = gather(project, ASKED | more)
    return predicted_settings(ranked(question, rows), study, project)


def said(project: Path, **more: Any) -> str:
    given = ASKED | more
    return answer(load_study(project, given), project, given)


def test_settings_that_are_expected_to_fit_are_predicted_the_fastest_first(project: Path) -> None:
    found = predicted(project)
    rates = [each.tokens_per_s for each in found]
    assert rates == sorted(rates, reverse=True)
    assert len(found) > 3
    limited = predicted(project, memory_gb=12)
    assert 0 < len(limited) < len(found)
    assert all(each.memory.high_bytes <= 12 * GIB for each in limited)
    assert {each.row["status"] for each in found} == {"not measured"}


def test_they_stand_below_the_answer_and_can_be_left_out(project: Path) -> None:
    text = said(project)
    below = text.partition("Predicted, not measured: the fastest of ")[2].splitlines()
    assert len(below) == 4
    assert all(line.startswith("  predicted: 4 x H200") and " GiB, expected to fit" in line for line in below[1:])
    assert text.count("\n") <= 40
    assert "predicted" not in said(project, predicted=False)
    assert set(pd.read_csv(project / CSV)["standing"]) <= {"not known", "unsupported", "never planned"}


def test_a_full_screen_leaves_no_room(project: Path) -> None:
    assert predicted_text(predicted(project), 39) == ""
    assert predicted_text([], 0) == ""
