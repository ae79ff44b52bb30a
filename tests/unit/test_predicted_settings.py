"""What `recommend` says of settings that were not measured: below its answer, called predicted, and never ranked."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dissect.answers.recommending import CSV, answer
from dissect.base.units import GIB
from dissect.cells.study import load_study
from dissect.present.recommend.answer import answer as ranked
from dissect.present.recommend.ask import gather
from dissect.present.recommend.predicted_servers import PredictedServer
from dissect.present.recommend.predicted_settings import (
    COMPILED,
    PIPELINES,
    PredictedSetting,
    predicted_settings,
    predicted_text,
    why_no_steps,
)
from factories import megatron_spec

ASKED = {"stage": "finetune", "model": "llama2-7b", "platform": "h200-x4", "suite": "full"}


def predicted(project: Path, **more: Any) -> list[PredictedSetting]:
    return [each for each in _all(project, **more) if isinstance(each, PredictedSetting)]


def servers(project: Path, **more: Any) -> list[PredictedServer]:
    found = _all(project, stage="serve", **more)
    return [each for each in found if isinstance(each, PredictedServer)]


def _all(project: Path, **more: Any) -> list[PredictedSetting | PredictedServer]:
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


def test_servers_are_predicted_within_the_limits_of_the_question(project: Path) -> None:
    found = servers(project)
    rates = [each.tokens_per_s for each in found]
    assert len(found) > 3
    assert rates == sorted(rates, reverse=True)
    assert "transformers" not in {each.row["framework"] for each in found}
    assert all(each.found.cache_low > 0 for each in found)
    ttfts = sorted(each.latency("ttft").value for each in found)
    limit = ttfts[len(ttfts) // 2]
    limited = servers(project, max_ttft_s=limit)
    assert 0 < len(limited) < len(found)
    assert all(each.latency("ttft").value <= limit for each in limited)
    assert servers(project, memory_gb=80) == []


def test_a_server_says_its_load_cache_latency_and_cost(project: Path) -> None:
    [line, *_] = [each for each in said(project, stage="serve").splitlines() if each.startswith("  predicted:")]
    assert all(word in line for word in ("tokens/s", "TTFT p99", "cache ", "expected to fit (kernels: ", " s,"))
    assert "predicted" not in said(project, stage="serve", predicted=False)
    first = servers(project)[0]
    priced = replace(first, row={**first.row, "price_per_gpu_hour": 3.6, "currency": "EUR"})
    assert "EUR per million tokens" in priced.text
    cost = float(priced.text.partition(" EUR per")[0].rpartition(", ")[2].partition(" ")[0])
    assert cost == pytest.approx(1e-3 * first.row["n_gpus"] * 1e6 / first.tokens_per_s, rel=0.01)


def test_a_given_price_is_in_every_prediction(project: Path) -> None:
    for stage in ("finetune", "serve"):
        text = said(project, stage=stage, price="2.5 EUR")
        lines = [line for line in text.splitlines() if line.startswith("  predicted:")]
        assert lines
        assert all(" EUR per million tokens, expected to fit" in line for line in lines)
    first = predicted(project, price="2.5 EUR")[0]
    cost = float(first.text.partition(" EUR per")[0].rpartition("GiB, ")[2].partition(" ")[0])
    assert cost == pytest.approx(2.5 * 4 / 3600 * 1e6 / first.tokens_per_s, rel=0.01)


def test_what_is_not_predicted_says_why(project: Path) -> None:
    server = said(project, stage="serve").splitlines()
    [line] = [each for each in server if "its steps wait for their host" in each]
    assert line.startswith("Not predicted: ")
    assert any("a search for a rate has no load of its own." in each for each in server)
    assert "Not predicted" not in said(project, stage="serve", predicted=False)
    assert COMPILED in said(project, stage="pretrain", method=["C", "Z3+C"])
    assert COMPILED not in said(project, method=["L"])
    assert why_no_steps(megatron_spec(pipeline_parallel=2)) == PIPELINES
    assert why_no_steps(megatron_spec()) is None


def test_a_full_screen_leaves_no_room(project: Path) -> None:
    assert predicted_text(predicted(project), 39) == ""
    assert predicted_text([], 0) == ""
